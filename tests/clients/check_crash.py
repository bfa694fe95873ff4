"""kill -9 under load: what was acknowledged is there, nothing is there twice, and the store is in order.

    check_crash.py [--rounds N] [--seed N]

In each round several connections append, change flags, move, expunge and deliver by LMTP, all in the same mailboxes,
while what was expunged is purged after a second and its space given back;
the server is killed at a random moment and started again. For each message we know the states that are right: one, or
two where the server died with the answer on its lips. What a bystander has seen must still be there as well.
The store lives through all rounds, so that damage has time to show.
"""
import argparse
import imaplib
import random
import re
import smtplib
import ssl
import subprocess
import threading
import time

from harness import DOMAIN, PATIENCE, STRICT, Server, done, equal, mail

FOLDERS = ("INBOX", "Archive", "Work")
WRITERS, DELIVERERS = 5, 3
ABSENT = (None, frozenset())
DYING = threading.Event()    # The disk is about to lose its power (check_power_cut.py).
ENDING = threading.Event()   # The server is about to be killed.
HOUSE = threading.Lock()     # Held while a command of the program may have the store open.
LOST = (OSError, ssl.SSLError, EOFError, imaplib.IMAP4.abort, smtplib.SMTPException)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=8)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = options.parse_args()
    print(f"   seed {options.seed}, {options.rounds} rounds")
    chance = random.Random(options.seed)
    with Server() as server:
        if STRICT:
            keep_little(server)
        survive(server, options.rounds, chance)
        done("kill -9")


def keep_little(server):
    """What is expunged is purged soon, and space is given back for little."""
    with open(server.path("pillarbox.toml")) as f:
        text = f.read()
    with open(server.path("pillarbox.toml"), "w") as f:
        f.write(text.replace("[store]\n", "[store]\nreclaim_share = 5\n") + '\n[retention]\nexpunged = "1s"\n')
    server.restart()


def survive(server, rounds, chance):
    """So many deaths of a server; space is given back in between and while it dies."""
    client = server.client()
    client.create("Work")
    client.logout()
    book = Book()
    for _ in range(rounds):
        load(server, book, chance)
        server.start()
        book.verify(server)
        if STRICT:
            server.command("purge", "--older-than", "0s")
            server.command("reclaim")
        server.stop()
        server.check()
        server.start()
    print(f"   {book.acknowledged} acknowledged changes, {book.unsure} cut off; {book.present} messages are left; "
          f"{book.kept} commands ended while the server ran")


class Book:
    """What we know of every message: its number -> the states that are right, a state being (folder, flags)."""

    def __init__(self):
        self.lock = threading.Lock()
        self.states, self.uids, self.boxes = {}, {}, {}
        self.seen, self.unborn = set(), set()    # what the bystander has seen; what was sent and never acknowledged
        self.next = self.acknowledged = self.unsure = self.present = self.kept = 0

    def number(self):
        with self.lock:
            self.next += 1
            return self.next

    def change(self, number, to, act):
        """Does `act`; until it is acknowledged the old and the new state are both right."""
        with self.lock:
            before = self.states.get(number, {ABSENT})
            self.states[number] = before | {to}
            self.unsure += 1
            if before == {ABSENT}:
                self.unborn.add(number)
        answer = act()
        if DYING.is_set():
            raise ConnectionError("an answer that came too late counts for nothing")
        with self.lock:
            self.states[number] = {to}
            self.unborn.discard(number)
            self.unsure -= 1
            self.acknowledged += 1
        return answer

    def of(self, numbers, folder):
        """Of these messages those that are surely in the folder."""
        with self.lock:
            return [n for n in numbers if len(self.states[n]) == 1 and next(iter(self.states[n]))[0] == folder]

    def verify(self, server):
        """Compares with the server; from then on what is there is what is right."""
        client, found = server.client(), {}
        for folder in FOLDERS:
            for number, uid, flags in listing(client, folder):
                # (Dovecot's MOVE leaves both when it is cut; ours may not.)
                assert number not in found or not STRICT, f"message {number} is there twice: in {found[number][0][0]} and {folder}"
                found[number] = ((folder, flags), uid)
            validity, following = (int(client.response(code)[1][0]) for code in ("UIDVALIDITY", "UIDNEXT"))
            equal(self.boxes.get(folder, (validity, 0))[0], validity, f"UIDVALIDITY of {folder}")
            last = max([uid for (f, _), uid in found.values() if f == folder], default=0)
            assert following > last and following >= self.boxes.get(folder, (0, 0))[1], f"UIDNEXT of {folder} is {following}"
            self.boxes[folder] = (validity, following)
        unknown = set(found) - set(self.states)
        assert not unknown, f"messages that nobody sent: {unknown}"
        for number, right in self.states.items():
            state, uid = found.get(number, (ABSENT, None))
            assert state in right, f"message {number} is {state}, right would be {right}"
            if number in self.seen & self.unborn:
                assert state != ABSENT, f"message {number} was seen and is gone"
            place = self.uids.get(number)
            if place and place[0] == state[0]:
                equal(uid, place[1], f"UID of message {number}")
            self.states[number] = {state}
            self.uids[number] = (state[0], uid)
        self.unborn.clear()
        self.present = len(found)
        self.check_bodies(client)
        client.logout()

    def check_bodies(self, client):
        """The latest messages come back as they were sent."""
        if client.select("Archive", readonly=True)[1] == [b"0"]:
            return    # A busy machine: nobody has got that far.
        answer = client.fetch("1:*" if self.present < 100 else "*", "(BODY.PEEK[])")[1]
        for part in answer:
            if isinstance(part, tuple):
                number = int(re.search(rb"^Message-ID: <(\d+)@", part[1], re.M)[1])
                assert part[1].endswith(message(number)), f"the body of message {number} is {part[1]!r}"


def message(number):
    """Mostly small, some of them large: they take other ways into the store."""
    size = 300_000 if number % 97 == 0 else 20_000 if number % 7 == 0 else 500
    return mail(number, body=f"{number} ".ljust(76, "x").join(["", "\r\n"]) * (size // 78 + 1))


def listing(client, folder):
    """(number, UID, flags) of all messages."""
    kind, exists = client.select(folder, readonly=True)
    equal(kind, "OK", f"EXAMINE {folder}")
    if exists == [b"0"]:
        return    # 1:* would be no message.
    for part in client.fetch("1:*", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1]:
        if isinstance(part, tuple):
            flags = re.search(rb"FLAGS \(([^)]*)\)", part[0])[1].decode().split()
            yield (int(re.search(rb"<(\d+)@", part[1])[1]), int(re.search(rb"UID (\d+)", part[0])[1]),
                   frozenset(flags) - {"\\Recent"})


def load(server, book, chance):
    """One round: load from all sides until the server is dead."""
    works = [write] * WRITERS + [deliver] * DELIVERERS + [watch] + [keep_house] * STRICT
    ready = threading.Barrier(len(works) + 1)
    failed = []

    def guarded(work, seed):
        def go():
            try:
                work(server, book, random.Random(seed), lambda: ready.wait(PATIENCE))
            except LOST:
                pass
            except BaseException as e:    # An assertion in a thread must end the test too.
                ready.abort()
                failed.append(e)
        return threading.Thread(target=go)

    threads = [guarded(work, chance.random()) for work in works]
    for thread in threads:
        thread.start()
    try:
        ready.wait(PATIENCE)
        time.sleep(chance.uniform(0.02, 1.2))    # The moment is the point: there is no event to wait for.
    except threading.BrokenBarrierError:
        pass
    ENDING.set()
    server.kill()
    for thread in threads:
        thread.join(PATIENCE)
    ENDING.clear()
    if failed:
        raise failed[0]


def write(server, book, chance, ready):
    """Appends messages, and changes, moves and expunges its own."""
    client = server.client()
    selected, own, uids = chance.choice(FOLDERS), [], {}
    client.select(selected)
    ready()
    while True:
        mine = book.of(own, selected)
        action = chance.choice(["append", "append", "store", "store", "move", "expunge"]) if mine else "append"
        if action == "append":
            n, flags = book.number(), frozenset(chance.sample(["\\Seen", "\\Flagged", "$Round", "\\Answered"], chance.randrange(3)))
            answer = book.change(n, (selected, flags), lambda: ok(client.append(selected, f"({' '.join(flags)})", None, message(n))))
            uids[n] = int(re.search(rb"APPENDUID \d+ (\d+)", answer[0])[1])
            own.append(n)
            continue
        n = chance.choice(mine)
        (_, flags), = book.states[n]
        uid = str(uids[n])
        if action == "store":
            to = flags ^ {chance.choice(["\\Seen", "\\Flagged", "$Round", "$Other"])}
            book.change(n, (selected, to), lambda: ok(client.uid("STORE", uid, "FLAGS.SILENT", f"({' '.join(to)})")))
        elif action == "move":
            target = chance.choice([f for f in FOLDERS if f != selected])
            book.change(n, (target, flags), lambda: ok(client.uid("MOVE", uid, target)))
            uids[n] = int(client.response("COPYUID")[1][-1].split()[-1])
        else:
            book.change(n, (selected, flags | {"\\Deleted"}), lambda: ok(client.uid("STORE", uid, "+FLAGS.SILENT", "(\\Deleted)")))
            book.change(n, ABSENT, lambda: ok(client.uid("EXPUNGE", uid)))
        if chance.random() < 0.05:
            selected = chance.choice(FOLDERS)
            ok(client.select(selected))


def ok(answer):
    if DYING.is_set() and answer[0] != "OK":
        raise ConnectionError(answer)
    assert answer[0] == "OK", answer
    return answer[1]


def deliver(server, book, chance, ready):
    """LMTP into INBOX."""
    with smtplib.LMTP(server.host, server.lmtp, timeout=PATIENCE) as lmtp:
        lmtp.ehlo("test.example.com")
        ready()
        while True:
            n = book.number()
            book.change(n, ("INBOX", frozenset()), lambda: lmtp.sendmail("a@example.com", [f"alice@{DOMAIN}"], message(n)))


def watch(server, book, chance, ready):
    """Looks at INBOX and remembers what it has seen."""
    client = server.client()
    client.select("INBOX", readonly=True)
    ready()
    last = 0
    while True:
        client.noop()
        for part in ok(client.uid("FETCH", f"{last + 1}:*", "(UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")):
            if isinstance(part, tuple):
                last = max(last, int(re.search(rb"UID (\d+)", part[0])[1]))
                if DYING.is_set():
                    return
                with book.lock:
                    book.seen.add(int(re.search(rb"<(\d+)@", part[1])[1]))


def keep_house(server, book, chance, ready):
    """Purges and gives space back, now and then, by the commands that people have."""
    ready()
    while True:
        time.sleep(chance.uniform(0, 0.2))    # Not all the time: the load goes on in between as well.
        with HOUSE:
            if ENDING.is_set():
                return
            words = chance.choice([("purge",), ("purge", "--older-than", "0s"), ("reclaim",), ("reclaim",), ("status",)])
            try:
                server.command(*words)
            except subprocess.CalledProcessError as e:
                assert ENDING.is_set(), (words, e.stdout, e.stderr)
                return
            book.kept += 1


if __name__ == "__main__":
    main()
