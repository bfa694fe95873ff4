"""Hostile clients, one class at a time and all at once: memory stays below the bound that docs/limits.md states, whoever
behaves is served as ever, and each limit says what it is.

    check_hostile.py [CONNECTIONS] [SECONDS] [CLASS…|all_at_once]

CONNECTIONS are those that each class has open or tries to have open at any time (300), or all of them together have; whoever
is hung up on comes again. SECONDS is how long each class goes on at least (3, and 15 from 1000 connections on). At full
scale, with figures for docs/decisions/0026-memory-is-lent.md as a table at its end (about ten minutes):

    cargo build --release && PILLARBOX=target/release/pillarbox tests/clients/check_hostile.py 10000

Latency is compared with that of a control: a program that only answers, asked by the same client at the same time. What the
machine does besides, and the attackers themselves, keep both waiting; what the server does only one.
"""
import collections
import multiprocessing
import os
import re
import resource
import socket
import sys
import time

from harness import PATIENCE, Server, done, mail, until
from hostile import CLASSES, MIB, MIME_BOMBS, PASSWORD, PER_ACCOUNT, Attack

CONNECTIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 300
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 3.0 if CONNECTIONS < 1000 else 15.0
LONGEST = 3 * SECONDS + 10   # nobody who behaves would wait longer for an attack to come to its height
ONLY = sys.argv[3:]


# ---- the ones who behave ----

def control(listener):
    """Answers, and does nothing else."""
    while True:
        sock = listener.accept()[0]
        with sock, sock.makefile("rwb") as lines:
            lines.write(b"* OK\r\n")
            lines.flush()
            for _ in lines:
                lines.write(b"a OK\r\n")
                lines.flush()


class Line:
    """A connection of somebody who behaves."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.lines = self.sock.makefile("rwb")
        self.lines.readline()

    def ask(self, command):
        """How long the answer takes."""
        begun = time.monotonic()
        self.lines.write(b"a " + command + b"\r\n")
        self.lines.flush()
        while not (line := self.lines.readline()).startswith(b"a "):
            assert line, "the server hung up on somebody who behaves"
        assert line.startswith(b"a OK"), line
        return time.monotonic() - begun

    def close(self):
        self.lines.close()
        self.sock.close()


LOGIN = b'LOGIN alice "wonder land"'
# Seconds that pass whatever the control took, by the share in percent; more for the debug build of CI.
NORMAL = {50: 0.25, 99: 2.0} if CONNECTIONS < 1000 else {50: 0.05, 99: 1.0}
ASKED = ["NOOP", "FETCH", "login", "control"]


def behave(port, control_port, stop, results):
    """Asks one thing after the other, each timed, in a process of its own."""
    other, line = Line(control_port), Line(port)
    line.ask(LOGIN)
    line.ask(b"SELECT INBOX")
    times, round_ = collections.defaultdict(list), 0
    while not stop.is_set():
        times["NOOP"].append(line.ask(b"NOOP"))
        times["control"].append(other.ask(b"NOOP"))
        times["FETCH"].append(line.ask(b"FETCH 1 BODY.PEEK[]"))
        times["control"].append(other.ask(b"NOOP"))
        if round_ % 10 == 0:
            begun = time.monotonic()
            new = Line(port)
            new.ask(LOGIN)
            times["login"].append(time.monotonic() - begun)
            new.close()
        round_ += 1
        time.sleep(0.002)
    results.send(dict(times))


class Latency:
    """Measures as long as it is open: {what: sorted seconds}."""

    def __init__(self, server, control_port):
        self.stop = multiprocessing.Event()
        self.results, theirs = multiprocessing.Pipe(False)
        self.process = multiprocessing.Process(target=behave, args=(server.imap, control_port, self.stop, theirs))
        self.process.start()
        theirs.close()
        self.times = None

    def end(self):
        self.stop.set()
        try:
            self.times = {what: sorted(times) for what, times in self.results.recv().items()}
        except EOFError:
            raise AssertionError("somebody who behaves was not served") from None
        self.process.join()

    def of(self, what, percent):
        times = self.times[what]
        return times[min(len(times) * percent // 100, len(times) - 1)]

    def column(self, what):
        """Median / 99 % / longest in ms."""
        return f"{1000 * self.of(what, 50):.1f} / {1000 * self.of(what, 99):.0f} / {1000 * self.of(what, 100):.0f}"

    def check(self, name):
        """Ten times what the control takes is normal, and so is what a busy machine does to the debug build of CI: there the
        server has a tenth of a processor at times, and needs it for the attack too, which the control does not."""
        for what in ["NOOP", "FETCH", "login"]:
            for percent, unnoticed in NORMAL.items():
                took, most = self.of(what, percent), max(unnoticed, 10 * self.of("control", percent))
                assert took <= most, f"{name}: {what}: {percent} % took {1000 * took:.0f} ms and not {1000 * most:.0f}"


# ---- the server ----

def peak(server):
    """The largest RSS since `forget_peak`, in octets. PSS is no larger; to ask for it stops the server for a while."""
    with open(f"/proc/{server.process.pid}/status") as f:
        return int(re.search(r"^VmHWM:\s+(\d+) kB", f.read(), re.M)[1]) * 1024


def forget_peak(server):
    with open(f"/proc/{server.process.pid}/clear_refs", "w") as f:
        f.write("5")


def status(server):
    """(connections, how many were called back, the bound in octets)."""
    said = server.command("status").stdout
    connections = int(re.search(r"^connections: (\d+)", said, re.M)[1])
    found = re.search(r"^memory: .* are held for clients .*; (\d+) connections were ended for it; below (\d+) MiB in all", said, re.M)
    assert found, said
    return connections, int(found[1]), int(found[2]) * MIB


def fill(server, accounts):
    """Mail to ask for in each account; each logs in once, so that later only strangers have to be hashed."""
    long = "To: " + ",\r\n ".join(f"somebody{n}@example.com" for n in range(20_000)) + "\r\n"
    mails = [mail(1), mail(2, body=("x" * 76 + "\r\n") * 4000), mail(3, extra=long)]
    for name, password in accounts.items():
        server.deliver(name, *mails)
        line = Line(server.imap)
        line.ask(b'LOGIN %s "%s"' % (name.encode(), password.encode()))
        for n, bomb in enumerate(MIME_BOMBS):
            line.ask(b"CREATE Bombs%d" % n)
            line.ask(b"APPEND Bombs%d {%d+}\r\n%s" % (n, len(bomb), bomb))
        line.close()


# ---- the attacks ----

class Row(collections.namedtuple("Row", "name connections memory bound latency called_back goodbyes")):
    def __str__(self):
        columns = [self.name, self.connections, f"{self.memory / MIB:.0f}", f"{self.bound / MIB:.0f}",
                   *(self.latency.column(what) for what in ASKED), self.called_back, self.goodbyes]
        return "| " + " | ".join(map(str, columns)) + " |"


HEAD = ("| attack | connections at a time / in all | RSS at most, MiB | bound, MiB | " +
        " | ".join(f"{what}, ms" for what in ASKED) + " | called back | hung up on |\n" + "|---" * (6 + len(ASKED)) + "|")


def attack(server, control_port, name, kinds):
    """One attack: its row of the table."""
    size = max(1, CONNECTIONS // len(kinds)) if kinds else 0
    before = status(server)[1]
    latency = Latency(server, control_port)
    attackers = Attack(server, kinds, size)
    forget_peak(server)
    begun, most = time.monotonic(), 0
    while (passed := time.monotonic() - begun) < SECONDS or (not attackers.begun() and passed < LONGEST):
        most = max(most, status(server)[0])
        time.sleep(1)
    finished = attackers.begun()
    latency.end()
    largest = peak(server)
    _, called_back, bound = status(server)
    total, goodbyes = attackers.end()
    # Logins that wait for a hash are carried out, also for nobody.
    until("the server has noticed that they are gone", lambda: status(server)[0] == 0, 10 * PATIENCE)
    for kind, lines in goodbyes.items():
        for line, times in lines.most_common(5):
            print(f"     {kind}: {times} × {line}")
    hung_up = sum(sum(lines.values()) for lines in goodbyes.values())
    row = Row(name, f"{most} / {total}", largest, bound, latency, called_back - before, hung_up)
    done(f"{name}: {time.monotonic() - begun:.0f} s{'' if finished else ', not everybody came so far'}; {row}")
    assert largest <= bound, f"{name}: {largest / MIB:.0f} MiB are more than the bound of {bound / MIB:.0f}"
    return row


def main():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = CONNECTIONS + 2000    # the server has one of each connection, and nobody has more
    assert hard >= enough, f"{CONNECTIONS} connections take {enough} open files, and {hard} are allowed: ulimit -Hn {enough}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    accounts = {f"u{n}": PASSWORD for n in range(CONNECTIONS // PER_ACCOUNT + len(CLASSES) + 1)}
    attacks = [("nobody", []), *((kind.__name__, [kind]) for kind in CLASSES), ("all_at_once", CLASSES)]
    attacks = [each for each in attacks if not ONLY or each[0] in ["nobody", *ONLY]]
    limits = os.environ.get("LIMITS", "waiting_memory = \"64 MiB\"\nconnections = 20000" if CONNECTIONS < 1000 else "")
    with socket.create_server(("127.0.0.1", 0)) as listener, \
         Server({"alice": "wonder land"} | accounts, plaintext=True, limits=limits) as server:
        answering = multiprocessing.Process(target=control, args=(listener,), daemon=True)
        answering.start()
        server.deliver("alice", mail(1))
        fill(server, accounts)
        rows = [attack(server, listener.getsockname()[1], *each) for each in attacks]
        print(HEAD, *rows, sep="\n")
        for row in rows:
            row.latency.check(row.name)
        server.stop()
        server.check()
        answering.terminate()


if __name__ == "__main__":
    main()
