#!/usr/bin/env python3
"""compare.py: the rows of docs/performance.md from the results of one run, Pillarbox beside its peer.

A row is (what, test, which of its results, which figure, unit, better). The ratio is how many times better Pillarbox is.
"""
import json
import os
import statistics
import sys

OUT = os.environ.get("BENCH_OUT", "results")
OURS, PEER = "pillarbox", "dovecot-mdbox"
MS, RATE, KIB, MIB, TIMES, SECONDS = "ms", "/s", "KiB", "MiB", "×", "s"


def main():
    print("| row | Pillarbox | Dovecot | ratio |\n|---|---|---|---|")
    for what, test, pick, unit, target in rows():
        ours, peer = (value(name, test, pick) for name in (OURS, PEER))
        if ours is None and peer is None:
            continue
        ratio = None
        if ours and peer:
            ratio = ours / peer if unit == RATE else peer / ours
        goal = f" (target {target})" if target else ""
        print(f"| {what} | {show(ours, unit)}{goal} | {show(peer, unit)} | {f'{ratio:.1f}' if ratio else ''} |")


def rows():
    for tls, name, target in ((0, "plaintext", "≤ 0.12 ms"), (1, "full TLS 1.3 handshake", "≤ 0.25 ms")):
        yield f"connect + LOGIN + LOGOUT, {name}: server CPU", "login", where("cpu_ms_each", tls=bool(tls)), MS, target
    for tls, name, target in ((0, "plaintext", "≤ 6 KiB"), (1, "TLS", "≤ 20 KiB")):
        for conns in (1000, 10000):
            yield f"idle connection, {name}, {conns:,} of them: PSS", "idle", where("pss_per_conn_kib", tls=tls, conns=conns), KIB, target
            yield f"push: LMTP reply to EXISTS, {name}, {conns:,} connections: last idler", "idle", where("push_last_ms", tls=tls, conns=conns), MS, "≤ 2 ms"
    yield from small_and_large("", ("delivery", "append"))
    yield from small_and_large("5 ms sync: ", ("slow-delivery", "slow-append"))
    yield from grown()
    for count in (1000, 10000, 100000, 1000000):
        yield f"filling {count:,} messages by MULTIAPPEND", "fill", where("rate", mailbox=f"m{count}"), RATE, "≥ 10,000 /s"
    yield from whole_messages()
    names = {name for server in (OURS, PEER) for name in (results(server, "latency") or {})}
    for name in sorted(names):
        yield name, "latency", lambda data, name=name: median(data.get(name, {}).get("secs"), 1000), MS, None
        if name.startswith("FETCH 1:*"):
            yield f"{name}: server CPU", "latency", lambda data, name=name: median(data.get(name, {}).get("cpu"), 1000), MS, None


def whole_messages():
    """Rows of bodies, and of commands over a whole mailbox beside somebody who does little."""
    for figure, unit, name, target in (("fill_cpu_ms_each", MS, "MULTIAPPEND, server CPU each", None), ("disk_times", TIMES, "octets on the disk per octet", None),
                                       ("warm_mb_per_s", RATE, "FETCH 1:* BODY.PEEK[] warm, MB", "≥ 1,500"), ("cold_mb_per_s", RATE, "the same cold, MB", "≥ 900"),
                                       ("warm_cpu", SECONDS, "warm, server CPU", None), ("cold_cpu", SECONDS, "cold, server CPU", None)):
        yield f"10,000 whole messages: {name}", "bodies", where(figure), unit, target
        yield f"10,000 whole messages, Pillarbox with zstd: {name}", "zstd", where(figure), unit, None
    for name in ("nothing", "FETCH 1:* envelope", "FETCH 1:* (UID FLAGS)", "SORT (REVERSE DATE)", "SORT (SUBJECT)", "THREAD REFERENCES", "SEARCH TEXT", "STORE 1:* +FLAGS", "UID COPY 1:*"):
        yield f"NOOP beside {name}: 99 %", "beside", where("p99_ms", beside=name), MS, "≤ 5 ms"


def small_and_large(disk, tests):
    """Rows of mail that comes in."""
    for test in tests:
        verb = "LMTP" if test.endswith("delivery") else "APPEND"
        targets = {("delivery", 4, 1, 1): "≥ 2,000", ("delivery", 4, 16, 500): "≥ 6,000", ("delivery", 4, 64, 1): "≥ 6,000", ("delivery", 50, 16, 500): "≥ 4,000",
                   ("append", 4, 1, 1): "≥ 2,500", ("append", 4, 16, 500): "≥ 12,000"}
        for size in (4, 50, 1024):
            for conns, users in ((1, 1), (16, 1), (64, 1), (1, 500), (16, 500), (64, 500)):
                for batch in ((None,) if test.endswith("delivery") else (1, 10)):
                    chosen = {"size": size * 1024, "conns": conns, "users": users, **({} if batch is None else {"batch": batch})}
                    name = f"{disk}{verb} {size} KB, {conns} connection{'s' * (conns > 1)} to {users} user{'s' * (users > 1)}" + (f", {batch} at once" if batch and batch > 1 else "")
                    yield name, test, where("rate", **chosen), RATE, targets.get((test, size, conns, users)) if batch in (None, 1) else None
                    yield f"{name}: server CPU each", test, where("cpu_ms_each", **chosen), MS, None
                    yield f"{name}: written per message byte", test, where("write_amp", **chosen), TIMES, None


def grown():
    """Rows of what must stay as it is, or grow slowly, while something else grows."""
    for figure, unit, name, target in (("secs", SECONDS, "all of them in", None), ("cpu_ms_each", MS, "server CPU each", None), ("grown_kib", KIB, "memory at the most", None),
                                       ("noop_alone_p99_ms", MS, "NOOP of a session that is in, without them: 99 %", None), ("noop_p99_ms", MS, "the same beside them", "≤ 2 times that")):
        yield f"logins never seen before: {name}", "newlogins", where(figure), unit, target
    for figure, name in (("selected", "SELECT"), ("read", "SELECT and FETCH 1:* (UID FLAGS)"), ("sorted", "the same and SORT (REVERSE DATE)"),
                         ("by_subject", "and SORT (SUBJECT)"), ("threaded", "and THREAD REFERENCES")):
        yield f"mailbox of 100,000, by three sessions each: {name}: PSS for each mailbox", "memory", where(f"{figure}_mib_per_mailbox"), MIB, "< 12 MiB"
    for size in (1000, 10000, 100000, 1000000):
        for name in ("SELECT", "STORE one", "APPEND one", "EXPUNGE one", "FETCH 1:* (FLAGS)", "STORE 1:* +FLAGS.SILENT", "SEARCH UNSEEN"):
            yield f"mailbox of {size:,}: {name}", "scale", where(name, size=size), MS, None
        yield f"mailbox of {size:,}: push", "scale", where("push_ms", size=size), MS, None
        for figure, name in (("selected_kib", "selected"), ("read_kib", "selected, FETCH 1:* (FLAGS)"), ("slow_reader_kib", "each client that asks for everything and reads nothing")):
            yield f"mailbox of {size:,}: memory, {name}", "scale", where(figure, size=size), KIB, None


def where(figure, **chosen):
    def pick(data):
        rows = [x for x in data if all(x.get(k) == v for k, v in chosen.items())]
        # A server that refuses work is quick.
        return None if any(x.get("errors") for x in rows) else median([x.get(figure) for x in rows])
    return pick


def median(values, scale=1):
    values = [v for v in values or [] if v is not None]
    return statistics.median(values) * scale if values else None


def results(server, test):
    # The same program with another configuration.
    if test == "zstd":
        return results("pillarbox-zstd", "bodies") if server == OURS else None
    try:
        with open(os.path.join(OUT, server, test + ".json")) as f:
            return json.load(f)["data"]
    except OSError:
        return None


def value(server, test, pick):
    data = results(server, test)
    return None if data is None else pick(data)


def show(x, unit):
    if x is None:
        return ""
    digits = 0 if x >= 100 else 1 if x >= 10 else 2 if x >= 0.1 else 3
    return f"{x:,.{digits}f}{'' if unit in (RATE, TIMES) else ' '}{unit}"


sys.exit(main())
