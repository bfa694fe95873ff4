#!/usr/bin/env python3
"""bench.py TARGET.toml TEST[,TEST...] [[TEST.]key=value ...] - run benchmarks on one server.

Tests: imaptest fill latency bodies beside delivery append idle login newlogins scale memory slow (see README.md).
Results are written to results/<target>/<test>.json; report.py makes tables.
"""
import contextlib, fcntl, json, os, re, resource, statistics, subprocess, sys, time, tomllib

import growth

HERE = os.path.dirname(os.path.abspath(__file__))
os.environ.setdefault("BENCH", HERE)          # for the start and stop commands of target files
LOAD = os.environ.get("MAILLOAD", "mailload")
IMAPTEST = os.environ.get("IMAPTEST", "imaptest")
LOCK = os.environ.get("BENCH_LOCK")          # held exclusively while measuring
DISK = os.environ.get("BENCH_DISK", "vda")


LEASE = float(os.environ.get("BENCH_LEASE", "250"))
_lock = {"fd": None, "since": 0.0}


@contextlib.contextmanager
def quiet():
    """Exclusive use of the machine for a measurement, if BENCH_LOCK is set.
    The lock is kept over several measurements, for about LEASE seconds, so
    that a benchmark does not queue anew for each of them."""
    if LOCK:
        if _lock["fd"] is not None and time.time() - _lock["since"] > LEASE:
            os.close(_lock["fd"])
            _lock["fd"] = None
            time.sleep(0.3)
        if _lock["fd"] is None:
            fd = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o666)
            t0 = time.time()
            fcntl.flock(fd, fcntl.LOCK_EX)
            _lock.update(fd=fd, since=time.time())
            print(f"(lock after {time.time() - t0:.0f} s)", flush=True)
    yield


def read(p):
    with open(p) as f:
        return f.read()


def stat_busy():
    v = [int(x) for x in read("/proc/stat").split("\n")[0].split()[1:9]]
    return (sum(v) - v[3] - v[4]) / os.sysconf("SC_CLK_TCK")


def written():
    """(bytes written, write requests) of the disk since boot."""
    for l in read("/proc/diskstats").split("\n"):
        w = l.split()
        if len(w) > 9 and w[2] == DISK:
            return int(w[9]) * 512, int(w[7])
    return 0, 0


def touch_memory(octets=int(float(os.environ.get("BENCH_TOUCH", "3")) * (1 << 30))):
    """Takes free memory, writes to it and gives it back. A virtual machine may give pages that are free to its host, and
    whoever uses them first waits until they are there again: that is to be neither of the servers."""
    subprocess.run([sys.executable, "-c", f"bytes([1]) * {octets}"], check=True)


class Target:
    def __init__(self, path):
        with open(path, "rb") as f:
            self.c = tomllib.load(f)
        self.name = self.c["name"]
        self.out = os.path.join(os.environ.get("BENCH_OUT", "results"), self.name)
        os.makedirs(self.out, exist_ok=True)

    def sh(self, what):
        if self.c.get(what):
            subprocess.run(self.c[what], shell=True, check=(what != "stop"), stdout=subprocess.DEVNULL,
                           stdin=subprocess.DEVNULL)

    def start(self):
        self.sh("start")
        end = time.time() + 60
        while time.time() < end:
            r = subprocess.run([LOAD, "login", "conns=1", "secs=0.05", f"users=1", *self.args()], capture_output=True, text=True)
            if '"errors":0' in r.stdout:
                return
            time.sleep(0.2)
        sys.exit("the server does not come up: " + r.stdout + r.stderr)

    def restart(self, cold=False):
        self.sh("stop")
        if cold:
            os.sync()
            with open("/proc/sys/vm/drop_caches", "w") as f:
                f.write("3")
            touch_memory()
        self.start()

    def cg(self):
        return self.c["cgroup"]

    def cpu(self):
        return int(read(self.cg() + "/cpuacct.usage")) / 1e9

    def pids(self):
        return read(self.cg() + "/cgroup.procs").split()

    def memory(self):
        """Summed PSS/RSS of all server processes, in KiB, and how many they are."""
        pss = rss = n = 0
        for p in self.pids():
            with contextlib.suppress(OSError):
                t = read(f"/proc/{p}/smaps_rollup")
                pss += int(re.search(r"^Pss:\s+(\d+)", t, re.M)[1])
                rss += int(re.search(r"^Rss:\s+(\d+)", t, re.M)[1])
                n += 1
        return {"pss_kib": pss, "rss_kib": rss, "processes": n}

    def args(self, tls=False):
        c = self.c
        a = [f"host={c['host']}", f"port={c['imaps_port' if tls else 'imap_port']}", f"tls={int(tls)}", f"user={c['user']}",
             f"pass={c['pass']}", f"cpuacct={self.cg()}/cpuacct.usage"]
        if "lmtp_port" in c:
            a.append(f"lmtp_port={c['lmtp_port']}")
        if "rcpt" in c:
            a.append(f"rcpt={c['rcpt']}")
        return a

    def load(self, sub, *kv, tls=False, stdin=None, lock=True):
        """Runs mailload; returns its JSON lines, with the CPU others used."""
        with quiet() if lock else contextlib.nullcontext():
            b0, c0, r0, t0 = stat_busy(), self.cpu(), resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
            r = subprocess.run([LOAD, sub, *self.args(tls), *kv], input=stdin, capture_output=True, text=True)
            b1, c1, r1 = stat_busy(), self.cpu(), resource.getrusage(resource.RUSAGE_CHILDREN)
            dt = max(time.time() - t0, 1e-3)
        client = r1.ru_utime + r1.ru_stime - r0.ru_utime - r0.ru_stime
        other = max(0, b1 - b0 - (c1 - c0) - client) / dt
        if r.returncode:
            print("FAILED", sub, kv, r.stderr[-500:], file=sys.stderr)
        res = [json.loads(l) for l in r.stdout.splitlines() if l.startswith("{")]
        for x in res:
            x["other_cpu"] = round(other, 3)
            x["client_cpu_s"] = round(client, 3)
        return res

    def save(self, test, data):
        p = os.path.join(self.out, test + ".json")
        with open(p, "w") as f:
            json.dump({"target": self.name, "test": test, "at": time.strftime("%F %T"), "about": self.c.get("about", ""), "data": data}, f, indent=1)
        print("wrote", p)


def imaptest(t, clients="20,100,500", secs="20", reps="3", mbox="", **kw):
    """imaptest's default mix; fresh users for each run."""
    out, first = [], int(kw.get("first", 1001))
    c = t.c
    for n in map(int, clients.split(",")):
        for rep in range(int(reps)):
            users = min(n, int(kw.get("max_users", 200)))
            if first + users > c["users"]:
                first = 1001
            tmpl = c["user"]
            cmd = [IMAPTEST, f"host={c['host']}", f"port={c['imap_port']}", f"user={tmpl}", f"users={first}-{first + users - 1}",
                   f"pass={c['pass']}", f"mbox={mbox}", f"clients={n}", f"secs={secs}", f"seed={rep + 1}", *kw.get("extra", "").split()]
            first += users
            if t.c.get("fresh"):
                t.sh("stop"); t.sh("fresh"); t.start()
            with quiet():
                b0, c0, r0 = stat_busy(), t.cpu(), resource.getrusage(resource.RUSAGE_CHILDREN)
                w0, t0 = written(), time.time()
                p = subprocess.run(cmd, capture_output=True, text=True, timeout=int(secs) * 4 + 120)
                dt = time.time() - t0
                cpu = t.cpu() - c0
                b1, r1 = stat_busy(), resource.getrusage(resource.RUSAGE_CHILDREN)
                os.sync()
                w1 = written()
            text = p.stdout + p.stderr
            with open(os.path.join(t.out, f"{kw.get('as', 'imaptest')}-{n}-{rep}.log"), "w") as f:
                f.write(" ".join(cmd) + "\n" + text)
            counts = parse_imaptest(text)
            total = sum(counts.values())
            client = r1.ru_utime + r1.ru_stime - r0.ru_utime - r0.ru_stime
            row = {"clients": n, "rep": rep, "secs": dt, "commands": total, "per_s": total / min(dt, float(secs) + 1), "cpu_s": cpu,
                   "cpu_ms_per_cmd": cpu * 1000 / max(total, 1), "counts": counts, "stalled": len(re.findall(r"stalled", text)),
                   "errors": len(re.findall(r"^Error|Fatal|Panic", text, re.M)), "bytes_written": w1[0] - w0[0],
                   "client_cpu_s": client, "other_cpu": max(0, b1 - b0 - cpu - client) / dt}
            errs = [l for l in text.split("\n") if l.startswith("Error")]
            row["first_errors"] = errs[:3]
            # connections that hang keep imaptest waiting long after its time
            row["hung"] = max([int(x) for x in re.findall(r"\((\d+) stalled", text)] or [0])
            print({k: row[k] for k in ("clients", "per_s", "cpu_s", "cpu_ms_per_cmd", "stalled", "errors", "other_cpu")}, flush=True)
            out.append(row)
    t.save(kw.get("as", "imaptest"), out)


def parse_imaptest(text):
    """Counts per command from the Totals block imaptest prints at its end."""
    lines = text.split("\n")
    for i, l in enumerate(lines):
        if l.startswith("Totals:"):
            names = lines[i + 1].split()
            for k in range(i + 1, min(i + 5, len(lines))):
                w = lines[k].split()
                if w and all(re.fullmatch(r"\d+", x) for x in w):
                    return dict(zip(names, map(int, w)))
    return {}


def fill(t, sizes="1000,10000,100000", n="1", median="15000", sigma="1.1", batch="200", **kw):
    """m1000, m10000, m100000 of user n, and 500 folders of user 3."""
    out = []
    for s in map(int, sizes.split(",")):
        out += t.load("fill", f"n={n}", f"mailbox=m{s}", f"count={s}", f"median={median}", f"sigma={sigma}", f"batch={batch}")
        print(out[-1:], flush=True)
    if int(kw.get("folders", 500)):
        t0 = time.time()
        t.load("folders", "n=3", f"folders={kw.get('folders', 500)}", "msgs=3")
        out.append({"test": "folders", "secs": time.time() - t0})
    t.save(kw.get("as", "fill"), out)


TB = ("UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References "
      "Newsgroups In-Reply-To Content-Type Reply-To)]")


def latency(t, big="100000", reps="3", n="1", **kw):
    """Single-connection commands: cold (restart, caches dropped) and warm."""
    N = int(big)
    box = f"m{N}"
    res = {}

    def run(steps, kind, cold=False):
        with quiet():
            if cold:
                t.restart(cold=True)
                # the programs themselves shall be in memory, the mail not
                steps = [{"c": "w", "n": int(kw.get("other", 1999)), "pre": ["SELECT INBOX"]}] + steps
            for x in t.load("script", f"n={n}", stdin=json.dumps(steps), lock=False):
                r = res.setdefault(f"{x['name']} [{kind}]", {"secs": [], "cpu": [], "ttfb": [], "bytes": 0, "ok": True})
                r["secs"] += x["secs"]; r["cpu"] += x["cpu"]; r["ttfb"] += x["ttfb"]
                r["bytes"] = x["bytes"]; r["untagged"] = x["untagged"]; r["status"] = x["status"]; r["ok"] &= x["ok"]
                if x["name"].startswith("STATUS (each") and len(r["secs"]) % 500:
                    continue
                print(f"{x['name']} [{kind}] {statistics.median(x['secs'] or [0]):.4f}s cpu {statistics.median(x['cpu'] or [0]):.4f} {x['bytes']} B ok={x['ok']} {x['status'][:60]}", flush=True)

    boxes = [int(x) for x in kw.get("boxes", f"1000,10000,{N}").split(",")]
    for s in boxes:
        for _ in range(int(reps)):
            run([{"name": f"SELECT m{s}", "cmd": f"SELECT m{s}"}], "cold", True)
    cold = {
        "FETCH 1:* (UID FLAGS)": "FETCH 1:* (UID FLAGS)",
        "FETCH 1:* envelope": "FETCH 1:* (ENVELOPE BODYSTRUCTURE INTERNALDATE RFC822.SIZE)",
        "FETCH 1:* thunderbird": f"UID FETCH 1:* ({TB})",
    }
    for name, cmd in cold.items():
        for _ in range(int(kw.get("cold_reps", "1"))):
            run([{"pre": [f"SELECT {box}"]}, {"name": name, "cmd": cmd}], "cold", True)
    for _ in range(int(kw.get("cold_reps", "1"))):
        run([{"pre": [f"SELECT m10000"]}, {"name": "FETCH 1:* BODY.PEEK[] m10000", "cmd": "FETCH 1:* BODY.PEEK[]"}], "cold", True)

    t.restart()
    r = int(reps)
    warm = []
    for s in boxes:
        warm.append({"name": f"SELECT m{s}", "pre": ["SELECT INBOX"], "cmd": f"SELECT m{s}", "repeat": 11})
        warm.append({"name": f"SELECT m{s} new connection", "conn": "new", "cmd": f"SELECT m{s}", "repeat": 1})
    warm.append({"pre": [f"SELECT {box}"]})
    warm.append({"name": "NOOP", "cmd": "NOOP", "repeat": 201})
    warm.append({"name": "UID FETCH one FLAGS", "cmd": f"UID FETCH {N // 2} (FLAGS)", "repeat": 101})
    warm.append({"name": "UID FETCH one BODY.PEEK[]", "cmd": f"UID FETCH {N // 2} (BODY.PEEK[])", "repeat": 101})
    for name, cmd in cold.items():
        warm.append({"name": name, "cmd": cmd, "repeat": r})
    run(warm, "warm")
    search = [{"pre": [f"SELECT {box}"]}]
    for name, cmd in {
        "SEARCH UNSEEN": "SEARCH UNSEEN", "SEARCH SINCE": "SEARCH SINCE 1-Jun-2021", "SEARCH ALL": "SEARCH ALL",
        "SEARCH SUBJECT": "SEARCH SUBJECT quarterly-pelican", "SEARCH FROM": "SEARCH FROM ivanova",
        "SORT (REVERSE DATE)": "SORT (REVERSE DATE) UTF-8 ALL", "SORT (SUBJECT)": "SORT (SUBJECT) UTF-8 ALL",
        "THREAD REFERENCES": "THREAD REFERENCES UTF-8 ALL"}.items():
        search.append({"name": name, "cmd": cmd, "repeat": r})
    run(search, "warm")
    run([{"pre": ["SELECT m10000"]},
         {"name": "SEARCH BODY m10000", "cmd": "SEARCH BODY xylophone-tangerine", "repeat": 2},
         {"name": "SEARCH TEXT m10000", "cmd": "SEARCH TEXT xylophone-tangerine", "repeat": 2},
         {"name": "FETCH 1:* BODY.PEEK[] m10000", "cmd": "FETCH 1:* BODY.PEEK[]", "repeat": r}], "warm")
    run([{"pre": [f"SELECT {box}"]},
         {"name": "STORE 1:* +FLAGS (\\Seen)", "pre": ["STORE 1:* -FLAGS.SILENT (\\Seen)"], "cmd": "STORE 1:* +FLAGS (\\Seen)", "repeat": r},
         {"name": "STORE 1:* +FLAGS.SILENT (kw)", "pre": ["STORE 1:* -FLAGS.SILENT (kw)"], "cmd": "STORE 1:* +FLAGS.SILENT (kw)", "repeat": r},
         {"name": "STORE one", "pre": [f"STORE {N // 2} -FLAGS (\\Flagged)"], "cmd": f"STORE {N // 2} +FLAGS (\\Flagged)", "repeat": 51}], "warm")
    mv = []
    for k in range(r):
        mv += [{"pre": ["SELECT m10000", f"CREATE tmp{k}", f"CREATE dst{k}"]},
               {"name": "UID COPY 10k", "cmd": f"UID COPY 1:* tmp{k}"},
               {"pre": [f"SELECT tmp{k}"]},
               {"name": "UID MOVE 10k", "cmd": f"UID MOVE 1:* dst{k}"},
               {"pre": [f"SELECT dst{k}", "STORE 1:* +FLAGS.SILENT (\\Deleted)"]},
               {"name": "EXPUNGE 10k", "cmd": "EXPUNGE"},
               {"pre": ["CLOSE", f"DELETE dst{k}", f"DELETE tmp{k}"]}]
    run(mv, "warm")
    folders = [{"conn": "new", "n": 3, "name": "LIST 500", "cmd": 'LIST "" "*"', "repeat": 5},
               {"name": "LIST-STATUS 500", "cmd": 'LIST "" "*" RETURN (STATUS (MESSAGES UIDNEXT UNSEEN HIGHESTMODSEQ))', "repeat": 5}]
    run(folders, "warm")
    run([{"conn": "new", "n": 3}] + [{"name": "STATUS (each of 500 folders)", "cmd": f"STATUS f{k:03d} (MESSAGES UIDNEXT UNSEEN)"} for k in range(500)], "warm")
    run([{"conn": "new", "n": 3, "name": "LIST-STATUS 500", "cmd": folders[1]["cmd"]}], "cold", True)
    # QRESYNC: state is taken, another connection makes 100 changes, then it resyncs
    q = [{"c": "a", "pre": ["ENABLE QRESYNC"]}]
    for k in range(r):
        lo = 100 + k * 2000
        q += [{"c": "a", "cmd": f"SELECT {box}", "save": {"v": r"UIDVALIDITY (\d+)", "m": r"HIGHESTMODSEQ (\d+)"}, "name": "SELECT with QRESYNC on"},
              {"c": "a", "pre": ["UNSELECT"]},
              {"c": "b", "pre": [f"SELECT {box}", f"UID STORE {lo}:{lo + 49} +FLAGS.SILENT (changed{k})",
                                 f"UID STORE {lo + 1000}:{lo + 1049} +FLAGS.SILENT (\\Deleted)", "EXPUNGE", "UNSELECT"]},
              {"c": "a", "name": "QRESYNC after 100 changes", "cmd": f"SELECT {box} (QRESYNC ({{{{v}}}} {{{{m}}}}))"},
              {"c": "a", "pre": ["UNSELECT"]}]
    run(q, "warm")
    t.save(kw.get("as", "latency"), res)


def bodies(t, count="10000", reps="5", cold_reps="3", n="2", median="15000", sigma="1.1", **kw):
    """Whole messages: as they come in, what they take of the disk, as they go out."""
    def stored():
        t.sh("stop")
        return sum(os.lstat(os.path.join(d, f)).st_blocks * 512 for d, _, files in os.walk(t.c["datadir"]) for f in files)

    box = f"b{int(time.time())}"
    before = stored()
    t.start()
    x = t.load("fill", f"n={n}", f"mailbox={box}", f"count={count}", f"median={median}", f"sigma={sigma}", "batch=200")[0]
    x["disk_times"] = (stored() - before) / x["bytes"]
    x["fill_cpu_ms_each"] = x["cpu"] * 1000 / int(count)
    fetch = {"name": "bodies", "cmd": "FETCH 1:* BODY.PEEK[]"}
    other = {"c": "w", "n": int(kw.get("other", 1999)), "pre": ["SELECT INBOX"]}
    for kind, times in (("cold", int(cold_reps)), ("warm", 1)):
        runs = []
        for _ in range(times):
            t.restart(cold=kind == "cold")
            steps = [other, {"pre": [f"SELECT {box}"]}]
            steps += [fetch] if kind == "cold" else [{"pre": [fetch["cmd"]]}, {**fetch, "repeat": int(reps)}]
            runs += [y for y in t.load("script", f"n={n}", stdin=json.dumps(steps)) if y["name"] == "bodies"]
        for figure in ("secs", "cpu"):
            x[f"{kind}_{figure}"] = statistics.median(s for y in runs for s in y[figure])
        x[f"{kind}_mb_per_s"] = x["bytes"] / 1e6 / x[f"{kind}_secs"]
    print({k: round(v, 3) if isinstance(v, float) else v for k, v in x.items()}, flush=True)
    t.save("bodies", [x])


def delivery(t, secs="5", sizes="4096,51200,1048576", conns="1,16,64", many="500", reps="1", **kw):
    """LMTP deliveries per second, to one user and to many."""
    out = []
    for size in map(int, sizes.split(",")):
        for users in (1, int(many)):
            for c in map(int, conns.split(",")):
                for _ in range(int(reps)):
                    with quiet():
                        os.sync(); w0 = written()
                        x = t.load("lmtp", f"conns={c}", f"secs={secs}", f"size={size}", f"users={users}", f"first={11 if users > 1 else 10}", lock=False)
                        os.sync(); w1 = written()
                    if not x:
                        continue
                    x = x[0]
                    x["disk_bytes"], x["disk_writes"] = w1[0] - w0[0], w1[1] - w0[1]
                    x["write_amp"] = x["disk_bytes"] / max(1, x["done"] * size)
                    print(f"lmtp {size} users={users} conns={c}: {x['rate']:.0f}/s cpu {x['cpu_ms_each']:.3f} ms p50 {x['p50_ms']:.2f} p99 {x['p99_ms']:.2f} amp {x['write_amp']:.2f} errors {x['errors']} {x['first_error'][:80]} other {x['other_cpu']}", flush=True)
                    out.append(x)
    t.save(kw.get("as", "delivery"), out)


def append(t, secs="5", sizes="4096,51200,1048576", conns="1,16", batches="1,10", many="500", **kw):
    """APPEND (batch=1) and MULTIAPPEND (batch=10) messages per second."""
    out = []
    for size in map(int, sizes.split(",")):
        for users in (1, int(many)):
            for c in map(int, conns.split(",")):
                if users > 1 and c == 1:
                    continue
                for b in map(int, batches.split(",")):
                    with quiet():
                        os.sync(); w0 = written()
                        x = t.load("append", f"conns={c}", f"secs={secs}", f"size={size}", f"users={users}", f"batch={b}", "first=600", "mailbox=app", lock=False)
                        os.sync(); w1 = written()
                    if not x:
                        continue
                    x = x[0]
                    x["disk_bytes"], x["disk_writes"] = w1[0] - w0[0], w1[1] - w0[1]
                    x["write_amp"] = x["disk_bytes"] / max(1, x["done"] * size)
                    print(f"append {size} users={users} conns={c} batch={b}: {x['rate']:.0f}/s cpu {x['cpu_ms_each']:.3f} ms p50 {x['p50_ms']:.2f} amp {x['write_amp']:.2f} errors {x['errors']} {x['first_error'][:80]}", flush=True)
                    out.append(x)
    t.save(kw.get("as", "append"), out)


def meminfo(k):
    return int(re.search(rf"^{k}:\s+(\d+)", read("/proc/meminfo"), re.M)[1])


def idle(t, conns="1000,5000,10000", users="1000", tls="0,1", pushes="11", settle="3", **kw):
    """Idle authenticated connections: memory, login time, push latency."""
    out = []
    for tl in map(int, tls.split(",")):
        for n in map(int, conns.split(",")):
            t.restart()
            with quiet():
                time.sleep(3)  # what the first login took to hash has been given back
                base, kmem0 = t.memory(), meminfo("MemAvailable")
                # one warm login, so that the server's helpers are all up
                a = [LOAD, "idle", *t.args(bool(tl)), f"conns={n}", f"users={users}", "inflight=32", "max_secs=150"]
                p = subprocess.Popen(a, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
                ready = json.loads(p.stdout.readline())
                time.sleep(float(settle))
                kmem1 = meminfo("MemAvailable")
                mem = t.memory()
                client = int(re.search(r"^Pss:\s+(\d+)", read(f"/proc/{p.pid}/smaps_rollup"), re.M)[1])
                c0 = t.cpu(); time.sleep(2); idle_cpu = (t.cpu() - c0) / 2
                push = []
                if "lmtp_port" in t.c:
                    for k in range(int(pushes)):
                        p.stdin.write(f"push {1 + k * 37 % int(users)}\n"); p.stdin.flush()
                        push.append(json.loads(p.stdout.readline()))
                p.stdin.write("stat\n"); p.stdin.flush()
                st = json.loads(p.stdout.readline())
                p.stdin.write("quit\n"); p.stdin.flush()
                p.wait()
            ok = ready["ready"]
            row = {"conns": n, "tls": tl, "ready": ok, "dropped": st["dropped"], "errors": ready["errors"], "first_error": ready["first_error"], "login_secs": ready["secs"],
                   "login_cpu": ready["cpu"], "login_p50_ms": ready["p50_ms"], "login_p99_ms": ready["p99_ms"], **mem,
                   "base_pss_kib": base["pss_kib"], "pss_per_conn_kib": (mem["pss_kib"] - base["pss_kib"]) / max(ok, 1),
                   "system_kib_per_conn": (kmem0 - kmem1 - client) / max(ok, 1), "idle_cpu": idle_cpu, "client_pss_kib": client, "pushes": push}
            if push:
                for k in ("first_ms", "p50_ms", "last_ms"):
                    row["push_" + k] = statistics.median(x[k] for x in push)
                row["push_lost"] = sum(x["idlers"] - x["seen"] for x in push)
            print({k: (round(v, 2) if isinstance(v, float) else v) for k, v in row.items() if k != "pushes"}, flush=True)
            out.append(row)
    t.save(kw.get("as", "idle"), out)


def login(t, secs="6", conns="16", reps="3", **kw):
    """connect + LOGIN + LOGOUT per second, plaintext and full TLS handshakes."""
    out = []
    # Passwords are seen for the first time here: hashing them is not what this row is about.
    t.load("login", f"conns={conns}", "secs=4", "users=100")
    for tl in (0, 1):
        for _ in range(int(reps)):
            x = t.load("login", f"conns={conns}", f"secs={secs}", "users=100", tls=bool(tl))[0]
            print(f"login tls={tl}: {x['rate']:.0f}/s cpu {x['cpu_ms_each']:.3f} ms p50 {x['p50_ms']:.2f} p99 {x['p99_ms']:.2f} errors {x['errors']} {x['first_error'][:60]} other {x['other_cpu']}", flush=True)
            out.append(x)
    t.save("login", out)


def newlogins(t, count="1000", conns="64", tls="0", **kw):
    """Logins that the server has not seen since it started, and what a session that is in feels of them."""
    def flood():
        # Nobody twice: a server may remember whom it knows.
        a = [LOAD, "login", *t.args(bool(int(tls))), f"conns={conns}", f"users={count}", f"count={count}", "secs=3600"]
        p, top = subprocess.Popen(a, stdout=subprocess.PIPE, text=True), 0
        while p.poll() is None:
            top = max(top, t.memory()["pss_kib"])
            time.sleep(0.2)
        return json.loads(p.stdout.read()), top

    t.restart()
    alone, _ = growth.probed(t, lambda: time.sleep(5), kw.get("other", 1999))
    base = t.memory()["pss_kib"]
    beside, (x, top) = growth.probed(t, flood, kw.get("other", 1999))
    x |= {"noop_alone_p99_ms": alone, "noop_p99_ms": beside, "noop_ratio": beside / alone, "grown_kib": top - base}
    print({k: round(v, 3) if isinstance(v, float) else v for k, v in x.items()}, flush=True)
    t.save("newlogins", [x])


def slow(t, ms="5", secs="5", **kw):
    """Small mail on a disk whose syncs take longer: delivery and append once more, by a shim (slow_sync.c)."""
    shim = os.path.join(t.out, "slow_sync.so")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", shim, os.path.join(HERE, "slow_sync.c")], check=True)
    os.environ |= {"SLOW_SYNC": os.path.abspath(shim), "SLOW_SYNC_MS": ms}
    try:
        t.restart()
        delivery(t, secs, "4096", kw.get("conns", "1,16,64"), **{"as": "slow-delivery"})
        append(t, secs, "4096", kw.get("conns", "1,16"), "1", **{"as": "slow-append"})
    finally:
        del os.environ["SLOW_SYNC"]
        t.restart()


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    t = Target(sys.argv[1])
    kv = dict(a.split("=", 1) for a in sys.argv[3:])
    test = {"imaptest": imaptest, "fill": fill, "latency": latency, "delivery": delivery, "append": append, "idle": idle, "login": login,
            "newlogins": newlogins, "slow": slow, "bodies": bodies, "beside": growth.beside, "scale": growth.scale, "memory": growth.memory}
    todo = [(w, test[w]) for w in sys.argv[2].split(",")]
    if kv.pop("start", "1") == "1":
        t.restart()
    for name, f in todo:
        # "latency.reps=2" goes to one test only, "reps=2" to all
        f(t, **{k.split(".")[-1]: v for k, v in kv.items() if "." not in k or k.startswith(name + ".")})


if __name__ == "__main__":
    main()
