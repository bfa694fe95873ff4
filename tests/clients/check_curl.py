"""curl: IMAP and IMAPS, STARTTLS, listing, reading, appending, searching, storing and expunging."""
from harness import Server, contains, done, equal, mail, run

FIRST, SECOND = mail(1, "first light"), mail(2, "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", body="Grüße, number two\r\n")


def main():
    with Server() as server:
        user = ["--user", f"alice:{server.accounts['alice']}", "--silent", "--show-error", "--cacert", server.cert]
        plain = f"imap://{server.host}:{server.imap}"
        tls = f"imaps://{server.host}:{server.imaps}"

        def curl(*words, ok=True, **kwargs):
            return run("curl", *user, *words, ok=ok, **kwargs)

        for where in ([tls], ["--ssl-reqd", plain]):
            listed = curl(*where)
            for name in ("INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"):
                contains(listed, name, "LIST")

        with open(server.path("first.eml"), "wb") as f:
            f.write(FIRST)
        curl("--upload-file", server.path("first.eml"), f"{tls}/INBOX")
        server.deliver("alice", SECOND)
        contains(curl(tls, "--request", "STATUS INBOX (MESSAGES UNSEEN)"), "MESSAGES 2")
        equal(curl(f"{tls}/INBOX;UID=1").encode(), FIRST, "the appended message")
        got = curl(f"{tls}/INBOX;MAILINDEX=2")
        contains(got, SECOND.decode().split("\r\n\r\n")[1], "the delivered message")
        contains(got, "Return-Path: <sender@example.com>", "the delivered message")
        contains(got, "Delivered-To: alice@example.org", "the delivered message")
        equal(curl(f"{tls}/INBOX;UID=1;SECTION=HEADER.FIELDS%20(SUBJECT)").strip(), "Subject: first light")
        contains(curl(f"{tls}/INBOX?SUBJECT%20light"), "* SEARCH 1\r\n")
        contains(curl(f"{tls}/INBOX?TEXT%20number"), "* SEARCH 1 2\r\n")
        contains(curl(f"{tls}/INBOX", "--request", "FETCH 1:* (FLAGS UID)"), "\\Seen")

        curl(f"{tls}/INBOX", "--request", "CREATE Kept")
        curl(f"{tls}/INBOX", "--request", "COPY 1 Kept")
        equal(curl(f"{tls}/Kept;UID=1").encode(), FIRST, "the copy")
        contains(curl(f"{tls}/INBOX", "--request", "STORE 1 +Flags \\Deleted"), "\\Deleted")
        curl(f"{tls}/INBOX", "--request", "EXPUNGE")
        contains(curl(f"{tls}/INBOX?ALL"), "* SEARCH 1\r\n")

        refused = run("curl", "--silent", "--show-error", "--cacert", server.cert, "--user", "alice:wrong", tls, ok=False)
        contains(refused, "(67)", "a wrong password")
        done("curl")


main()
