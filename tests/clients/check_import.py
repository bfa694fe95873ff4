"""`pillarbox import imap` from Debian's Dovecot and from Pillarbox: what is there afterwards is, message for message,
what was there before; whoever is killed in between; and the next run brings what is new. Needs root, for Dovecot."""
import email.utils
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import time

from dovecot import Dovecot
from harness import PATIENCE, Server, contains, done, equal, mail, until


class Mdbox(Dovecot):
    mail_location = "mdbox:~/mdbox"


class Dotted(Dovecot):
    """With names that have dots in a maildir."""
    plugins = "listescape"


class Nested(Dovecot):
    """The same without a plugin."""
    mail_location = "maildir:~/Maildir:LAYOUT=fs"


class Prefixed(Dovecot):
    """As old servers have it: everything below INBOX, with dots."""
    prefix, separator = "INBOX.", "."


class Bare(Server):
    """Without mailboxes from the first day: what is made in this minute has UIDVALIDITYs of this minute, as has what
    Dovecot makes in this minute, and where they are the same they cannot be kept."""

    def configure(self, *options):
        super().configure(*options)
        with open(self.path("pillarbox.toml")) as f:
            text = f.read()
        with open(self.path("pillarbox.toml"), "w") as f:
            f.write(text.replace("[store]", "[accounts]\nfolders = []\n\n[store]", 1))

    def create(self, name, password):
        super().create(name, password)
        # imaplib would be shown 8-bit headers in ASCII.
        self.command("account", "set-capabilities", name, "--disable", "UTF8=ACCEPT")

    def start(self):
        super().start()
        made = time.time()
        until("the next second", lambda: time.time() > made + 1)


def append(client, folder, message, flags="", date=1_600_000_000):
    when = '"' + time.strftime("%d-%b-%Y %H:%M:%S +0000", time.gmtime(date)) + '"'
    status, said = client.append(f'"{folder}"', flags, when, message)
    assert status == "OK", said


def fill(server, account):
    """Something of everything."""
    client, sep, prefix = server.client(account), server.separator, server.prefix
    for folder in (f"Work{sep}Entw&APw-rfe 2026", f"Work{sep}Old", "Empty", "not subscribed", "a &- b"):
        client.create(f'"{prefix}{folder}"')
        client.subscribe(f'"{prefix}{folder}"')
    client.unsubscribe(f'"{prefix}not subscribed"')
    client.subscribe("INBOX")
    for n in range(1, 61):
        flags = [r"(\Seen)", r"(\Answered \Flagged)", "", r"($Forwarded work)", r"(\Draft NonJunk)", r"(\Deleted)"][n % 6]
        append(client, "INBOX", mail(n), flags, 1_500_000_000 + 86_400 * n)
    client.select("INBOX")
    client.store("3,7:9,60", "+FLAGS", r"(\Deleted)")
    client.uid("EXPUNGE", "3,7:9,60")
    append(client, f"{prefix}Sent", "Subject: Grüße\r\n\r\n8-bit\r\n".encode())
    append(client, f"{prefix}Sent", b"\r\nno header at all\r\n")
    append(client, f"{prefix}Work{sep}Old", mail(500, body="long line " * 20_000 + "\r\n"))
    append(client, f"{prefix}Work{sep}Old", mail(501, body="x" * 75 + "\r\n", extra="X-Pad: " + "y" * 900 + "\r\n"))
    append(client, f"{prefix}Work{sep}Entw&APw-rfe 2026", mail(502, body=("z" * 76 + "\r\n") * 60_000))
    client.logout()


def everything(server, account):
    """All that a client can see: mailboxes with use, subscription and numbers, messages with flags, date and content."""
    client = server.client(account)
    sep, prefix = getattr(server, "separator", "/"), getattr(server, "prefix", "")

    def names(answer):
        for line in answer[1]:
            if line:
                found = re.match(rb'\((.*?)\) "?(.*?)"? "?([^"]*)"?$', line)
                attributes, name = found[1].decode().split(), found[3].decode()
                if not {"\\Noselect", "\\NonExistent"} & set(attributes):
                    yield name, {a for a in attributes if a in ("\\Sent", "\\Drafts", "\\Junk", "\\Trash", "\\Archive")}

    subscribed = {name for name, _ in names(client.lsub())}
    uses = dict(names(client._simple_command("LIST", '""', '"*"', "RETURN (SPECIAL-USE)")
                      and client._untagged_response("OK", [None], "LIST")))
    all_of_it = {}
    for name, use in uses.items():
        assert client.select(f'"{name}"', readonly=True)[0] == "OK", name
        numbers = [client.response(code)[1][0].decode() for code in ("UIDVALIDITY", "UIDNEXT")]
        messages = {}
        for part in client.uid("FETCH", "1:*", "(FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")[1] if numbers else ():
            if isinstance(part, tuple):
                head = part[0].decode()
                uid = int(re.search(r"UID (\d+)", head)[1])
                flags = frozenset(re.search(r"FLAGS \((.*?)\)", head)[1].split()) - {"\\Recent"}
                date = email.utils.mktime_tz(email.utils.parsedate_tz(re.search(r'INTERNALDATE "(.*?)"', head)[1]))
                messages[uid] = flags, date, hashlib.sha256(part[1]).hexdigest()
        name = name[len(prefix):] if prefix and name.startswith(prefix) else name
        all_of_it[name.replace(sep, "/")] = use, name in subscribed or prefix + name in subscribed, numbers, messages
    client.logout()
    return all_of_it


def same(got, wanted):
    # A name that is there only for what is below it is a mailbox in Pillarbox.
    got = {name: of for name, of in got.items()
           if name in wanted or of[3] or not any(other.startswith(name + "/") for other in wanted)}
    equal(sorted(got), sorted(wanted), "mailboxes")
    for name in wanted:
        for what, one, other in zip(("use", "subscription", "UIDVALIDITY and UIDNEXT"), got[name], wanted[name]):
            equal(one, other, f"{name}: {what}")
        equal(sorted(got[name][3]), sorted(wanted[name][3]), f"{name}: UIDs")
        for uid, message in wanted[name][3].items():
            equal(got[name][3][uid], message, f"{name}: UID {uid}")


def options(target, source, account, *more):
    path = source.path("password")
    with open(path, "w") as f:
        f.write(source.accounts[account] + "\n")
    port = source.imap if "starttls" in more else source.imaps
    return [target.program, "import", "imap", account, source.host, "--port", str(port), "--ca-file", source.cert,
            "--password-file", path, "--config", target.path("pillarbox.toml"), *more]


def take(target, source, account, *more, ok=True):
    """Runs an import; the number of messages that came, and what it said."""
    ran = subprocess.run(options(target, source, account, *more), capture_output=True, text=True, timeout=10 * PATIENCE)
    assert (ran.returncode == 0) == ok, ran
    return int(re.search(r"imported: (\d+) messages", ran.stdout + ran.stderr)[1]) if ok else 0, ran.stdout + ran.stderr


def whole(source, target):
    fill(source, "alice")
    # By STARTTLS and by TLS, by the running server and without one.
    came, said = take(target, source, "alice", "--security", "starttls")
    same(everything(target, "alice"), everything(source, "alice"))
    equal(came, 60, "messages")
    contains(said, " of ", "what it says of its progress")
    equal(take(target, source, "alice")[0], 0, "messages of a second run")
    target.stop()
    equal(take(target, source, "alice")[0], 0, "messages of a run without a server")
    target.check()
    target.start()


def changed(source, target):
    """What happens at the source until the last run."""
    client, prefix = source.client("alice"), source.prefix
    append(client, "INBOX", mail(700), r"(\Seen)")
    append(client, f"{prefix}Empty", mail(701))
    client.create(f"{prefix}New")
    client.subscribe(f"{prefix}New")
    append(client, f"{prefix}New", mail(702))
    client.select("INBOX")
    client.store("1:5", "+FLAGS", r"(\Flagged later)")
    client.store("6:8", "-FLAGS", r"(\Seen)")
    client.store("10", "+FLAGS", r"(\Deleted)")
    gone = int(re.search(rb"UID (\d+)", client.fetch("10", "(UID)")[1][0])[1])
    client.uid("EXPUNGE", str(gone))
    client.logout()
    equal(take(target, source, "alice")[0], 3, "new messages")
    got, wanted = everything(target, "alice"), everything(source, "alice")
    equal(gone in got["INBOX"][3], True, "what was deleted there stays here")
    got["INBOX"][3].pop(gone)
    same(got, wanted)
    # Mail comes here as well: nothing is lost, and nothing comes twice.
    target.deliver("alice", mail(800))
    client = source.client("alice")
    append(client, "INBOX", mail(703))
    client.logout()
    equal(take(target, source, "alice")[0], 1, "new messages")
    equal(take(target, source, "alice")[0], 0, "new messages")
    equal(len(everything(target, "alice")["INBOX"][3]), len(wanted["INBOX"][3]) + 3, "messages")


def killed(source, target):
    """kill -9 of the importer, with and without a server."""
    count, noise = 1000, random.Random(5)
    client = source.client("bob")
    client.subscribe("INBOX")
    for n in range(count):
        text = noise.randbytes(20_000).hex()
        append(client, "INBOX", mail(n, body="\r\n".join(text[at:at + 76] for at in range(0, len(text), 76)) + "\r\n"))
    client.logout()
    for running in (True, False):
        if not running:
            target.stop()
        work = subprocess.Popen(options(target, source, "bob"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        before, folder = stored(target), target.path("store", "segments")
        until(f"mail in {folder}", lambda: work.poll() is not None or stored(target) > before + (2 << 20))
        equal(work.poll(), None, "the import's end")
        work.send_signal(signal.SIGKILL)
        work.wait(PATIENCE)
    target.start()
    equal(everything(target, "bob")["INBOX"][3], {}, "half a mailbox")
    came, _ = take(target, source, "bob")
    assert 0 < came < count, f"{came} of {count} messages came in the last run"
    same(everything(target, "bob"), everything(source, "bob"))


def stored(target):
    folder = target.path("store", "segments")
    return sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))


def from_pillarbox(source, other):
    """From one Pillarbox to another, and out again as a maildir that Dovecot reads."""
    take(other, source, "alice")
    same(everything(other, "alice"), everything(source, "alice"))
    client = other.client("alice")
    client.create('"Releases/v1.0"')
    append(client, "Releases/v1.0", b"Subject: v1.0\r\n\r\nout\r\n")
    client.logout()
    wanted = everything(other, "alice")
    for reader, layout in ((Dotted(), "dots"), (Nested(), "nested")):
        with reader:
            home = reader.path("mail", "alice")
            os.makedirs(home)
            other.command("export", "maildir", "alice", os.path.join(home, "Maildir"), "--layout", layout)
            for path, folders, files in os.walk(home):
                for name in (".", *folders, *files):
                    shutil.chown(os.path.join(path, name), "nobody", "nogroup")
            got = everything(reader, "alice")
            for name in wanted:
                equal(sorted(got[name][3]), sorted(wanted[name][3]), f"{layout}: {name}: UIDs after the export")
                for uid, message in wanted[name][3].items():
                    equal(got[name][3][uid], message, f"{layout}: {name}: UID {uid} after the export")


def refused(source, target):
    """Nothing goes over the line before it is safe."""
    wrong = [word if word != source.cert else target.cert for word in options(target, source, "alice")]
    said = subprocess.run(wrong, capture_output=True, text=True, timeout=PATIENCE)
    assert said.returncode != 0, said
    contains(said.stderr, "certificate")
    assert source.accounts["alice"] not in said.stderr + said.stdout
    contains(take(target, source, "alice", "--user", "nobody-here", ok=False)[1], "cannot log in")


def main():
    if os.geteuid() != 0:
        print("skipped: this needs root, for Dovecot")
        return
    with Bare() as target, Mdbox() as source:
        for walk in (whole, changed, refused, killed):
            walk(source, target)
            print("   mdbox", walk.__name__)
    with Bare() as target, Bare() as other, Prefixed() as source:
        for walk in (whole, changed):
            walk(source, target)
            print("   prefixed", walk.__name__)
        from_pillarbox(target, other)
        print("   from_pillarbox")
    done("import")


main()
