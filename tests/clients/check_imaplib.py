"""Python's imaplib: a long walk through every command, with two connections where it matters."""
import imaplib
import re
import time

from harness import PATIENCE, STRICT, Server, contains, done, equal, mail

imaplib.Commands.update({name: ("NONAUTH", "AUTH", "SELECTED") for name in ("ID", "IDLE")} | {"MOVE": ("SELECTED",)})


def ok(answer, *parts):
    status, data = answer
    assert status == "OK", answer
    text = b" ".join(flat(data)).decode()
    for part in parts:
        contains(text, part)
    return text


def no(answer, part=""):
    status, data = answer
    assert status == "NO", answer
    if STRICT:
        contains(b" ".join(flat(data)).decode(), part)


def flat(data):
    for item in data:
        if isinstance(item, tuple):
            yield from flat(item)
        elif item is not None:
            yield item


def main():
    with Server() as server:
        for walk in (logging_in, mailboxes, append_and_fetch, search, store_copy_move, two_sessions, selected_state):
            walk(server)
            print("  ", walk.__name__)
        done("imaplib")


def logging_in(server):
    client = imaplib.IMAP4(server.host, server.imap, timeout=PATIENCE)
    contains(client.capabilities, "STARTTLS")
    contains(client.capabilities, "IMAP4REV1")
    ok(client.starttls(server.tls()))
    contains(client.capabilities, "AUTH=PLAIN")
    assert "LOGINDISABLED" not in client.capabilities and "STARTTLS" not in client.capabilities, client.capabilities
    for name, password in (("alice", "wrong"), ("nobody", "wrong")):
        try:
            client.login(name, password)
            raise AssertionError("logged in with a wrong password")
        except imaplib.IMAP4.error as e:
            contains(str(e), "AUTHENTICATIONFAILED")
    ok(client.xatom("ID", '("name" "imaplib")'))
    ok(client.authenticate("PLAIN", lambda _: b"\0bob\0" + server.accounts["bob"].encode()))
    ok(client.noop())
    ok(client.capability(), "IMAP4rev1", "MOVE", "UIDPLUS", "NAMESPACE")
    ok(client.enable("IMAP4rev2"))
    equal(client.logout()[0], "BYE", "LOGOUT")


def mailboxes(server):
    c = server.client()
    ok(c.namespace(), '(("" "/"))')
    listed = ok(c.list())
    for name, use in (("Drafts", "\\Drafts"), ("Sent", "\\Sent"), ("Junk", "\\Junk"), ("Trash", "\\Trash"), ("Archive", "\\Archive")):
        assert re.search(rf'\([^)]*{re.escape(use)}[^)]*\) "/" "?{name}"?', listed), listed
        contains(ok(c.lsub()), name)
    ok(c.create("Work/2026/Invoices"))
    for name in ("Work", "Work/2026", "Work/2026/Invoices"):
        assert re.search(rf'"/" "?{name}"?( |$)', ok(c.list('""', "*"))), name
    assert "Invoices" not in ok(c.list('""', "%")), "% must not cross the delimiter"
    no(c.create("Work/2026/Invoices"), "ALREADYEXISTS")
    if STRICT:
        no(c.create("inbox"))
    no(c.select("Nothing"), "NONEXISTENT")
    ok(c.rename("Work/2026", "Work/2027"))
    ok(c.status("Work/2027/Invoices", "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN RECENT)"), "MESSAGES 0", "UIDNEXT 1", "RECENT 0")
    ok(c.subscribe("Work/2027/Invoices"))
    ok(c.lsub('""', "Work/*"), "Work/2027/Invoices")
    ok(c.unsubscribe("Work/2027/Invoices"))
    assert "Invoices" not in ok(c.lsub('""', "*"))
    # Modified UTF-7 (RFC 3501 §5.1.3): "Entwürfe/日本語".
    ok(c.create("Entw&APw-rfe/&ZeVnLIqe-"))
    ok(c.list('""', "Entw*"), "Entw&APw-rfe/&ZeVnLIqe-")
    ok(c.delete("Entw&APw-rfe/&ZeVnLIqe-"))
    ok(c.delete("Work/2027/Invoices"))
    no(c.delete("Work/2027/Invoices"), "NONEXISTENT")
    no(c.delete("INBOX"))
    ok(c.create("Old"))
    ok(c.append("INBOX", None, None, mail(900)))
    ok(c.rename("INBOX", "Old/inbox"))
    ok(c.status("Old/inbox", "(MESSAGES)"), "MESSAGES 1")
    ok(c.status("INBOX", "(MESSAGES)"), "MESSAGES 0")
    c.logout()


def append_and_fetch(server):
    c = server.client()
    ok(c.create("Fetch"))
    message = mail(1, "walk")
    then = time.struct_time((2024, 2, 29, 12, 34, 56, 3, 60, 0))
    uid = re.search(r"APPENDUID \d+ (\d+)", ok(c.append("Fetch", r"(\Flagged $Work)", imaplib.Time2Internaldate(time.mktime(then)), message)))[1]
    no(c.append("Nowhere", None, None, message), "TRYCREATE")
    ok(c.select("Fetch"))
    ok(c.fetch("1", "(FLAGS UID RFC822.SIZE INTERNALDATE)"), "\\Flagged", "$Work", f"UID {uid}", f"RFC822.SIZE {len(message)}", "29-Feb-2024")
    ok(c.fetch("1", "ALL"), "ENVELOPE (", '"walk"', '(("Ada Lovelace" NIL "ada" "example.com"))')
    contains(ok(c.fetch("1", "FULL")).lower(), 'body ("text" "plain"')
    contains(ok(c.fetch("1", "(BODYSTRUCTURE)")).lower(), '"text" "plain" ("charset" "utf-8") nil nil "8bit"')
    equal(c.fetch("1", "(BODY.PEEK[])")[1][0][1], message, "BODY.PEEK[]")
    assert "\\Seen" not in ok(c.fetch("1", "(FLAGS)"))
    equal(c.fetch("1", "(BODY[TEXT])")[1][0][1], message.split(b"\r\n\r\n", 1)[1], "BODY[TEXT]")
    ok(c.fetch("1", "(FLAGS)"), "\\Seen")
    equal(c.fetch("1", "(RFC822.HEADER)")[1][0][1] + c.fetch("1", "(RFC822.TEXT)")[1][0][1], message, "header and text")
    equal(c.fetch("1", "(BODY[]<5.10>)")[1][0], (b"1 (BODY[]<5> {10}", message[5:15]), "a partial fetch")
    equal(c.fetch("1", "(BODY[HEADER.FIELDS (SUBJECT X-NONE)])")[1][0][1], b"Subject: walk\r\n\r\n", "header fields")
    equal(c.uid("FETCH", uid, "(BODY.PEEK[1])")[1][0][1], message.split(b"\r\n\r\n", 1)[1], "BODY[1]")
    ok(c.uid("FETCH", "9999", "(FLAGS)"))
    c.logout()


def search(server):
    c = server.client()
    ok(c.create("Search"))
    for n in range(1, 11):
        ok(c.append("Search", r"(\Seen)" if n % 2 else r"($Even \Flagged)", None,
                    mail(n, f"needle {n}" if n == 7 else f"hay {n}", body="Ein Wörtchen\r\n" if n == 3 else None)))
    ok(c.select("Search"))
    for keys, wanted in (
        (("ALL",), "1 2 3 4 5 6 7 8 9 10"), (("SEEN",), "1 3 5 7 9"), (("UNSEEN", "2:6"), "2 4 6"), (("KEYWORD", "$Even"), "2 4 6 8 10"),
        (("SUBJECT", "NEEDLE"), "7"), (("OR", "SUBJECT", "needle", "1"), "1 7"), (("NOT", "(OR", "SEEN", "FLAGGED)"), ""),
        (("FROM", "lovelace"), "1 2 3 4 5 6 7 8 9 10"), (("HEADER", "Message-ID", "<4@"), "4"), (("LARGER", "100", "3"), "3"),
        (("UID", "9:*"), "9 10"), (("SENTBEFORE", "1-Jan-2024"), "1 2 3 4 5 6 7 8 9 10"), (("SINCE", "1-Jan-2020", "*"), "10"),
    ):
        equal(ok(c.search(None, *keys)), wanted, f"SEARCH {keys}")
    c.literal = "WÖRTCHEN".encode()
    equal(ok(c.uid("SEARCH", "CHARSET", "UTF-8", "BODY")), "3", "SEARCH CHARSET UTF-8 with a literal")
    no(c.search("X-NONE", "ALL"), "BADCHARSET")
    c.logout()


def store_copy_move(server):
    c = server.client()
    for name in ("From", "To"):
        ok(c.create(name))
    for n in range(1, 7):
        ok(c.append("From", None, None, mail(n)))
    ok(c.select("From"))
    ok(c.store("1:2", "+FLAGS", r"(\Answered $Label)"), "\\Answered", "$Label")
    ok(c.store("1", "-FLAGS", "(\\Answered)"))
    assert "\\Answered" not in ok(c.fetch("1", "(FLAGS)"))
    equal(c.store("2", "FLAGS.SILENT", "(\\Draft)")[1], [None], "FLAGS.SILENT")
    ok(c.fetch("2", "(FLAGS)"), "\\Draft")
    contains(c.copy("1:2", "To")[1][0].decode(), "COPYUID")
    no(c.copy("1", "Nowhere"), "TRYCREATE")
    ok(c.status("To", "(MESSAGES)"), "MESSAGES 2")
    ok(c.uid("MOVE", "3:4", "To"))
    equal(ok(c.uid("SEARCH", "ALL")), "1 2 5 6", "after MOVE")
    ok(c._simple_command("MOVE", "4", "To"))
    ok(c.store("1", "+FLAGS", "(\\Deleted)"))
    ok(c.store("2", "+FLAGS", "(\\Deleted)"))
    equal(c.uid("EXPUNGE", "2")[0], "OK")
    equal(ok(c.uid("SEARCH", "ALL")), "1 5", "after UID EXPUNGE")
    ok(c.expunge())
    equal(ok(c.uid("SEARCH", "ALL")), "5", "after EXPUNGE")
    ok(c.select("To"))
    equal(ok(c.uid("SEARCH", "ALL")), "1 2 3 4 5", "the target")
    ok(c.fetch("1", "(FLAGS)"), "$Label")
    c.logout()


def two_sessions(server):
    one, two = server.client(), server.client()
    ok(one.create("Shared"))
    for n in range(1, 4):
        ok(one.append("Shared", None, None, mail(n)))
    ok(one.select("Shared")), ok(two.select("Shared"))
    ok(one.store("1", "+FLAGS", "(\\Deleted \\Flagged)"))
    ok(two.noop())
    contains(str(two.response("FETCH")), "\\\\Flagged")
    ok(one.expunge())
    # FETCH must not renumber (RFC 9051 §7.5.1); NOOP may.
    ok(two.fetch("2", "(UID)"), "UID 2")
    equal(two.response("EXPUNGE")[1], [None], "EXPUNGE inside FETCH")
    ok(two.noop())
    equal(two.response("EXPUNGE")[1], [b"1"], "EXPUNGE at NOOP")
    ok(one.append("Shared", None, None, mail(4)))
    ok(two.noop())
    equal(two.response("EXISTS")[1][-1], b"3", "EXISTS")
    idle(server, one, two)
    one.logout(), two.logout()


def idle(server, one, two):
    tag = two._new_tag()
    two.send(tag + b" IDLE\r\n")
    while not two.readline().startswith(b"+"):
        pass
    server.deliver("alice", mail(5))
    ok(one.append("Shared", None, None, mail(6)))
    while not re.match(rb"\* 4 EXISTS\r\n", line := two.readline()):
        assert line, "the connection ended in IDLE"
    two.send(b"DONE\r\n")
    while not (line := two.readline()).startswith(tag):
        assert line.startswith(b"*"), line
    contains(line.decode(), "OK")
    two.tagged_commands.pop(tag, None)


def selected_state(server):
    c = server.client()
    ok(c.create("State"))
    for n in range(1, 3):
        ok(c.append("State", None, None, mail(n)))
    ok(c.select("State", readonly=True))
    if STRICT:
        no(c._simple_command("STORE", "1", "+FLAGS", "(\\Seen)"))
    ok(c.fetch("1", "(BODY[])"))
    ok(c.select("State"))
    equal(c.response("UIDVALIDITY")[1] != [None], True, "UIDVALIDITY")
    contains(str(c.response("PERMANENTFLAGS")[1]), "\\*")
    assert "\\Seen" not in ok(c.fetch("1", "(FLAGS)")), "EXAMINE must not set \\Seen"
    ok(c.check())
    ok(c.store("1", "+FLAGS", "(\\Deleted)"))
    ok(c.unselect())
    ok(c.status("State", "(MESSAGES)"), "MESSAGES 2")
    ok(c.select("State"))
    ok(c.close())
    ok(c.status("State", "(MESSAGES)"), "MESSAGES 1")
    try:
        c.xatom("NONSENSE")
        raise AssertionError("an unknown command is BAD")
    except imaplib.IMAP4.error as e:
        contains(str(e), "BAD")
    ok(c.noop())
    c.logout()


main()
