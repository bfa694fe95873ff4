"""A store on a file system that is mounted read-only: the server starts, mail can be read, every change is refused, and
nothing is written there; also after kill -9, and where the index is damaged or lost. The commands that only read work as
well. On a file system in memory; skipped where nothing may be mounted.
"""
import hashlib
import imaplib
import os
import shutil
import smtplib
import sqlite3

from harness import DOMAIN, PATIENCE, MountedServer, contains, done, equal, mail, may_mount, run

MESSAGES = 40


class Mounted(MountedServer):
    def configure(self, plaintext, limits):
        os.environ["TMPDIR"] = self.folder("private")
        super().configure(plaintext, limits)

    def remount(self, how):
        run("mount", "-o", f"remount,{how}", self.store)

    def inside(self):
        """Every file of the store and what it has."""
        found = {}
        for folder, _, names in os.walk(self.store):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    with open(path, "rb") as f:
                        found[path] = hashlib.sha256(f.read()).hexdigest()
        return found


def main():
    if not may_mount():
        print("skipped: this user can mount nothing, not even in a namespace of its own")
        return
    with Mounted() as server:
        client = server.client()
        for n in range(MESSAGES):
            append(client, n)
        equal(client.select("INBOX")[0], "OK")
        equal(client.store("1:10", "+FLAGS.SILENT", "(\\Seen Kept)")[0], "OK")
        equal(client.copy("1:3", "Archive")[0], "OK")

        begin(server, server.stop, "an orderly end")
        reads(server)
        refuses(server)
        commands(server)
        ends(server)

        append(server.client(), MESSAGES)
        begin(server, server.kill, "kill -9")
        reads(server, MESSAGES + 1)
        refuses(server)
        ends(server)

        begin(server, server.stop, "damage in the index", damage)
        reads(server, MESSAGES + 1)
        refuses(server)
        commands(server, damaged=True)
        ends(server)

        begin(server, server.stop, "damage in the list of accounts", damage_accounts)
        reads(server, MESSAGES + 1)
        refuses(server)
        commands(server, damaged=True)
        ends(server)

        begin(server, server.stop, "the loss of the index", lose)
        reads(server, MESSAGES + 1, flags=False)
        refuses(server)
        ends(server, flags=False)

        # Whoever writes by another mount of the same files has the store.
        other = server.folder("other")
        run("mount", "--bind", server.store, other)
        run("mount", "-o", "remount,bind,ro", other)
        with open(server.path("pillarbox.toml")) as f, open(server.path("other.toml"), "w") as to:
            to.write(f.read().replace(server.store, other))
        os.remove(os.path.join(server.store, "admin.sock"))
        said = run(server.program, "status", "--config", server.path("other.toml"), ok=False)
        contains(said, "only one process can own it")
        run("umount", other)
    done("read-only file system")


def append(client, n):
    equal(client.append("INBOX", "(\\Flagged)" if n % 5 == 0 else None, None, mail(n, body=body(n)))[0], "OK", "APPEND")


def body(n):
    return f"{n} ".ljust(76, "x").join(["", "\r\n"]) * (4000 if n % 9 == 0 else 10)


def begin(server, end, after, then=None):
    end()
    if then:
        then(server)
    server.remount("ro")
    server.before = server.inside()
    server.start()
    print(f"   started read-only after {after}")


def damage(server):
    with sqlite3.connect(os.path.join(server.store, "index.db")) as index:
        index.execute("PRAGMA user_version = 77")
    index.close()


def damage_accounts(server):
    """The index can be opened; who has an account cannot be read."""
    path = os.path.join(server.store, "index.db")
    with open(path, "rb") as f:
        octets = bytearray(f.read())
    octets[octets.rindex(b"$argon2i")] ^= 1
    with open(path, "wb") as f:
        f.write(octets)


def lose(server):
    os.remove(os.path.join(server.store, "index.db"))
    shutil.rmtree(os.path.join(server.store, "copies"), ignore_errors=True)


def reads(server, count=MESSAGES, flags=True):
    """Everything is there, and marked as nothing by being read."""
    client = server.client()
    equal(select(client, "INBOX"), str(count).encode(), "messages in INBOX")
    for n in range(count):
        kind, parts = client.fetch(str(n + 1), "(BODY[TEXT])")
        equal((kind, parts[0][1]), ("OK", body(n).encode()), f"FETCH {n + 1} BODY[TEXT]")
    if flags:
        equal(len(client.search(None, "SEEN")[1][0].split()), 10, "SEARCH SEEN")
        equal(len(client.search(None, "KEYWORD", "Kept")[1][0].split()), 10, "SEARCH KEYWORD")
        equal(select(client, "Archive"), b"3", "messages in Archive")
    client.logout()


def select(client, name):
    """SELECT, which is answered with READ-ONLY: imaplib takes that for an error. How many messages there are."""
    try:
        client.select(name)
        raise AssertionError(f"SELECT {name} does not say READ-ONLY")
    except imaplib.IMAP4.readonly:
        client.is_readonly = True
        return client.untagged_responses["EXISTS"][-1]


def refuses(server):
    client = server.client()
    select(client, "INBOX")
    for what, answer in [
        ("APPEND", client.append("INBOX", None, None, mail(900))),
        ("STORE", client.store("1", "+FLAGS", "(\\Answered)")),
        ("COPY", client.copy("1", "Archive")),
        ("CREATE", client.create("New")),
        ("EXPUNGE", client.expunge()),
    ]:
        equal((what, answer[0]), (what, "NO"))
        assert b"READ-ONLY" in answer[1][0] or b"UNAVAILABLE" in answer[1][0], (what, answer)
    client.logout()
    with smtplib.LMTP(server.host, server.lmtp, timeout=PATIENCE) as lmtp:
        try:
            lmtp.sendmail("a@example.com", [f"alice@{DOMAIN}"], mail(901))
            raise AssertionError("LMTP took a message that it cannot keep")
        except smtplib.SMTPResponseException as e:
            code = e.smtp_code
        except smtplib.SMTPRecipientsRefused as e:
            (code, _), = e.recipients.values()
        assert 400 <= code < 500, code


def commands(server, damaged=False):
    """What only reads works, beside the server (which can have no socket there) and without it."""
    contains(server.command("status").stdout, "make it writable")
    contains(server.command("account", "list").stdout, "alice")
    if not damaged:
        contains(server.command("check").stdout, "everything is in order")
    target = server.folder("exported")
    server.command("export", "maildir", "alice", target)
    assert sum(len(files) for _, _, files in os.walk(target)) >= MESSAGES
    shutil.rmtree(target)
    backup = server.path("backup")
    contains(server.command("backup", backup).stdout, "all that is new was verified")
    assert os.path.exists(os.path.join(backup, "index.db")) and os.listdir(os.path.join(backup, "segments"))
    shutil.rmtree(backup)


def ends(server, flags=True):
    """Nothing was written, nothing is left elsewhere; and when the file system is writable again, everything is as it was."""
    server.stop()
    equal(server.inside(), server.before, "what is in the store")
    equal(os.listdir(server.path("private")), [], "what is left of the copies of the index")
    server.remount("rw")
    server.start()
    client = server.client()
    equal(client.select("INBOX")[0], "OK")
    equal(client.store("1", "+FLAGS", "(\\Deleted)")[0], "OK", "STORE")
    equal(client.store("1", "-FLAGS", "(\\Deleted)")[0], "OK", "STORE")
    client.logout()
    server.stop()
    contains(server.check().stdout, "everything is in order")
    server.start()


main()
