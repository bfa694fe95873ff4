"""IMAPClient: two connections, IDLE in both directions, Gmail-style batch work, names in Unicode, threads of work."""
from datetime import datetime, timezone

from imapclient import DELETED, FLAGGED, RECENT, SEEN, IMAPClient
from imapclient.exceptions import IMAPClientError, LoginError

from harness import PATIENCE, STRICT, Server, done, equal, mail


def connect(server, account="alice", starttls=False):
    context = server.tls()
    if starttls:
        client = IMAPClient(server.host, server.imap, ssl=False, timeout=PATIENCE)
        client.starttls(context)
    else:
        client = IMAPClient(server.host, server.imaps, ssl_context=context, timeout=PATIENCE)
    client.login(account, server.accounts[account])
    return client


def main():
    with Server() as server:
        for walk in (logging_in, folders, messages, idle, parallel):
            walk(server)
            print("  ", walk.__name__)
        done("IMAPClient")


def logging_in(server):
    for starttls in (False, True):
        client = connect(server, "bob", starttls)
        assert client.has_capability("IDLE") and client.has_capability("UIDPLUS"), client.capabilities()
        client.id_({"name": "IMAPClient"})
        equal(tuple(client.namespace().personal[0]), ("", "/"), "NAMESPACE")
        client.logout()
    client = IMAPClient(server.host, server.imaps, ssl_context=server.tls(), timeout=PATIENCE)
    try:
        client.login("alice", "wrong")
        raise AssertionError("logged in with a wrong password")
    except LoginError:
        client.shutdown()
    client = IMAPClient(server.host, server.imaps, ssl_context=server.tls(), timeout=PATIENCE)
    client.plain_login("alice", server.accounts["alice"])
    client.logout()


def folders(server):
    c = connect(server)
    uses = {flag: name for flags, _, name in c.list_folders() for flag in flags}
    for use in ("Drafts", "Sent", "Junk", "Trash", "Archive"):
        equal(uses.get(b"\\" + use.encode()), use, "special use")
        equal(c.find_special_folder(b"\\" + use.encode()), use, "special use")
    for name in ("Projekte/Größe", "日本語/メール", "R&D", "a b", 'quo"te'):
        c.create_folder(name)
        assert c.folder_exists(name), name
        c.subscribe_folder(name)
        assert name in [n for _, _, n in c.list_sub_folders()], name
        c.unsubscribe_folder(name)
        c.rename_folder(name, name + "2")
        assert not c.folder_exists(name) and c.folder_exists(name + "2"), name
        c.delete_folder(name + "2")
    try:
        c.select_folder("Nowhere")
        raise AssertionError("selected a folder that does not exist")
    except IMAPClientError:
        pass
    c.logout()


def messages(server):
    c = connect(server)
    c.create_folder("Work")
    then = datetime(2025, 3, 4, 5, 6, 7, tzinfo=timezone.utc)
    for n in range(1, 301):
        c.append("Work", mail(n), [SEEN] if n % 3 == 0 else [], then)
    if c.has_capability("MULTIAPPEND"):
        c.multiappend("Work", [mail(301), {"msg": mail(302), "flags": [FLAGGED], "date": then}])
    else:
        c.append("Work", mail(301)), c.append("Work", mail(302), [FLAGGED], then)
    equal(c.folder_status("Work", ["MESSAGES", "UNSEEN", "UIDNEXT"]), {b"MESSAGES": 302, b"UNSEEN": 202, b"UIDNEXT": 303}, "STATUS")
    selected = c.select_folder("Work")
    equal((selected[b"EXISTS"], selected[b"UIDNEXT"], selected[b"READ-WRITE"]), (302, 303, True), "SELECT")
    equal(c.search(["SEEN", "UID", "1:9"]), [3, 6, 9], "SEARCH")
    equal(c.search(["SUBJECT", "message 30"]), [30, 300, 301, 302], "SEARCH SUBJECT")
    got = c.fetch(c.search(), ["ENVELOPE", "INTERNALDATE", "RFC822.SIZE", "BODYSTRUCTURE", "FLAGS"])
    equal(len(got), 302, "FETCH of all")
    seven = got[7]
    equal(seven[b"ENVELOPE"].subject, b"message 7", "subject")
    equal(seven[b"ENVELOPE"].message_id, b"<7@test.example.com>", "message id")
    equal(str(seven[b"ENVELOPE"].from_[0]), "Ada Lovelace <ada@example.com>", "from")
    equal(seven[b"INTERNALDATE"].timestamp(), then.timestamp(), "INTERNALDATE")
    equal(seven[b"RFC822.SIZE"], len(mail(7)), "RFC822.SIZE")
    equal(c.fetch([7], ["BODY.PEEK[]"])[7][b"BODY[]"], mail(7), "BODY[]")
    equal(flags(c.add_flags([1, 2], [FLAGGED, "$Later"])[2]), {FLAGGED, b"$Later"}, "flags")
    equal(flags(c.remove_flags([2], [FLAGGED])[2]), {b"$Later"}, "flags")
    equal(flags(c.set_flags([2], [SEEN])[2]), {SEEN}, "flags")
    equal(flags(c.get_flags([1, 2])[1]), {FLAGGED, b"$Later"}, "flags")
    c.create_folder("Done")
    c.copy([1, 2], "Done")
    c.move(list(range(100, 200)), "Done")
    equal(c.folder_status("Done", ["MESSAGES"])[b"MESSAGES"], 102, "after MOVE")
    equal(len(c.search()), 202, "after MOVE")
    c.delete_messages([1])
    c.add_flags([2], [DELETED])
    c.uid_expunge([1])
    equal(c.search(["UID", "1:3"]), [2, 3], "after UID EXPUNGE")
    c.expunge()
    equal(c.search(["UID", "1:3"]), [3], "after EXPUNGE")
    c.unselect_folder()
    c.logout()


def flags(given):
    """Without \\Recent, which is the session's."""
    return set(given) - {RECENT}


def idle(server):
    watcher, worker = connect(server), connect(server)
    watcher.select_folder("INBOX"), worker.select_folder("INBOX")
    have = len(watcher.search())

    def sees(wanted):
        """Waits for one untagged response in IDLE; everything else that comes meanwhile is given back too."""
        seen = []
        while not any(wanted(r) for r in seen):
            more = watcher.idle_check(timeout=PATIENCE)
            assert more, f"nothing came in IDLE; before: {seen}"
            seen += more
        return seen

    watcher.idle()
    server.deliver("alice", mail(1001))
    sees(lambda r: r[:2] == (have + 1, b"EXISTS"))
    worker.append("INBOX", mail(1002))
    sees(lambda r: r[:2] == (have + 2, b"EXISTS"))
    worker.add_flags(worker.search()[-1:], [FLAGGED])
    sees(lambda r: r[1] == b"FETCH" and FLAGGED in dict(zip(r[2][::2], r[2][1::2]))[b"FLAGS"])
    worker.move(worker.search()[-1:], "Archive")
    sees(lambda r: r == (have + 2, b"EXPUNGE"))
    watcher.idle_done()
    equal(len(watcher.search()), have + 1, "after IDLE")
    watcher.logout(), worker.logout()


def parallel(server):
    """Four connections move the same sixty messages at once: each arrives once, and nobody sees a wrong number."""
    import threading
    clients = [connect(server) for _ in range(4)]
    clients[0].create_folder("Pile"), clients[0].create_folder("Heap")
    for n in range(60):
        clients[0].append("Pile", mail(2000 + n))
    for c in clients:
        c.select_folder("Pile")
    everybody = threading.Barrier(4)
    failed = []

    def work(c):
        try:
            everybody.wait(PATIENCE)
            while True:
                try:
                    return c.move(list(range(1, 61)), "Heap")
                except IMAPClientError as e:
                    # Somebody was quicker (RFC 5530): the client looks and tries again what is left.
                    if "EXPUNGEISSUED" not in str(e):
                        raise
                    c.noop()
        except Exception as e:
            failed.append(e)

    threads = [threading.Thread(target=work, args=(c,)) for c in clients]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed, failed
    for c in clients:
        c.noop()
        equal(c.search(), [], "the old place")
    clients[0].select_folder("Heap")
    ids = [e[b"ENVELOPE"].message_id for e in clients[0].fetch(clients[0].search(), ["ENVELOPE"]).values()]
    if STRICT:
        equal(sorted(ids), sorted(f"<{2000 + n}@test.example.com>".encode() for n in range(60)), "the new place")
    for c in clients:
        c.logout()


main()
