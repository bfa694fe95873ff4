"""offlineimap3: two-way sync with a Maildir, changes on both sides, and a second run that changes nothing."""
import os

from harness import PATIENCE, Server, contents, done, equal, mail, maildir_entry, run


def main():
    with Server() as server:
        home = server.folder("offlineimap")
        client = server.client()
        client.create("Entw&APw-rfe")
        for n in range(200):
            equal(client.append("INBOX" if n % 4 else "Entw&APw-rfe", r"(\Seen)" if n % 3 == 0 else None, None, mail(n))[0], "OK", "APPEND")
        sync(server, home)
        equal(local(home), remote(client), "after the first run")
        equal(sum(map(len, local(home).values())), 200, "messages")

        def nothing_to_do():
            before = local(home), remote(client), files(home)
            sync(server, home)
            equal((local(home), remote(client), files(home)), before, "a run with nothing to do")

        nothing_to_do()
        client.select("INBOX")
        client.uid("STORE", "1:10", "+FLAGS", r"(\Flagged)")
        client.uid("STORE", "11:20", "+FLAGS", r"(\Deleted)")
        client.expunge()
        client.append("INBOX", None, None, mail(500))
        change_local(home)
        sync(server, home)
        equal(local(home), remote(client), "after changes on both sides")
        equal(len(local(home)["INBOX"]), 150 - 10 - 5 + 2, "messages in INBOX")
        nothing_to_do()
        client.logout()
        done("offlineimap")


def sync(server, home):
    with open(os.path.join(home, "config"), "w") as f:
        f.write(f"""
[general]
accounts = test
metadata = {home}/state
ui = basic
fsync = False
socktimeout = {int(PATIENCE)}

[Account test]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = {home}/mail

[Repository far]
type = IMAP
remotehost = localhost
remoteport = {server.imaps}
ssl = yes
sslcacertfile = {server.cert}
remoteuser = alice
remotepass = {server.accounts['alice']}
auth_mechanisms = PLAIN
maxconnections = 2
""")
    said = run("offlineimap", "-o", "-c", os.path.join(home, "config"), env={**os.environ, "HOME": home})
    assert "ERROR" not in said, said
    return said


def files(home):
    return sorted(os.path.join(where, name) for where, _, names in os.walk(os.path.join(home, "mail")) for name in names)


def local(home):
    state = {}
    for path in files(home):
        folder = os.path.relpath(os.path.dirname(os.path.dirname(path)), os.path.join(home, "mail"))
        state.setdefault(folder, []).append(maildir_entry(path))
    return {folder: sorted(found) for folder, found in state.items()}


def remote(client):
    return {folder: contents(client, folder) for folder in ("INBOX", "Entw&APw-rfe")}


def change_local(home):
    """Five deleted, ten more answered, one new."""
    inbox = {maildir_entry(path)[0]: path for path in files(home)}
    for n in (101, 102, 103, 105, 106):
        os.remove(inbox[n])
    for n in (121, 122, 123, 125, 126, 127, 129, 130, 131, 133):
        path = inbox[n]
        base, _, flags = path.partition(":2,")
        os.rename(path, f"{base.replace('/new/', '/cur/')}:2,{''.join(sorted(set(flags) | set('RS')))}")
    with open(os.path.join(home, "mail", "INBOX", "new", "1700000000.1.test"), "wb") as f:
        f.write(mail(600).replace(b"\r\n", b"\n"))


main()
