"""mbsync (isync): two-way sync of 2,000 messages; a second run has nothing to do; changes on both sides; and the same
after `kill -9` of the server, during a sync and behind it.
"""
import os
import re
import subprocess

from harness import PATIENCE, Server, contains, contents, done, equal, maildir_entry, mail, run, until

FOLDERS = {"INBOX": 1500, "Archive": 400, "Entw&APw-rfe": 100}


def main():
    with Server() as server:
        sync = Sync(server)
        number = 0
        for folder, count in FOLDERS.items():
            sync.append(folder, range(number, number + count))
            number += count
        sync.run()
        sync.same()
        equal(sum(map(len, sync.local().values())), 2000, "messages")
        sync.nothing_to_do()
        print("   2,000 messages down, nothing to do then")

        change_both_sides(sync)
        sync.run()
        sync.same()
        sync.nothing_to_do()
        print("   changes on both sides")

        sync.append("INBOX", range(10_000, 10_600))
        new_local(sync, "Archive", range(11_000, 11_600))
        sync.cut()
        server.start()
        sync.run()
        sync.same()
        sync.nothing_to_do()
        server.kill()
        server.start()
        sync.nothing_to_do()
        print("   kill -9 of the server, during a sync and behind it")
        server.stop()
        server.check()
        server.start()
        done("mbsync")


class Sync:
    """An mbsync with a Maildir of its own, and a look at both ends."""

    def __init__(self, server):
        self.server = server
        self.home = server.folder("mbsync")
        os.makedirs(os.path.join(self.home, "mail"))

    def command(self, *words):
        config = os.path.join(self.home, "config")
        with open(config, "w") as f:
            password = self.server.accounts["alice"].replace("\\", "\\\\").replace('"', '\\"')
            f.write(f"""
IMAPAccount server
Host localhost
Port {self.server.imaps}
User alice
Pass "{password}"
SSLType IMAPS
CertificateFile {self.server.cert}
Timeout {int(PATIENCE)}

IMAPStore far
Account server

MaildirStore near
Path {self.home}/mail/
Inbox {self.home}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState {self.home}/state-
CopyArrivalDate yes
""")
        return ["mbsync", "--config", config, *words, "all"]

    def run(self, *words):
        return run(*self.command(*words), env={**os.environ, "HOME": self.home})

    def nothing_to_do(self):
        """A run that changes nothing at either end and asks the server for no message."""
        before = self.local(), self.remote(), self.uidnext()
        said = self.run("-Dn")
        equal((self.local(), self.remote(), self.uidnext()), before, "a run with nothing to do")
        sent = re.findall(r">>> \d+ (.*)", said)
        assert sum("SELECT" in line for line in sent) >= len(FOLDERS), said
        equal([line for line in sent if re.search(r"APPEND|STORE|COPY|MOVE|EXPUNGE|CREATE|BODY", line)], [], "commands of a run with nothing to do")

    def cut(self):
        """Kills the server in the middle of a sync."""
        have = self.count()
        with open(os.path.join(self.home, "cut.log"), "w") as log:
            running = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "HOME": self.home})
        until("mbsync has fetched something", lambda: self.count() > have + 50 or running.poll() is not None)
        self.server.kill()
        assert running.wait(PATIENCE) != 0, "mbsync was ready before the server was killed"

    def append(self, folder, numbers):
        client = self.server.client()
        if client.select(folder)[0] == "NO":
            client.create(folder)
        for n in numbers:
            contains(str(client.append(folder, r"(\Seen)" if n % 3 == 0 else None, None, mail(n))), "OK")
        client.logout()

    def uidnext(self):
        client = self.server.client()
        said = {folder: client.status(folder, "(UIDNEXT UIDVALIDITY MESSAGES)")[1] for folder in FOLDERS}
        client.logout()
        return said

    def remote(self):
        """Folder -> what it holds on the server."""
        client = self.server.client()
        state = {folder: contents(client, folder) for folder in FOLDERS}
        client.logout()
        return state

    def files(self, folder):
        for sub in ("cur", "new"):
            where = os.path.join(self.home, "mail", folder, sub)
            yield from (os.path.join(where, name) for name in (os.listdir(where) if os.path.isdir(where) else ()))

    def count(self):
        return sum(1 for folder in FOLDERS for _ in self.files(folder))

    def local(self):
        """Folder -> what it holds here."""
        return {folder: sorted(map(maildir_entry, self.files(folder))) for folder in FOLDERS}

    def same(self):
        """Both ends have the same, each message once."""
        here, there = self.local(), self.remote()
        for folder in FOLDERS:
            equal(set(here[folder]) ^ set(there[folder]), set(), f"the difference in {folder}")
            equal(len(here[folder]), len(there[folder]), f"messages in {folder}")
            equal(len({n for n, _ in here[folder]}), len(here[folder]), f"messages in {folder}, each once")


def new_local(sync, folder, numbers):
    for n in numbers:
        with open(os.path.join(sync.home, "mail", folder, "new", f"{1_700_000_000 + n}.{n}.test"), "wb") as f:
            f.write(mail(n).replace(b"\r\n", b"\n"))


def change_both_sides(sync):
    client = sync.server.client()
    client.select("INBOX")
    client.uid("STORE", "1:100", "+FLAGS", r"(\Flagged)")
    client.uid("STORE", "101:150", "+FLAGS", r"(\Deleted)")
    client.expunge()
    client.uid("MOVE", "151:200", "Archive")
    client.logout()
    sync.append("INBOX", range(3000, 3030))
    new_local(sync, "INBOX", range(4000, 4030))
    new_local(sync, "Archive", range(5000, 5030))
    for path in sorted(sync.files("INBOX")):
        n, _ = maildir_entry(path)
        base, _, flags = path.partition(":2,")
        where = base.replace("/new/", "/cur/")
        if 300 <= n < 400:
            os.rename(path, f"{where}:2,{''.join(sorted(set(flags) | set('RS')))}")
        elif 400 <= n < 450:
            os.rename(path, f"{where}:2,{''.join(sorted(set(flags) | set('T')))}")


main()
