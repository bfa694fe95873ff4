"""A disk that fills up: new mail is refused in time and with the right codes, everything else goes on, and service
resumes by itself when space returns. On a small file system in memory; skipped where nothing may be mounted.
"""
import imaplib
import os
import smtplib

from harness import DOMAIN, PATIENCE, MountedServer, contains, done, equal, mail, may_mount, until

SIZE, RESERVE = 40 << 20, 12 << 20
BODY = ("x" * 76 + "\r\n") * 3000


class Small(MountedServer):
    size = SIZE

    def configure(self, plaintext, limits):
        super().configure(plaintext, limits)
        path = self.path("pillarbox.toml")
        with open(path) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write(text.replace("[store]\n", f"[store]\nreserve = {RESERVE}\ncopies = 0\n"))

    def free(self):
        stat = os.statvfs(self.store)
        return stat.f_bavail * stat.f_frsize


def main():
    if not may_mount():
        print("skipped: this user can mount nothing, not even in a namespace of its own")
        return
    with Small() as server:
        client = server.client()
        count = fill(client)
        print(f"   {count} messages fit; {server.free() >> 20} MiB are left of a reserve of {RESERVE >> 20}")
        refused(server, client)
        goes_on(server, client, count)
        server.restart()
        client = server.client()
        count = fill(client, count)    # The index has given its log back.
        refused(server, client)
        resumes(server, client)
        by_hand(server, client)
        client.logout()
        server.stop()
        contains(server.check().stdout, "everything is in order")
        server.start()
    done("full disk")


def fill(client, count=0):
    """Appends until it is refused, which must happen while the reserve is still nearly there."""
    while True:
        kind, said = client.append("INBOX", None, None, mail(count, body=BODY))
        if kind != "OK":
            break
        count += 1
    equal(kind, "NO", "APPEND on a full disk")
    contains(said[0], b"[OVERQUOTA]")
    assert count > 50, count
    return count


def refused(server, client):
    """RFC 5530 §3 for IMAP, RFC 3463 X.3.1 for LMTP, small mail too."""
    for size in ("short", BODY):
        kind, said = client.append("INBOX", None, None, mail(900, body=size))
        equal((kind, b"[OVERQUOTA]" in said[0]), ("NO", True), "APPEND")
        with smtplib.LMTP(server.host, server.lmtp, timeout=PATIENCE) as lmtp:
            try:
                lmtp.sendmail("a@example.com", [f"alice@{DOMAIN}"], mail(901, body=size))
                raise AssertionError("LMTP took a message on a full disk")
            except smtplib.SMTPDataError as e:
                code, text = e.smtp_code, e.smtp_error
            except smtplib.SMTPRecipientsRefused as e:
                (code, text), = e.recipients.values()
        equal((code, text[:5]), (452, b"4.3.1"), "LMTP")
    contains(server.command("status").stdout, "the disk is nearly full")
    assert server.free() > RESERVE // 2, server.free()


def goes_on(server, client, count):
    """Reading, flags, keywords, copies, mailboxes, and deleting."""
    equal(client.select("INBOX")[1], [str(count).encode()])
    kind, parts = client.fetch("1", "(BODY.PEEK[TEXT])")
    equal((kind, parts[0][1]), ("OK", BODY.encode()), "FETCH")
    equal(client.store("1:*", "+FLAGS.SILENT", "(\\Seen Kept)")[0], "OK", "STORE")
    equal(client.copy("1:3", "Archive")[0], "OK", "COPY")
    equal(client.create("Other")[0], "OK", "CREATE")
    equal(client.rename("Other", "Another")[0], "OK", "RENAME")
    equal(client.search(None, "SEEN")[1][0].split()[-1], str(count).encode(), "SEARCH")
    contains(server.command("account", "list").stdout, "alice")


def resumes(server, client):
    """What is deleted and purged makes room by itself: the reclaiming is asked for here only to not wait for it."""
    client.select("INBOX")
    equal(client.store("1:*", "+FLAGS.SILENT", "(\\Deleted)")[0], "OK", "STORE")
    equal(client.store("1:10", "-FLAGS.SILENT", "(\\Deleted)")[0], "OK", "STORE")
    equal(client.expunge()[0], "OK", "EXPUNGE")
    server.command("purge", "--older-than", "0")
    print("   " + server.command("reclaim").stdout.strip())
    until("there is room", lambda: server.free() > 2 * RESERVE)
    equal(client.append("INBOX", None, None, mail(902, body=BODY))[0], "OK", "APPEND when there is room again")
    server.deliver("alice", mail(903, body=BODY))
    client.select("INBOX")
    equal(client.fetch("1", "(BODY.PEEK[TEXT])")[1][0][1], BODY.encode(), "a message that was moved")
    equal(len(client.search(None, "KEYWORD", "Kept")[1][0].split()), 10, "messages that stay")


def by_hand(server, client):
    """Somebody else fills the disk to the last octet, and takes it away again: nothing has to be started again."""
    ballast = os.path.join(server.store, "ballast")
    with open(ballast, "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"\0" * (1 << 16))
        except OSError:
            pass
    client.select("INBOX")
    equal(client.append("INBOX", None, None, mail(904))[0], "NO", "APPEND")
    kind, said = client.store("1", "+FLAGS", "(\\Flagged)")
    equal((kind, b"[OVERQUOTA]" in said[0]), ("NO", True), "STORE without any space")
    equal(client.fetch("2", "(BODY.PEEK[TEXT])")[1][0][1], BODY.encode(), "FETCH")
    os.remove(ballast)
    equal(client.store("1", "+FLAGS", "(\\Flagged)")[0], "OK", "STORE")
    equal(client.append("INBOX", None, None, mail(905))[0], "OK", "APPEND")
    assert "writing: yes" in server.command("status").stdout


main()
