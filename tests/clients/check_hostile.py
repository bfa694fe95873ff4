"""Hostile clients, one class at a time and all at once: memory stays below the bound that docs/limits.md states, whoever
behaves is served as ever, and each limit says what it is.

    check_hostile.py [CONNECTIONS] [SECONDS] [CLASS…]

CONNECTIONS are those of each class (300; at full scale 10000), or of all of them together; SECONDS is how long each lasts at least.
"""
import multiprocessing
import os
import random
import re
import resource
import socket
import sys
import time
import zlib

from harness import PATIENCE, Server, contains, done, mail, until

CONNECTIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 300
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 3.0
ONLY = sys.argv[3:]
PER_ACCOUNT = 50
MIB = 1 << 20
PASSWORD = "pass word"


# ---- the ones who behave ----

def behave(port, stop, results):
    """NOOP, FETCH of one message, NOOP …, each timed, in a process of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
        lines = sock.makefile("rwb")
        lines.readline()

        def ask(command):
            begun = time.monotonic()
            lines.write(b"a " + command + b"\r\n")
            lines.flush()
            while not (line := lines.readline()).startswith(b"a "):
                assert line, "the server hung up on somebody who behaves"
            assert line.startswith(b"a OK"), line
            return time.monotonic() - begun

        ask(b'LOGIN alice "wonder land"')
        ask(b"SELECT INBOX")
        while not stop.is_set():
            results.send((ask(b"NOOP"), ask(b"FETCH 1 BODY.PEEK[]")))
            time.sleep(0.01)
    results.close()


class Latency:
    """Measures as long as it is open."""

    def __init__(self, server):
        self.stop = multiprocessing.Event()
        self.results, theirs = multiprocessing.Pipe(False)
        self.process = multiprocessing.Process(target=behave, args=(server.imap, self.stop, theirs))
        self.process.start()
        theirs.close()
        self.times = []

    def take(self):
        while self.results.poll():
            self.times.append(self.results.recv())

    def close(self):
        self.stop.set()
        try:
            while True:
                self.times.append(self.results.recv())
        except EOFError:
            pass
        self.process.join(PATIENCE)
        assert self.process.exitcode == 0 and self.times, "somebody who behaves was not served"

    def __str__(self):
        def of(times):
            times = sorted(times)
            return f"{1000 * times[len(times) // 2]:.1f}/{1000 * times[len(times) * 99 // 100]:.1f}/{1000 * times[-1]:.0f}"
        noops, fetches = zip(*self.times)
        return f"NOOP {of(noops)} ms, FETCH {of(fetches)} ms"

    def worst(self):
        """The 99th percentile of all."""
        times = sorted(t for pair in self.times for t in pair)
        return times[len(times) * 99 // 100]


def memory(server):
    """(PSS now, largest RSS ever) in octets."""
    pid = server.process.pid
    with open(f"/proc/{pid}/smaps_rollup") as f:
        pss = int(re.search(r"^Pss: +(\d+) kB", f.read(), re.M)[1]) * 1024
    with open(f"/proc/{pid}/status") as f:
        return pss, int(re.search(r"^VmHWM:\s+(\d+) kB", f.read(), re.M)[1]) * 1024


def forget_peak(server):
    with open(f"/proc/{server.process.pid}/clear_refs", "w") as f:
        f.write("5")


# ---- the ones who do not ----

class Crowd:
    """Connections that are held open. What they are told is kept only to its end."""

    def __init__(self, server, size, number=0):
        self.server = server
        self.size = size
        self.first = number * -(-size // PER_ACCOUNT)   # of its accounts
        self.open = []

    def few(self, most):
        """Its size, but no more than this: each of them sends or asks for a megabyte and more."""
        return range(min(self.size, most))

    def stranger(self, port=None):
        """Strangers come from many addresses: one may only have so many."""
        sock = socket.socket()
        # What nobody reads should not fit into the kernel.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        n = len(self.open)
        sock.bind((f"127.{1 + n // 25000}.{n // 100 % 250}.{1 + n % 100}", 0))
        sock.settimeout(PATIENCE)
        sock.connect(("127.0.0.1", port or self.server.imap))
        self.open.append(sock)
        return sock

    def user(self, first=b"", selected=True):
        """Logged in, one of many accounts; `first` goes out with the rest."""
        n = len(self.open)
        sock = self.stranger()
        select = b"a SELECT INBOX\r\n" if selected else b""
        sock.sendall(b'a LOGIN u%d "%s"\r\n%s' % (self.first + n // PER_ACCOUNT, PASSWORD.encode(), select))
        hear(sock, b"a OK", 2 if selected else 1)
        push(sock, first)
        return sock

    def goodbyes(self):
        """The last line of each that was hung up on, how often."""
        found = {}
        for sock in self.open:
            try:
                sock.setblocking(False)
                text = b""
                while octets := sock.recv(65536):
                    text = (text + octets)[-400:]
                line = text.strip().rpartition(b"\n")[2]
            except BlockingIOError:
                continue
            except OSError:
                line = b"(reset)"
            line = re.sub(r"\d+", "N", ascii(line.decode(errors="replace")))[:90]
            found[line] = found.get(line, 0) + 1
        return found

    def close(self):
        for sock in self.open:
            sock.close()


def hear(sock, wanted, times=1):
    """Reads until it was said so often."""
    text = b""
    while text.count(wanted) < times:
        octets = sock.recv(65536)
        assert octets, f"the server hung up after {text[-300:]!r}"
        text += octets
    return text


def push(sock, octets):
    """Sends what the server takes; it may hang up, or not want more."""
    try:
        sock.settimeout(2)
        sock.sendall(octets)
    except OSError:
        pass
    finally:
        sock.settimeout(PATIENCE)


def half_open(crowd):
    for _ in range(crowd.size):
        crowd.stranger()
        yield


def slow_writers(crowd):
    """Strangers, an octet now and then: endless lines, and TLS handshakes that do not go on."""
    port = crowd.server.imaps
    socks = [crowd.stranger(port if n % 2 else None) for n in range(crowd.size)]
    for round_ in range(3):
        for n, sock in enumerate(socks):
            push(sock, b"\x16\x03\x01\x02\x00"[round_:round_ + 1] if n % 2 else b"a")
        yield


def half_commands(crowd):
    for _ in range(crowd.size):
        crowd.user(b'a LIST "" ' + b"x" * 125_000)
        yield


def half_uploads(crowd):
    """Headers of a megabyte, and then nothing."""
    header = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 60) for n in range(16_000))
    for _ in crowd.few(1500):
        crowd.user(b"a APPEND INBOX {40000000+}\r\n" + header)
        yield


def slow_readers(crowd):
    """Ask for a lot and take nothing."""
    for _ in range(crowd.size):
        crowd.user(b"a FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY.PEEK[])\r\n" * 20)
        yield


def slow_envelopes(crowd):
    """Answers that are large in one piece: an envelope of a megabyte."""
    for _ in crowd.few(3000):
        crowd.user(b"a FETCH * (ENVELOPE ENVELOPE BODY.PEEK[HEADER])\r\n" * 3)
        yield


def endless_lines(crowd):
    for n in crowd.few(1000):
        push(crowd.stranger() if n % 2 else crowd.user(), b"a LIST " + b"x" * (2 * MIB))
        yield


def endless_literals(crowd):
    for n in crowd.few(1000):
        push(crowd.user(), b"a LIST {2000000+}\r\n" + b"x" * (2 * MIB) if n % 2 else b"a SELECT {10}\r\n" * 20)
        yield


def deep_nesting(crowd):
    """Commands that are within their size; what is too much of them is said, what only looks so is done."""
    commands = [(b"SEARCH " + b"(" * 60_000, b"a NO [LIMIT]"),
                (b"SEARCH " + b"NOT " * 25_000 + b"ALL", b"a OK"),
                (b"SEARCH " + b"OR ALL " * 15_000 + b"ALL", b"a NO [LIMIT]"),
                (b"FETCH " + b",".join(b"%d" % m for m in range(1, 40_000, 2)) + b" FLAGS", b"a NO [LIMIT]"),
                (b"FETCH 1 (" + b"UID " * 30_000 + b"UID)", b"a OK")]
    for n in crowd.few(1000):
        text, answer = commands[n % len(commands)]
        hear(crowd.user(b"a " + text + b"\r\n"), answer)
        yield


def zip_bombs(crowd):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(b"a LIST " + bytes(120 * MIB)) + packer.flush()
    for _ in crowd.few(200):
        sock = crowd.user(b"a COMPRESS DEFLATE\r\n")
        hear(sock, b"a OK")
        push(sock, bomb)
        yield


def mime_bombs(crowd):
    """Nesting, parts and headers without end; stored, and asked for."""
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(20_000))
    wide = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\nContent-Type: text/plain; x=y\r\n\r\nx\r\n" * 60_000
    long = b"To: " + b"a@b,\r\n " * 400_000 + b"\r\n\r\nx\r\n"
    nested = b"Content-Type: message/rfc822\r\n\r\n" * 50_000
    for n in crowd.few(60):
        bomb = [deep, wide, long, nested][n % 4]
        sock = crowd.user(b"a APPEND Bombs%d {%d+}\r\n%s\r\n" % (n % 4, len(bomb), bomb))
        hear(sock, b"a OK")
        push(sock, b"a SELECT Bombs%d\r\na FETCH * (ENVELOPE BODYSTRUCTURE)\r\na SEARCH TEXT x\r\na SORT (TO) UTF-8 ALL\r\n" % (n % 4))
        yield


def garbage(crowd):
    chance = random.Random(1)
    for n in crowd.few(2000):
        text = chance.randbytes(20_000) if n % 2 else b"".join(
            chance.choice([b"a ", b"\r\n", b"FETCH ", b"{3}\r\n", b"(", b"\"", b"\0", b"LOGIN ", b"IDLE\r\n", b"1:*"]) for _ in range(4000))
        push(crowd.stranger() if n % 4 < 2 else crowd.user(), text)
        yield


def login_floods(crowd):
    """Nobody gets in, and each is told why: wrong, or too many at this moment."""
    for n in crowd.few(1000):
        crowd.stranger().sendall(b"a LOGIN u%d wrong\r\n" % (n % 50))
        yield


def starttls_injection(crowd):
    trust = crowd.server.tls()
    for _ in crowd.few(100):
        sock = crowd.stranger()
        hear(sock, b"\r\n")
        sock.sendall(b"a STARTTLS\r\na INJECTED\r\n")
        contains(hear(sock, b"\r\n"), b"a OK", "STARTTLS")
        with trust.wrap_socket(sock.dup(), server_hostname="localhost") as secret:
            secret.sendall(b"b NOOP\r\n")
            said = hear(secret, b"b OK")
            assert said.startswith(b"b OK"), f"what came before the handshake was carried out: {said!r}"
        yield


def quick(crowd):
    """Comes and goes as fast as it can."""
    for _ in range(crowd.size):
        crowd.stranger().close()
        yield


CLASSES = [half_open, slow_writers, half_commands, half_uploads, slow_readers, slow_envelopes, endless_lines, endless_literals,
           deep_nesting, zip_bombs, mime_bombs, garbage, login_floods, starttls_injection, quick]


def attack(server, classes, quiet):
    crowds = [Crowd(server, max(1, CONNECTIONS // len(classes)), n) for n in range(len(classes))]
    latency = Latency(server)
    forget_peak(server)
    begun = time.monotonic()
    running = [(kind(crowd), crowd) for kind, crowd in zip(classes, crowds)]
    try:
        largest = 0
        while running or time.monotonic() < begun + SECONDS:
            for work in list(running):
                for _ in range(20):
                    try:
                        next(work[0])
                    except StopIteration:
                        running.remove(work)
                        break
            if not running:
                time.sleep(0.1)
            latency.take()
            largest = max(largest, memory(server)[0])
        connections, lent, ended, bound = status(server)
        largest = max(largest, memory(server)[0])
        took = time.monotonic() - begun
    finally:
        latency.close()
    goodbyes = [(kind.__name__, crowd.goodbyes()) for kind, crowd in zip(classes, crowds)]
    for crowd in crowds:
        crowd.close()
    until("the server has noticed that they are gone", lambda: status(server)[0] == 0)
    name = classes[0].__name__ if len(classes) == 1 else "all at once"
    done(f"{name}: {sum(len(c.open) for c in crowds)} connections in {took:.0f} s, {connections} at its end; PSS at most "
         f"{largest / MIB:.0f} MiB (RSS {memory(server)[1] / MIB:.0f}, bound {bound / MIB:.0f}), {memory(server)[0] / MIB:.0f} after; "
         f"{lent} lent, {ended} called back so far; {latency}")
    for kind, found in goodbyes:
        for line, times in sorted(found.items(), key=lambda item: -item[1])[:4]:
            print(f"     {kind}: {times} × {line}")
    assert largest <= bound, f"{name}: {largest / MIB:.0f} MiB are more than the bound of {bound / MIB:.0f}"
    # On a machine that does other things too, and where the attackers take a processor themselves.
    assert latency.worst() <= max(5.0, 20 * quiet), f"{name}: who behaves waited {latency.worst():.2f} s (1 of 100)"


def status(server):
    """(connections, what is lent, how many were called back, the bound in octets)."""
    said = server.command("status").stdout
    connections = int(re.search(r"^connections: (\d+)", said, re.M)[1])
    found = re.search(r"^memory: (.*) are held for clients .*; (\d+) connections were ended for it; below (\d+) MiB in all", said, re.M)
    assert found, said
    return connections, found[1], int(found[2]), int(found[3]) * MIB


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    accounts = {"alice": "wonder land"} | {f"u{n}": PASSWORD for n in range(CONNECTIONS // PER_ACCOUNT + len(CLASSES) + 1)}
    classes = [kind for kind in CLASSES if not ONLY or kind.__name__ in ONLY]
    limits = os.environ.get("LIMITS", "waiting_memory = \"64 MiB\"\nconnections = 20000" if CONNECTIONS < 1000 else "")
    with Server(accounts, plaintext=True, limits=limits) as server:
        for name in accounts:
            body = "x" * 76 + "\r\n"
            long = "To: " + ",\r\n ".join(f"somebody{n}@example.com" for n in range(20_000)) + "\r\n"
            server.deliver(name, mail(1), mail(2, body=body * 4000), mail(3, extra=long))
        for name in list(accounts)[1:]:
            with socket.create_connection((server.host, server.imap), timeout=PATIENCE) as sock:
                sock.sendall(b'a LOGIN %s "%s"\r\n' % (name.encode(), PASSWORD.encode()))
                sock.sendall(b"".join(b"a CREATE Bombs%d\r\n" % n for n in range(4)) + b"a LOGOUT\r\n")
                hear(sock, b"a OK", 6)
        latency = Latency(server)
        time.sleep(SECONDS)
        latency.close()
        quiet = latency.worst()
        done(f"nobody: PSS {memory(server)[0] / MIB:.0f} MiB; {latency}")
        for kind in classes:
            attack(server, [kind], quiet)
        if len(classes) > 1:
            attack(server, classes, quiet)
        server.stop()
        server.check()


if __name__ == "__main__":
    main()
