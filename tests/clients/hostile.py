"""Hostile clients, for check_hostile.py: each class is what one of them does, and a crowd does it many times at once.

A class is a coroutine over one connection. When it returns, the connection is closed and a new one begins; `hold` keeps
it open to the end of the attack. Whoever is hung up on comes again.
"""
import asyncio
import collections
import contextlib
import multiprocessing
import os
import random
import re
import socket
import ssl
import struct
import zlib

PASSWORD = "pass word"
PER_ACCOUNT = 50
MIB = 1 << 20
PROCESSES = min(2, os.cpu_count())
AT_THE_DOOR = 100   # of each process, that connect or log in at one time: more only fill the kernel's queue


class HungUp(Exception):
    """The server had enough of it."""


class Attack:
    """Crowds of these classes, in processes of their own, until it is left. Each crowd has `size` connections at a time."""

    def __init__(self, server, kinds, size):
        self.kinds, self.size = kinds, size
        self.stop = multiprocessing.Event()
        self.once = multiprocessing.Value("q", 0)   # connections that have done what they came for
        self.processes, self.reports = [], []
        for share in range(PROCESSES):
            report, theirs = multiprocessing.Pipe(False)
            process = multiprocessing.Process(target=self.attack, args=(server, share, theirs))
            process.start()
            theirs.close()
            self.processes.append(process)
            self.reports.append(report)

    def attack(self, server, share, report):
        crowds = [Crowd(server, kind, number, self) for number, kind in enumerate(self.kinds)]
        failed = asyncio.run(lead(crowds, range(share, self.size, PROCESSES), self.stop))
        report.send(([(crowd.kind.__name__, crowd.begun, crowd.goodbyes) for crowd in crowds], failed))

    def begun(self):
        """True once everybody has done what they came for."""
        return self.once.value >= self.size * len(self.kinds)

    def end(self):
        """Connections in all, and what those who were hung up on heard last: {class: {line: times}}."""
        self.stop.set()
        total, goodbyes = 0, {kind.__name__: collections.Counter() for kind in self.kinds}
        reports = [report.recv() for report in self.reports]
        for process in self.processes:
            process.join()
        for crowds, failed in reports:
            assert not failed, f"an attacker was surprised: {failed}"
            for name, begun, heard in crowds:
                total += begun
                goodbyes[name] += heard
        return total, goodbyes


async def lead(crowds, numbers, stop):
    """Sends them all; the first surprise, if there was one."""
    tasks = [asyncio.create_task(crowd.member(number)) for number in numbers for crowd in crowds]
    while not stop.is_set() and not any(task.done() for task in tasks):
        await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    return next((repr(e) for e in ended if not isinstance(e, asyncio.CancelledError)), None)


class Crowd:
    """Those of one class and process."""

    def __init__(self, server, kind, number, attack):
        self.server, self.kind, self.once = server, kind, attack.once
        self.first = number * -(-attack.size // PER_ACCOUNT)   # of its accounts
        self.door = asyncio.Semaphore(AT_THE_DOOR)
        self.begun = 0
        self.goodbyes = collections.Counter()
        self.trust = server.tls()
        self.chance = random.Random(number)

    async def member(self, number):
        one = One(self, number)
        try:
            while True:
                with contextlib.suppress(HungUp):
                    await self.kind(one)
                one.done()
                one.leave()
        finally:
            one.leave()


class One:
    """One of them: one connection at a time."""

    def __init__(self, crowd, number):
        self.crowd, self.number, self.server = crowd, number, crowd.server
        self.sock = None
        self.last = b""
        self.counted = False

    async def connect(self, port=None):
        """Strangers come from many addresses: one may only have so many."""
        n, self.last = self.number, b""
        async with self.crowd.door:
            self.crowd.begun += 1
            self.sock = sock = socket.socket()
            sock.setblocking(False)
            # What nobody reads should not fit into the kernel, nor what nobody takes.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            # Leaving leaves nothing behind in the kernel: ten thousand come again and again.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.bind((f"127.{1 + n // 25000}.{n // 100 % 250}.{1 + n % 100}", 0))
            await self.of(asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port or self.server.imap)))

    async def login(self, then=b"", heard=1):
        """As one of many accounts; `then` goes out with the LOGIN, and that many OK are waited for."""
        await self.connect()
        account = self.crowd.first + self.number // PER_ACCOUNT
        async with self.crowd.door:
            await self.send(b'a LOGIN u%d "%s"\r\n%s' % (account, PASSWORD.encode(), then))
            await self.hear(b"a OK", heard)

    async def select(self):
        await self.login(b"a SELECT INBOX\r\n", 2)

    async def send(self, octets):
        await self.of(asyncio.get_running_loop().sock_sendall(self.sock, octets))

    async def take(self):
        """What comes next."""
        octets = await self.of(asyncio.get_running_loop().sock_recv(self.sock, 65536))
        self.last = (self.last + octets)[-400:]
        if not octets:
            raise HungUp
        return octets

    async def hear(self, wanted, times=1):
        """Reads until it was said so often."""
        text = b""
        while text.count(wanted) < times:
            text += await self.take()
        return text

    async def drain(self):
        """Takes whatever comes until the server hangs up."""
        while True:
            await self.take()

    async def hold(self):
        """Stays to the end, and takes nothing."""
        self.done()
        await asyncio.Event().wait()

    async def of(self, work):
        try:
            return await work
        except OSError:
            raise HungUp from None

    def done(self):
        """It has done what it came for."""
        if not self.counted:
            with self.crowd.once.get_lock():
                self.crowd.once.value += 1
        self.counted = True

    def leave(self):
        """Closes, and notes what the server said if it had hung up before."""
        sock, self.sock = self.sock, None
        if not sock:
            return
        hung_up = False
        try:
            for _ in range(64):   # who took nothing so far will not take all of it now
                octets = sock.recv(65536)
                self.last = (self.last + octets)[-400:]
                if hung_up := not octets:
                    break
        except BlockingIOError:
            pass
        except OSError:
            hung_up, self.last = True, self.last or b"(reset)"
        sock.close()
        if hung_up:
            line = self.last.strip().rpartition(b"\n")[2]
            self.crowd.goodbyes[re.sub(r"\d+", "N", ascii(line.decode(errors="replace")))[:90]] += 1


# ---- the classes ----

async def half_open(one):
    await one.connect()
    await one.hold()


async def slow_writers(one):
    """Strangers, an octet now and then: endless lines, and TLS handshakes that do not go on."""
    secret = one.number % 2
    await one.connect(one.server.imaps if secret else None)
    for octet in (b"\x16", b"\x03", b"\x01", b"\x02") if secret else (b"a", b" ", b"x", b"x"):
        await one.send(octet)
        await asyncio.sleep(1)
    await one.hold()


HALF_COMMAND = b'a LIST "" ' + b"x" * 125_000


async def half_commands(one):
    await one.login()
    await one.send(HALF_COMMAND)
    await one.hold()


HEADER = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 60) for n in range(15_000))


async def half_uploads(one):
    """Headers of a megabyte, and then nothing."""
    await one.login()
    await one.send(b"a APPEND INBOX {40000000+}\r\n" + HEADER[:1000])
    await one.send(HEADER)
    await one.hold()


async def slow_readers(one):
    """Ask for a lot and take nothing."""
    await one.select()
    await one.send(b"a FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY.PEEK[])\r\n" * 20)
    await one.hold()


async def slow_envelopes(one):
    """Answers that are large in one piece: an envelope of a megabyte."""
    await one.select()
    await one.send(b"a FETCH * (ENVELOPE ENVELOPE BODY.PEEK[HEADER])\r\n" * 3)
    await one.hold()


ENDLESS = b"x" * (2 * MIB)


async def endless_lines(one):
    await (one.connect() if one.number % 2 else one.login())
    await one.send(b"a LIST ")
    await one.send(ENDLESS)
    await one.drain()


async def endless_literals(one):
    await one.login()
    if one.number % 2:
        await one.send(b"a LIST {2000000+}\r\n")
        await one.send(ENDLESS)
    else:
        await one.send(b"a SELECT {10}\r\n" * 50)
    await one.drain()


# What is too much is said, what only looks so is done.
NESTED = [(b"a SEARCH " + b"(" * 60_000 + b"\r\n", b"a NO [LIMIT]"),
          (b"a SEARCH " + b"NOT " * 25_000 + b"ALL\r\n", b"a OK"),
          (b"a SEARCH " + b"OR ALL " * 15_000 + b"ALL\r\n", b"a NO [LIMIT]"),
          (b"a FETCH " + b",".join(b"%d" % m for m in range(1, 40_000, 2)) + b" FLAGS\r\n", b"a NO [LIMIT]"),
          (b"a FETCH 1 (" + b"UID " * 30_000 + b"UID)\r\n", b"a OK")]


async def deep_nesting(one):
    """Commands that are within their size."""
    await one.select()
    for command, answer in NESTED[one.number % 5:] + NESTED[:one.number % 5]:
        await one.send(command)
        await one.hear(answer)


def packed(octets):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(octets) + packer.flush()


ZIP_BOMBS = [packed(b"a LIST " + bytes(120 * MIB)), packed(b"a NOOP\r\n" * (1 * MIB))]


async def zip_bombs(one):
    """An endless line, and commands without end."""
    await one.login(b"a COMPRESS DEFLATE\r\n", 2)
    await one.send(ZIP_BOMBS[one.number % 2])
    await one.drain()


MIME_BOMBS = [
    b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(5_000)),
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\nContent-Type: text/plain; x=y\r\n\r\nx\r\n" * 10_000,
    b"To: " + b"a@b,\r\n " * 160_000 + b"\r\n\r\nx\r\n",
    b"Content-Type: message/rfc822\r\n\r\n" * 10_000,
]


async def mime_bombs(one):
    """Nesting, parts and headers without end: asked for, and one of ten times stored."""
    bomb = one.number % 4
    await one.login(b"a SELECT Bombs%d\r\n" % bomb, 2)
    if one.number % 10 == 0:
        await one.send(b"b APPEND Bombs%d {%d+}\r\n%s\r\n" % (bomb, len(MIME_BOMBS[bomb]), MIME_BOMBS[bomb]))
        await one.hear(b"b OK")
    await one.send(b"a FETCH 1 (ENVELOPE BODYSTRUCTURE)\r\na SEARCH UID 1 TEXT y\r\na SORT (TO) UTF-8 UID 1\r\nc NOOP\r\n")
    await one.hear(b"c OK")


WORDS = [b"a ", b"\r\n", b"FETCH ", b"{3}\r\n", b"(", b"\"", b"\0", b"LOGIN ", b"IDLE\r\n", b"1:*"]


async def garbage(one):
    chance = one.crowd.chance
    await (one.connect() if one.number % 4 < 2 else one.login())
    await one.send(chance.randbytes(20_000) if one.number % 2 else b"".join(chance.choices(WORDS, k=4000)))
    await one.hold()


async def login_floods(one):
    """Nobody gets in, and each is told why: wrong, or too many at this moment."""
    await one.connect()
    await one.send(b"a LOGIN u%d wrong\r\n" % (one.number % PER_ACCOUNT))
    said = await one.hear(b"\r\na ")
    assert b"a NO [AUTHENTICATIONFAILED]" in said or b"a NO [UNAVAILABLE]" in said, said


async def starttls_injection(one):
    await one.connect()
    await one.hear(b"\r\n")
    await one.send(b"a STARTTLS\r\na INJECTED\r\n")
    said = await one.hear(b"\r\n")
    assert b"a OK" in said, said
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    secret = one.crowd.trust.wrap_bio(inward, outward, server_hostname="localhost")

    async def through(work):
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                done = work()
                await one.send(outward.read())
                return done
            if outward.pending:
                await one.send(outward.read())
            inward.write(await one.take())

    await through(secret.do_handshake)
    await through(lambda: secret.write(b"b NOOP\r\n"))
    said = await through(secret.read)
    assert said.startswith(b"b OK"), f"what came before the handshake was carried out: {said!r}"
    await one.hold()


async def quick(one):
    """Comes and goes as fast as it can."""
    await one.connect()


CLASSES = [half_open, slow_writers, half_commands, half_uploads, slow_readers, slow_envelopes, endless_lines, endless_literals,
           deep_nesting, zip_bombs, mime_bombs, garbage, login_floods, starttls_injection, quick]
