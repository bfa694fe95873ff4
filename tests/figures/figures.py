#!/usr/bin/env python3
"""What Pillarbox costs, measured on this machine: `cargo xtask figures [NAME…]`.

    build    a clean release build
    lines    lines of code and of tests
    lmtp     durable deliveries a second, messages of 12 KB, 1 and 16 connections
    mailbox  a mailbox of 100,000 messages: SELECT, FETCH, SEARCH, SORT, THREAD, warm and after a restart
    changes  the same mailbox: QRESYNC after 100 changes, UID MOVE of 10,000 messages
    beside   the same mailbox: how long others wait while one session does something large
    idle     memory with 1,000 sessions in IDLE, and how fast they learn of new mail
    crash    50 × kill -9 under load

Load comes from tools/mailload, the server is a release build, the store is in $FIGURES_DIR (default: a scratch folder of
the target directory, which should be on a real disk). Prints Markdown. Measure on a quiet machine: it says what else was running.
"""
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
sys.path.insert(0, os.path.join(ROOT, "tests/clients"))
TARGET = os.path.abspath(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")))
SCRATCH = os.environ.get("FIGURES_DIR", os.path.join(TARGET, "figures"))
# The load comes from one address, and 1,000 logins at once must not wait for each other's hashes for minutes.
LIMITS = "unauthenticated_per_address = 5000\nconnections_per_account = 5000\n"


# What is as large as a mailbox can be, and said by one command.
LARGE = {
    "SORT": ["UID SORT (REVERSE DATE) UTF-8 ALL"],
    "THREAD": ["UID THREAD REFERENCES UTF-8 ALL"],
    "FETCH 1:* ENVELOPE": ["UID FETCH 1:* (ENVELOPE)"],
    "STORE 1:* +FLAGS": ["UID STORE 1:* +FLAGS (\\Flagged)", "UID STORE 1:* -FLAGS (\\Flagged)"],
    "UID MOVE of 10,000": ["SELECT ten", "UID MOVE 1:* Archive", "SELECT Archive", "UID MOVE 1:* ten"],
    "SEARCH BODY": ["UID SEARCH BODY nowhere"],
}


def main(names):
    known = {"build": build, "lines": lines, "lmtp": lmtp, "mailbox": mailbox, "changes": changes, "beside": beside,
             "idle": idle, "crash": crash}
    os.makedirs(SCRATCH, exist_ok=True)
    os.environ["TMPDIR"] = SCRATCH
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d')}\n\n| figure | value |\n|---|---|", flush=True)
    for name in names or known:
        known[name]()


def row(what, value):
    print(f"| {what} | {value} |", flush=True)


# Build and size.

def build():
    place = os.path.join(SCRATCH, "clean")
    shutil.rmtree(place, ignore_errors=True)
    cargo("fetch", "--locked")
    begin = time.monotonic()
    cargo("build", "--release", "--locked", "--package", "pillarbox", "--target-dir", place)
    row("clean release build", f"{time.monotonic() - begin:.0f} s")
    row("the program", f"{os.path.getsize(os.path.join(place, 'release/pillarbox')) / 1e6:.1f} MB")
    shutil.rmtree(place)


def lines():
    said = subprocess.run(["cargo", "xtask", "lines"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    row("size", said.splitlines()[0])


# What a running server does.

def lmtp():
    with server({"u0001": "pass"}) as s:
        for conns in (1, 16):
            r = load(s, "lmtp", f"conns={conns}", "size=12000", "secs=15")
            row(f"LMTP, {conns} connection{'s' * (conns > 1)}, 12 KB, durable", rate(r))
    with server({f"u{n:04}": "pass" for n in range(1, 17)}) as s:
        r = load(s, "lmtp", "conns=16", "size=12000", "secs=15", "users=16")
        row("LMTP, 16 connections to 16 accounts", rate(r))


def mailbox():
    with server({"u0001": "pass"}) as s:
        begin = time.monotonic()
        fill(s)
        row("filling 100,000 messages by MULTIAPPEND", f"{time.monotonic() - begin:.0f} s")
        timed(s, "after the filling")
        s.restart()
        timed(s, "after a restart")
        s.stop()
        drop_caches()
        s.start()
        timed(s, "after a restart with an empty page cache")


def timed(s, when):
    """Each command three times on one connection: the first is what a restart costs, the best is warm."""
    steps = [{"name": "warm up", "cmd": "NOOP"}]
    for name, command in (("SELECT", "SELECT big"), ("FETCH FLAGS", "UID FETCH 1:* (FLAGS)"), ("FETCH ENVELOPE", "UID FETCH 1:* (ENVELOPE)"),
                          ("SEARCH UNSEEN", "UID SEARCH UNSEEN"), ("STATUS", "STATUS big (MESSAGES UNSEEN)"),
                          ("SORT (REVERSE DATE)", "UID SORT (REVERSE DATE) UTF-8 ALL"), ("SORT (SUBJECT)", "UID SORT (SUBJECT) UTF-8 ALL"),
                          ("THREAD REFERENCES", "UID THREAD REFERENCES UTF-8 ALL")):
        steps.append({"name": name, "cmd": command, "repeat": 3})
    for step in script(s, steps):
        if step["name"] != "warm up":
            first, best = step["secs"][0] * 1e3, min(step["secs"]) * 1e3
            row(f"{step['name']} of 100,000, {when}", f"first {first:.1f} ms, warm {best:.1f} ms, {step['bytes'] / 1e6:.1f} MB")


def changes():
    with server({"u0001": "pass"}) as s:
        fill(s)
        client = s.client("u0001")
        validity, before = state(client, "big")
        client.select("big")
        for n in range(1, 81):
            client.uid("STORE", str(n * 997), "+FLAGS.SILENT", "(\\Answered)")
        for n in range(1, 21):
            client.uid("STORE", str(n * 4001), "+FLAGS.SILENT", "(\\Deleted)")
            client.uid("EXPUNGE", str(n * 4001))
        steps = [{"cmd": "ENABLE QRESYNC"}, {"name": "QRESYNC", "cmd": f"SELECT big (QRESYNC ({validity} {before}))", "repeat": 5}]
        for step in script(s, steps):
            secs, size = min(step["secs"]) * 1e3, step["bytes"] / 1e3
            row("QRESYNC of 100,000 messages after 80 changed and 20 went", f"{secs:.1f} ms, {size:.1f} KB")
        here, there = state(client, "big")[1], state(client, "Archive")[1]
        for step in script(s, [{"cmd": "SELECT big"}, {"name": "MOVE", "cmd": "UID MOVE 85001:95000 Archive"}]):
            commits = f"mod-sequences: {state(client, 'big')[1] - here} in the source, {state(client, 'Archive')[1] - there} in the target"
            row("UID MOVE of 10,000 messages", f"{step['secs'][0] * 1e3:.0f} ms, {step['bytes'] / 1e3:.0f} KB; {commits}")


def beside():
    with server({"u0001": "pass"}) as s:
        fill(s)
        client = s.client("u0001")
        client.create("ten")
        client.select("big")
        client.uid("COPY", "1:10000", "ten")
        client.append("INBOX", None, None, b"Subject: one\r\n\r\ntext\r\n")
        client.logout()
        for what, commands in {"nothing": None, **LARGE}.items():
            for name, probe in (("NOOP", "NOOP"), ("FETCH of one message", "UID FETCH 1 (ENVELOPE BODY.PEEK[])")):
                process = subprocess.Popen([mailload(), "probe", f"cmd={probe}", *address(s)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                assert json.loads(process.stdout.readline())["ready"]
                end = time.monotonic() + 10
                while time.monotonic() < end:
                    if commands:
                        script(s, [{"cmd": "SELECT big"}, *({"name": command, "cmd": command} for command in commands)])
                    else:
                        time.sleep(1)
                r = json.loads(process.communicate("\n")[0])
                row(f"{name} beside {what}", f"median {r['p50_ms']:.2f} ms, 99 % {r['p99_ms']:.2f} ms, longest {r['max_ms']:.2f} ms")


def idle(sessions=1000):
    with server({f"u{n:04}": "pass" for n in range(1, 101)}) as s:
        empty = pss(s)
        process = subprocess.Popen([mailload(), "idle", f"conns={sessions}", "users=100", *address(s)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = json.loads(process.stdout.readline())
        assert ready["ready"] == sessions, ready
        full = pss(s)
        row("memory (PSS) without a session", f"{empty / 1024:.1f} MiB")
        row(f"memory (PSS) with {sessions:,} sessions in IDLE", f"{full / 1024:.1f} MiB, {(full - empty) / sessions:.1f} KiB each")
        process.stdin.write("push 1\n")
        process.stdin.flush()
        push = json.loads(process.stdout.readline())
        row(f"push to {push['seen']} idle sessions of one account", f"first {push['first_ms']:.1f} ms, last {push['last_ms']:.1f} ms after the 250")
        process.stdin.close()
        process.wait()


def crash():
    check = os.path.join(ROOT, "tests/clients/check_crash.py")
    said = subprocess.run([sys.executable, check, "--rounds", "50"], env={**os.environ, "PILLARBOX": program()}, capture_output=True, text=True)
    print(said.stdout, said.stderr, file=sys.stderr)
    assert said.returncode == 0, "kill -9 lost something"
    row("50 × kill -9", said.stdout.splitlines()[-2].strip())


# Helpers.

def cargo(*words):
    done = subprocess.run(["cargo", *words], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(done.stdout[-5000:])


@functools.cache
def program():
    """The release build; $PILLARBOX names another."""
    if ready := os.environ.get("PILLARBOX"):
        return ready
    cargo("build", "--release", "--locked", "--package", "pillarbox")
    return os.path.join(TARGET, "release/pillarbox")


@functools.cache
def mailload():
    place = os.path.join(TARGET, "mailload")
    cargo("build", "--release", "--locked", "--manifest-path", "tools/mailload/Cargo.toml", "--target-dir", place)
    return os.path.join(place, "release/mailload")


def server(accounts):
    from harness import Server
    return Server(accounts, program=program(), limits=LIMITS, plaintext=True)


def address(s):
    return [f"host={s.host}", f"port={s.imap}", f"lmtp_port={s.lmtp}", "user=u%04d", "pass=pass"]


def load(s, *words):
    out = subprocess.run([mailload(), *words, *address(s)], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
    result = json.loads(out.splitlines()[-1])
    assert not result.get("errors"), result
    return result


def fill(s):
    load(s, "fill", "count=100000", "mailbox=big", "median=3000", "sigma=1")


def script(s, steps):
    """What the steps with a name took."""
    out = subprocess.run([mailload(), "script", *address(s)], input=json.dumps(steps), check=True, capture_output=True, text=True).stdout
    done = [json.loads(line) for line in out.splitlines()]
    assert all(step["ok"] for step in done), done
    return done


def state(client, name):
    """UIDVALIDITY and HIGHESTMODSEQ."""
    said = client.status(name, "(UIDVALIDITY HIGHESTMODSEQ)")[1][0].decode()
    return tuple(int(re.search(rf"{item} (\d+)", said)[1]) for item in ("UIDVALIDITY", "HIGHESTMODSEQ"))


def rate(r):
    return f"{r['rate']:,.0f} messages/s (median {r['p50_ms']:.2f} ms, 99 % {r['p99_ms']:.2f} ms)"


def pss(s):
    with open(f"/proc/{s.process.pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))


def drop_caches():
    """Needs root."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3")


main(sys.argv[1:])
