"""What every client test uses: a server of its own with a store of its own, two accounts, and mail to fill them with.

    from harness import Server, mail
    with Server() as server:
        ...

The server program is $PILLARBOX; `dovecot` there means the installed Dovecot, which shows whether a failure is the
test's or the server's. All ports are free ones, the server is waited for by what it prints, and it is stopped by its
process id. Whatever a test leaves is in a scratch folder that goes away when the test passes.
"""
import contextlib
import email.utils
import imaplib
import os
import re
import select
import shutil
import signal
import smtplib
import ssl
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = os.environ.get("CLIENTS_DIR", "")            # where tests/clients/setup put the pinned packages
PATIENCE = float(os.environ.get("PATIENCE", "60"))   # seconds until something that must happen counts as missing
STRICT = os.environ.get("PILLARBOX") != "dovecot"    # another server need not do what only Pillarbox promises
DOMAIN = "example.org"
ACCOUNTS = {"alice": "wonder land", "bob": 'quo"te\\d'}


class Server(contextlib.AbstractContextManager):
    """A running server. `imap`, `imaps` and `lmtp` are its ports; they may change when it is started again."""

    host = "127.0.0.1"

    def __new__(cls, *args, **kwargs):
        if cls is Server and os.environ.get("PILLARBOX") == "dovecot":
            from dovecot import Dovecot
            return super().__new__(Dovecot)
        return super().__new__(cls)

    def __init__(self, accounts=None, program=None, plaintext=False, limits=""):
        """`plaintext` lets clients log in without TLS; `limits` are lines of that section of the configuration."""
        self.accounts = dict(ACCOUNTS if accounts is None else accounts)
        self.dir = tempfile.mkdtemp(prefix="pillarbox-")
        self.program = program or os.environ.get("PILLARBOX")
        assert self.program, "PILLARBOX must name the server program (cargo xtask clients does that)"
        self.process = None
        self.cert, self.key = self.path("cert.pem"), self.path("key.pem")
        certificate(self.cert, self.key)
        self.configure("true" if plaintext else "false", limits)
        for name, password in self.accounts.items():
            self.create(name, password)
        self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
            shutil.rmtree(self.dir)
        else:
            self.kill()
            print(f"--- {self.dir} is kept; the server's last lines:", file=sys.stderr)
            with contextlib.suppress(OSError), open(self.path("server.log")) as log:
                sys.stderr.writelines(log.readlines()[-20:])

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def folder(self, name):
        """A scratch folder for a client."""
        os.makedirs(self.path(name), exist_ok=True)
        return self.path(name)

    # What differs between servers.

    def configure(self, plaintext, limits):
        with open(self.path("pillarbox.toml"), "w") as f:
            f.write(f"""
[store]
path = "{self.path('store')}"

[tls]
certificate = "{self.cert}"
key = "{self.key}"

[imap]
listen = ["{self.host}:0"]
plaintext_login_on_loopback = {plaintext}

[imaps]
listen = ["{self.host}:0"]

[lmtp]
listen = ["{self.host}:0"]

[limits]
{limits}
""")

    def command(self, *words, **kwargs):
        """A subcommand of the program with this server's configuration."""
        return subprocess.run([self.program, *words, "--config", self.path("pillarbox.toml")], check=True, text=True,
                              capture_output=True, timeout=10 * PATIENCE, **kwargs)

    def create(self, name, password):
        self.command("account", "create", name, input=password + "\n")

    def check(self):
        """Every invariant of the store, looked at by the server's own tool. The server must be stopped."""
        return self.command("check")

    def start(self):
        log = open(self.path("server.log"), "ab")
        self.process = subprocess.Popen([self.program, "serve", "--config", self.path("pillarbox.toml")],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        log.close()
        said = self.wait_ready()
        # A listener that a configuration does not name has its default: the world, at the port that everybody knows.
        assert not re.search(r"0\.0\.0\.0:|\[::\]:", said), f"name every listener: {said}"
        ports = dict(re.findall(r"^(\w+) .*?\b127\.0\.0\.1:(\d+)", said, re.M))
        self.imap, self.imaps, self.lmtp = (int(ports[p]) for p in ("imap", "imaps", "lmtp"))

    def wait_ready(self):
        """Reads what the server prints until the line `ready`."""
        said, end = b"", time.monotonic() + PATIENCE
        while not re.search(rb"^ready\b", said, re.M):
            left = end - time.monotonic()
            assert left > 0, f"the server is not ready after {PATIENCE} s; it printed {said!r}"
            if select.select([self.process.stdout], [], [], left)[0]:
                more = os.read(self.process.stdout.fileno(), 65536)
                assert more, f"the server ended with {self.process.wait()}; it printed {said!r}"
                said += more
        return said.decode()

    def stop(self):
        """SIGTERM; the server must end by itself and in peace."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            status = self.process.wait(PATIENCE)
            self.forget()
            assert status == 0, f"the server ended with {status}"

    def kill(self):
        """SIGKILL: as a power cut would do it, as far as one process can see."""
        if self.process:
            self.process.kill()
            self.process.wait(PATIENCE)
            self.forget()

    def forget(self):
        if self.process.stdout:
            self.process.stdout.close()
        self.process = None

    def restart(self):
        self.stop()
        self.start()

    # What all tests do.

    def tls(self):
        """Trusts this server and nobody else."""
        return ssl.create_default_context(cafile=self.cert)

    def client(self, account="alice"):
        """An imaplib client that is logged in: the second pair of eyes of a test."""
        client = imaplib.IMAP4_SSL(self.host, self.imaps, ssl_context=self.tls(), timeout=PATIENCE)
        client.login(account, self.accounts[account])
        return client

    def deliver(self, recipient, *messages, sender="sender@example.com"):
        """LMTP, one connection, one transaction for each message."""
        with smtplib.LMTP(self.host, self.lmtp, timeout=PATIENCE) as lmtp:
            for message in messages:
                refused = lmtp.sendmail(sender, [f"{recipient}@{DOMAIN}"], message, mail_options=["BODY=8BITMIME"])
                assert not refused, refused


def mail(n, subject=None, sender="Ada Lovelace <ada@example.com>", body=None, extra=""):
    """A small message that `n` tells from all others."""
    text = body if body is not None else f"This is message number {n}.\r\n"
    return (f"From: {sender}\r\nTo: alice@{DOMAIN}\r\nSubject: {subject or f'message {n}'}\r\n"
            f"Date: {email.utils.formatdate(1_700_000_000 + 60 * (n % 100_000))}\r\nMessage-ID: <{n}@test.example.com>\r\n"
            f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Transfer-Encoding: 8bit\r\n{extra}\r\n{text}").encode()


def number(text):
    """Which `mail(n)` this is."""
    return int(re.search(r"^Message-ID: <(\d+)@", text, re.M | re.I)[1])


FLAGS = {"\\Seen": "S", "\\Answered": "R", "\\Flagged": "F", "\\Draft": "D"}    # as Maildir has them


def contents(client, folder):
    """What a mailbox holds: (number of the message, flags in the letters of Maildir), sorted."""
    equal(client.select(folder, readonly=True)[0], "OK", f"EXAMINE {folder}")
    found = []
    for part in client.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1]:
        if isinstance(part, tuple):
            flags = re.search(rb"FLAGS \(([^)]*)\)", part[0])[1].decode().split()
            found.append((number(part[1].decode()), "".join(sorted(FLAGS[f] for f in flags if f in FLAGS))))
    return sorted(found)


def maildir_entry(path):
    """The same of one file of a Maildir."""
    with open(path, encoding="utf-8") as f:
        flags = path.rpartition(":2,")[2] if ":2," in path else ""
        return number(f.read()), "".join(sorted(set("DFRS") & set(flags)))


def certificate(cert, key):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert)


def run(*command, ok=True, **kwargs):
    """Runs a client program; its failure is the test's, with what it said. Returns its output."""
    kwargs = {"stdin": subprocess.DEVNULL, **kwargs} if "input" not in kwargs else kwargs
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10 * PATIENCE, **kwargs)
    said = done.stdout.decode(errors="replace") if isinstance(done.stdout, bytes) else done.stdout
    if ok and done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{said}")
    return said


class MountedServer(Server):
    """A server whose store has a file system of its own in memory, of `size` octets."""

    size = 400 << 20

    def configure(self, plaintext, limits):
        self.store = self.folder("store")
        os.chmod(self.store, 0o700)
        run("mount", "-t", "tmpfs", "-o", f"size={self.size},mode=0700", "none", self.store)
        super().configure(plaintext, limits)

    def __exit__(self, kind, *rest):
        try:
            if kind is None:
                self.stop()
            else:
                self.kill()
        finally:
            run("umount", "-l", self.store)
        super().__exit__(kind, *rest)


def may_mount():
    """True where we may; tries a namespace of our own, in which this program begins anew."""
    probe = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"pillarbox-mount-{os.getpid()}")
    os.makedirs(probe)
    try:
        if subprocess.run(["mount", "-t", "tmpfs", "none", probe], capture_output=True).returncode == 0:
            run("umount", probe)
            return True
    except FileNotFoundError:
        return False
    finally:
        shutil.rmtree(probe)
    if "PILLARBOX_UNSHARED" in os.environ or not shutil.which("unshare"):
        return False
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        return False
    sys.stdout.flush()
    os.execvpe("unshare", ["unshare", "-rm", sys.executable, *sys.argv], {**os.environ, "PILLARBOX_UNSHARED": "1"})


def until(what, question, patience=PATIENCE):
    """Asks again until the answer is true: only for things that another program does in its own time."""
    end = time.monotonic() + patience
    while not (answer := question()):
        assert time.monotonic() < end, f"after {patience} s still not: {what}"
        time.sleep(0.02)
    return answer


def equal(got, wanted, what="value"):
    assert got == wanted, f"{what}: got {short(got)}, wanted {short(wanted)}"


def contains(text, part, what="answer"):
    assert part in text, f"{what}: {part!r} is not in {short(text)}"


def short(value, most=1500):
    """For messages."""
    said = repr(value)
    return said if len(said) <= most else f"{said[:most]}… ({len(said)} characters)"


def done(*words):
    print("ok:", *words)
