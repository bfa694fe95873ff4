"""COMPRESS=DEFLATE by Python's imaplib over its zlib: every way to flush, octets cut anywhere, and bodies that are compressed already."""
import imaplib
import os
import random
import zlib

from harness import PATIENCE, Server, contains, done, equal

imaplib.Commands.update({name: ("NONAUTH", "AUTH", "SELECTED") for name in ("COMPRESS", "UNAUTHENTICATE")})


class Compressed(imaplib.IMAP4_SSL):
    """imaplib with the compression that it lacks."""

    flush = zlib.Z_SYNC_FLUSH
    pieces = None                       # a source of chance: octets are sent in pieces of these sizes

    def compress(self):
        status, data = self._simple_command("COMPRESS", "DEFLATE")
        assert status == "OK", data
        self.deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
        self.inflater = zlib.decompressobj(-15)
        self.ready = b""
        self.on_line = self.taken = 0
        self.read, self.readline, self.send = self.inflated, self.line, self.deflated

    def fill(self):
        octets = self.sock.recv(65536)
        if not octets:
            raise self.abort("the server hung up")
        self.on_line += len(octets)
        text = self.inflater.decompress(octets)
        assert not self.inflater.unconsumed_tail
        self.taken += len(text)
        self.ready += text

    def inflated(self, size):
        while len(self.ready) < size:
            self.fill()
        octets, self.ready = self.ready[:size], self.ready[size:]
        return octets

    def line(self):
        while b"\n" not in self.ready:
            self.fill()
        return self.inflated(self.ready.index(b"\n") + 1)

    def deflated(self, octets):
        packed = self.deflater.compress(octets) + self.deflater.flush(self.flush)
        if self.flush == zlib.Z_FINISH:
            self.deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
        while packed:
            n = self.pieces.randint(1, 40) if self.pieces else len(packed)
            self.sock.sendall(packed[:n])
            packed = packed[n:]


def main():
    with Server() as server:
        for flush in (zlib.Z_SYNC_FLUSH, zlib.Z_PARTIAL_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_FINISH):
            walk(server, flush)
        unauthenticate(server)
        done("compress")


def connected(server):
    client = Compressed(server.host, server.imaps, ssl_context=server.tls(), timeout=PATIENCE)
    contains(client.capabilities, "COMPRESS=DEFLATE")
    return client


def walk(server, flush):
    chance = random.Random(flush)
    client = connected(server)
    client.login("alice", server.accounts["alice"])
    client.compress()
    client.flush, client.pieces = flush, chance
    assert "COMPRESS=DEFLATE" not in client.capability()[1][-1].decode()
    name = f"flush{flush}"
    client.create(name)
    text = b"Subject: text\r\n\r\n" + b"".join(b"line %d of many\r\n" % n for n in range(5000))
    random_body = b"Subject: random\r\n\r\n" + chance.randbytes(60_000).replace(b"\0", b"\1").replace(b"\r", b"r").replace(b"\n", b"n")
    packed = b"Subject: zlib\r\n\r\n" + zlib.compress(text, 9).hex().encode()
    for body in (text, random_body, packed):
        status, data = client.append(name, None, None, body)
        assert status == "OK", data
    client.select(name)
    for number, body in enumerate((text, random_body, packed), 1):
        _, data = client.fetch(str(number), "(BODY.PEEK[])")
        equal(data[0][1], body)
    before = (client.on_line, client.taken)
    for _ in range(20):
        client.fetch("1:*", "(FLAGS UID ENVELOPE BODYSTRUCTURE)")
    _, data = client.fetch("1", "(BODY.PEEK[])")
    equal(data[0][1], text)
    on_line, taken = client.on_line - before[0], client.taken - before[1]
    assert on_line < taken / 2, (on_line, taken)
    client.logout()
    print(f"   flush {flush}: {taken} octets of text were {on_line} on the line")


def unauthenticate(server):
    client = connected(server)
    client.login("alice", server.accounts["alice"])
    client.compress()
    status, data = client._simple_command("UNAUTHENTICATE")
    assert status == "OK", data
    # RFC 8437 §4.1: the server marks the end of what it compressed.
    assert client.inflater.eof and not client.inflater.unused_data and not client.ready
    del client.read, client.readline, client.send
    client.state = "NONAUTH"
    client.login("bob", server.accounts["bob"])
    contains(client.capability()[1][-1].decode(), "COMPRESS=DEFLATE")
    client.logout()


if __name__ == "__main__":
    main()
