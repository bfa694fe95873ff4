"""growth.py: what grows with the number of messages, and what must not: `scale`, `memory` and `beside` of bench.py.

Mailboxes of a million messages are made by COPY: small messages once, then ten times as many again and again.
"""
import json
import os
import socket
import statistics
import subprocess
import time

LOAD = os.environ.get("MAILLOAD", "mailload")
SEED = 1000


class Client:
    """A connection that says little and waits for answers."""

    def __init__(self, t, n):
        c = t.c
        self.socket = socket.create_connection((c["host"], c["imap_port"]))
        self.lines = self.socket.makefile("rb")
        self.lines.readline()
        self.ok(f"LOGIN {c['user'] % n} {c['pass']}")

    def send(self, command):
        self.socket.sendall(f"a {command}\r\n".encode())

    def ok(self, command, tolerant=False):
        self.send(command)
        while True:
            line = self.lines.readline()
            if line.startswith(b"a "):
                break
            if not line:
                raise SystemExit(f"{command}: hung up")
        if not line.startswith(b"a OK") and not tolerant:
            raise SystemExit(f"{command}: {line}")
        return line.startswith(b"a OK")


def settled(t):
    """KiB of memory, when what is not needed any more has been given back: that may take five seconds."""
    time.sleep(7)
    return t.memory()["pss_kib"]


def grown(t, n, mailbox, count):
    """A mailbox of user n with so many small messages, made unless it is there."""
    c = Client(t, n)
    if c.ok(f"SELECT grown-{mailbox}-{count}", tolerant=True):
        return
    c.ok(f"SELECT {mailbox}", tolerant=True) or c.ok(f"CREATE {mailbox}")
    smaller = count // 10
    if smaller < SEED:
        t.load("fill", f"n={n}", f"mailbox={mailbox}", f"count={count}", "median=300", "sigma=0.3")
    else:
        grown(t, n, f"t{smaller}", smaller)
        c.ok(f"SELECT t{smaller}")
        for _ in range(10):
            c.ok(f"UID COPY 1:* {mailbox}")
    # An empty one, to find out the next time.
    c.ok(f"CREATE grown-{mailbox}-{count}")


def scale(t, sizes="1000,10000,100000", reps="11", first="1500", **kw):
    """One of everything in mailboxes of each size; commands over all of it; what they cost in memory."""
    out = []
    for size in map(int, sizes.split(",")):
        # Another user for each size: 1504 has the thousand.
        n = int(first) + len(str(size))
        grown(t, n, "INBOX", size)
        t.restart()
        row = {"size": size}
        c = Client(t, n)
        before = settled(t)
        c.ok("SELECT INBOX")
        row["selected_kib"] = t.memory()["pss_kib"] - before
        c.ok("FETCH 1:* (FLAGS)")
        row["read_kib"] = t.memory()["pss_kib"] - before
        row["pushes"] = pushed(t, n)
        row["push_ms"] = statistics.median(row["pushes"])
        message = "Subject: one\r\n\r\none\r\n"
        one = size // 2
        steps = [
            {"name": "SELECT", "pre": ["UNSELECT"], "cmd": "SELECT INBOX", "repeat": int(reps)},
            {"name": "STORE one", "pre": [f"STORE {one} -FLAGS (\\Flagged)"], "cmd": f"STORE {one} +FLAGS (\\Flagged)", "repeat": int(reps)},
            {"name": "APPEND one", "cmd": f"APPEND INBOX {{{len(message)}+}}\r\n{message}", "repeat": int(reps)},
            {"name": "EXPUNGE one", "pre": [f"STORE {one} +FLAGS (\\Deleted)"], "cmd": "EXPUNGE", "repeat": int(reps)},
            {"name": "FETCH 1:* (FLAGS)", "cmd": "FETCH 1:* (FLAGS)", "repeat": 3},
            {"name": "STORE 1:* +FLAGS.SILENT", "pre": ["STORE 1:* -FLAGS.SILENT (\\Answered)"], "cmd": "STORE 1:* +FLAGS.SILENT (\\Answered)", "repeat": 3},
            {"name": "SEARCH UNSEEN", "cmd": "SEARCH UNSEEN", "repeat": 3},
        ]
        for x in t.load("script", f"n={n}", stdin=json.dumps([{"pre": ["SELECT INBOX"]}] + steps)):
            row[x["name"]] = statistics.median(x["secs"]) * 1000 if x["ok"] else None
            row[x["name"] + " cpu"] = statistics.median(x["cpu"]) * 1000 if x["ok"] else None
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items() if k != "pushes"}, flush=True)
        out.append(row)
    slow_readers(t, n, row, int(kw.get("readers", 20)))
    t.save("scale", out)


def pushed(t, n, times=7):
    """Milliseconds from LMTP's 250 to EXISTS at a client that idles in INBOX."""
    user = t.c["user"] % n
    arguments = [a for a in t.args() if not a.startswith(("user=", "rcpt="))]
    rcpt = t.c.get("rcpt", t.c["user"]) % n
    p = subprocess.Popen([LOAD, "idle", *arguments, f"user={user}", f"rcpt={rcpt}", "conns=1", "users=1"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    p.stdout.readline()
    took = []
    for _ in range(times):
        p.stdin.write("push 1\n"); p.stdin.flush()
        took.append(json.loads(p.stdout.readline())["last_ms"])
    p.stdin.write("quit\n"); p.stdin.flush()
    p.wait()
    return took


def slow_readers(t, n, row, readers):
    """Clients that ask for everything and read nothing: what each of them makes the server hold."""
    t.restart()
    first = Client(t, n)
    first.ok("SELECT INBOX")
    first.ok("FETCH 1:* (FLAGS)")
    clients = [Client(t, n) for _ in range(readers)]
    for c in clients:
        c.ok("SELECT INBOX")
    before = settled(t)
    for c in clients:
        c.send("FETCH 1:* (UID FLAGS ENVELOPE BODY.PEEK[HEADER])")
    time.sleep(3)
    row["slow_reader_kib"] = (t.memory()["pss_kib"] - before) / readers
    print(f"a client that reads nothing, mailbox of {row['size']}: {row['slow_reader_kib']:.0f} KiB", flush=True)


def probed(t, work, n):
    """99 % of the milliseconds that a NOOP of user n takes, one each millisecond, while something else is done; and what that gives."""
    a = [LOAD, "probe", *t.args(), f"n={n}", "cmd=NOOP"]
    p = subprocess.Popen(a, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    done = work()
    out, _ = p.communicate("\n")
    return json.loads(out)["p99_ms"], done


def beside(t, box="m100000", n="1", other="1999", times="1", **kw):
    """NOOP of one session while another has commands over a whole mailbox done, one after the other. Needs `fill`."""
    commands = [
        ("FETCH 1:* envelope", [], "FETCH 1:* (ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE)", 20),
        ("FETCH 1:* (UID FLAGS)", [], "FETCH 1:* (UID FLAGS)", 200),
        ("SORT (REVERSE DATE)", [], "SORT (REVERSE DATE) UTF-8 ALL", 400),
        ("SORT (SUBJECT)", [], "SORT (SUBJECT) UTF-8 ALL", 100),
        ("THREAD REFERENCES", [], "THREAD REFERENCES UTF-8 ALL", 60),
        ("SEARCH TEXT", [], "SEARCH 1:20000 TEXT xylophone-tangerine", 2),
        ("STORE 1:* +FLAGS", ["STORE 1:* -FLAGS.SILENT (\\Flagged)"], "STORE 1:* +FLAGS (\\Flagged)", 60),
        ("UID COPY 1:*", ["DELETE beside", "CREATE beside"], "UID COPY 1:* beside", 20),
    ]
    t.restart()
    alone, _ = probed(t, lambda: time.sleep(3), other)
    out = [{"beside": "nothing", "p99_ms": alone}]
    for name, before, command, repeat in commands:
        def work():
            steps = [{"pre": ["CREATE beside", f"SELECT {box}"]}, {"name": name, "pre": before, "cmd": command, "repeat": repeat * int(times)}]
            return t.load("script", f"n={n}", stdin=json.dumps(steps))[-1]
        p99, x = probed(t, work, other)
        out.append({"beside": name, "p99_ms": p99, "secs": statistics.median(x["secs"]), "times": len(x["secs"]), "ok": x["ok"]})
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in out[-1].items()}, flush=True)
    t.save("beside", out)


def memory(t, accounts="3", size="100000", sessions="3", first="1600", **kw):
    """Mailboxes that are selected by some sessions each: memory for each mailbox."""
    numbers = range(int(first), int(first) + int(accounts))
    for n in numbers:
        grown(t, n, "big", int(size))
    t.restart()
    clients = [Client(t, n) for n in numbers for _ in range(int(sessions))]
    base = settled(t)
    row = {"accounts": int(accounts), "size": int(size), "sessions": int(sessions)}
    # "read": as clients do when they synchronise.
    for name, commands in (("selected", ["SELECT big"]), ("read", ["FETCH 1:* (UID FLAGS)"]),
                           ("sorted", ["SORT (REVERSE DATE) UTF-8 ALL", "SEARCH UNSEEN"]),
                           ("by_subject", ["SORT (SUBJECT) UTF-8 ALL"]), ("threaded", ["THREAD REFERENCES UTF-8 ALL"])):
        for c in clients:
            for command in commands:
                c.ok(command)
        row[f"{name}_mib_per_mailbox"] = (settled(t) - base) / 1024 / int(accounts)
        print(row, flush=True)
    t.save("memory", [row])
