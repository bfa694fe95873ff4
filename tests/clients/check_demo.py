"""`pillarbox demo`: what it prints works as printed, its mail is all there, and Ctrl-C ends it."""
import imaplib
import os
import re
import select
import signal
import ssl
import subprocess
import tempfile
import time

from harness import PATIENCE, STRICT, contains, done, equal, run


def main():
    if not STRICT:
        return done("demo (nothing to compare with)")
    program = os.environ["PILLARBOX"]
    with tempfile.TemporaryDirectory(prefix="pillarbox-") as kept:
        for data in ([], ["--data", os.path.join(kept, "demo")], ["--data", os.path.join(kept, "demo")]):
            walk([program, "demo", "--imap-port", "0", "--imaps-port", "0", "--lmtp-port", "0", *data])
    busy(program)
    done("demo")


def walk(command):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        said = read_until(process, r"Ctrl-C ends the server")
        curl = re.search(r"^ *(curl .*)$", said, re.M)[1]
        first = run("sh", "-c", curl)
        contains(first, "Subject:", curl)
        openssl = re.search(r"^ *(openssl .*)$", said, re.M)[1]
        login = re.search(r"`a (LOGIN .*?)`", said)[1]
        session = run("sh", "-c", openssl, input=f"a {login}\nb SELECT INBOX\nc LOGOUT\n".encode())
        for part in ("a OK", "b OK [READ-WRITE]", "c OK"):
            contains(session, part, openssl)
        contents(said)
        process.send_signal(signal.SIGINT)
        equal(process.wait(PATIENCE), 0, "exit status after Ctrl-C")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def contents(said):
    """Folders, a thread, attachments, HTML, several charsets, ten megabytes."""
    port = int(re.search(r"port (\d+) with TLS", said)[1])
    cert = re.search(r"--cacert (\S+)", said)[1]
    for user, password in re.findall(r"user +(\S+) +password +(\S+)", said):
        client = imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=ssl.create_default_context(cafile=cert), timeout=PATIENCE)
        client.login(user, password)
        equal(client.select("INBOX")[0], "OK", "INBOX")
        assert client.search(None, "ALL")[1][0], f"{user} has no mail"
        if user == "alice":
            mailboxes = [line.decode().rpartition(' "/" ')[2].strip('"') for line in client.list()[1]]
            sizes, types = [], ""
            for mailbox in mailboxes:
                client.select(f'"{mailbox}"', readonly=True)
                for part in client.uid("FETCH", "1:*", "(RFC822.SIZE BODYSTRUCTURE)")[1] or []:
                    text = (part[0] if isinstance(part, tuple) else part or b"").decode()
                    sizes += map(int, re.findall(r"RFC822.SIZE (\d+)", text))
                    types += text.lower()
            assert max(sizes) > 10_000_000, f"no large message: {max(sizes)}"
            for part in ('"html"', '"attachment"', "iso-2022-jp", "koi8-r"):
                contains(types, part, "the structures of the sample mail")
        client.logout()


def busy(program):
    """A busy port is a clear error that says which option to change."""
    import socket
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = run(program, "demo", "--imap-port", str(taken.getsockname()[1]), "--imaps-port", "0", "--lmtp-port", "0", ok=False)
        contains(said, "--imap-port", "a busy port")


def read_until(process, wanted):
    said, end = b"", time.monotonic() + PATIENCE
    while not re.search(wanted.encode(), said):
        left = end - time.monotonic()
        assert left > 0, f"after {PATIENCE} s it has printed {said!r}"
        if select.select([process.stdout], [], [], left)[0]:
            more = os.read(process.stdout.fileno(), 65536)
            assert more, f"it ended with {process.wait()} and printed {said!r}"
            said += more
    return said.decode()


main()
