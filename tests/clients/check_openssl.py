"""openssl s_client: the line that `pillarbox demo` prints, and what STARTTLS may and may not carry over."""
import smtplib
import socket
import ssl

from harness import Server, contains, done, run, PATIENCE


def main():
    with Server() as server:
        base = ["openssl", "s_client", "-quiet", "-crlf", "-CAfile", server.cert, "-verify_return_error"]
        talk = f'a LOGIN alice "{server.accounts["alice"]}"\nb SELECT INBOX\nc LOGOUT\n'
        for connect in (["-connect", f"{server.host}:{server.imaps}"],
                        ["-connect", f"{server.host}:{server.imap}", "-starttls", "imap"]):
            said = run(*base, *connect, input=talk.encode())
            for part in ("a OK", "b OK [READ-WRITE]", "* BYE", "c OK"):
                contains(said, part, "s_client")
        for version in ("-tls1_2", "-tls1_3"):
            contains(run(*base, version, "-connect", f"{server.host}:{server.imaps}", input=b"a LOGOUT\n"), "a OK")
        injected(server)
        lmtp_starttls(server)
        done("openssl s_client")


def injected(server):
    """RFC 9051 §6.2.1: what came in the same packet as STARTTLS must not be answered behind the handshake."""
    with socket.create_connection((server.host, server.imap), PATIENCE) as plain:
        assert plain.recv(4096).startswith(b"* OK")
        plain.sendall(b"a STARTTLS\r\nb NOOP\r\n")
        answer = plain.recv(4096)
        assert answer.startswith(b"a OK") and b"b OK" not in answer, answer
        try:
            with server.tls().wrap_socket(plain, server_hostname="localhost") as tls:
                tls.sendall(b"c CAPABILITY\r\n")
                said = b""
                while b"c OK" not in said:
                    more = tls.recv(4096)
                    assert more, said
                    said += more
                assert b"b OK" not in said, said
        except (ssl.SSLError, ConnectionError):
            pass  # Ending the connection is just as good: the attacker has nothing.


def lmtp_starttls(server):
    with smtplib.LMTP(server.host, server.lmtp, timeout=PATIENCE) as lmtp:
        lmtp.ehlo_or_helo_if_needed()
        if lmtp.has_extn("starttls"):
            lmtp.starttls(context=server.tls())
            lmtp.ehlo("client.example.com")
            assert not lmtp.has_extn("starttls"), "STARTTLS offered again under TLS"


main()
