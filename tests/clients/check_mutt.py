"""mutt without hands: opens a mailbox, reads, flags, saves, copies, deletes, and searches on the server."""
import os
import pty
import select
import subprocess
import time

from harness import PATIENCE, Server, contains, contents, done, equal, mail


def main():
    with Server() as server:
        home = server.folder("mutt")
        with open(os.path.join(home, "muttrc"), "w") as f:
            f.write(f"""
set imap_user = "alice"
set imap_pass = "{server.accounts['alice']}"
set ssl_ca_certificates_file = "{server.cert}"
set ssl_force_tls = yes
set folder = "imaps://localhost:{server.imaps}/"
set spoolfile = "+INBOX"
set record = "+Sent"
set header_cache = "{home}/cache"
set sort = mailbox-order
set pager_index_lines = 0
set move = no
set delete = yes
set confirmappend = no
set confirmcreate = no
set wait_key = no
set mark_old = no
set fast_reply = yes
set resolve = no
set sleep_time = 0
""")
        client = server.client()
        for n in range(1, 11):
            equal(client.append("INBOX", None, None, mail(n))[0], "OK", "APPEND")

        for url in (f"imaps://localhost:{server.imaps}/INBOX", f"imap://localhost:{server.imap}/INBOX"):
            said = mutt(home, url, "<exit>")
            contains(said, "message 3", "mutt's index")

        # Reads the first, flags the second, saves the third to Archive, copies the fourth to a new folder, deletes the fifth.
        mutt(home, f"imaps://localhost:{server.imaps}/INBOX",
             "<first-entry><display-message><exit><next-entry><flag-message><next-entry>"
             "<save-message><kill-line>=Archive<enter><next-entry><copy-message><kill-line>=Kept<enter><next-entry><delete-message>"
             "<sync-mailbox><quit>")
        equal(contents(client, "INBOX"), [(1, "S"), (2, "F")] + [(n, "") for n in (4, 6, 7, 8, 9, 10)], "INBOX")
        for folder, wanted in (("Archive", [3]), ("Kept", [4])):
            equal([n for n, _ in contents(client, folder)], wanted, folder)

        # Tags what the server finds and saves the lot.
        mutt(home, f"imaps://localhost:{server.imaps}/INBOX",
             "<tag-pattern>=b'number 7'<enter><tag-pattern>=b'number 9'<enter><tag-prefix><save-message><kill-line>=Archive<enter><sync-mailbox><quit>")
        equal([n for n, _ in contents(client, "Archive")], [3, 7, 9], "Archive")
        client.logout()
        done("mutt")


def mutt(home, mailbox, keys):
    """One run of mutt in a terminal of its own; returns what it drew."""
    master, slave = pty.openpty()
    process = subprocess.Popen(["mutt", "-n", "-F", os.path.join(home, "muttrc"), "-e", f"push {quoted(keys)}", "-f", mailbox],
                               stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                               env={**os.environ, "HOME": home, "TERM": "vt100", "LINES": "50", "COLUMNS": "120", "LC_ALL": "C.UTF-8"})
    os.close(slave)
    drawn, end = b"", time.monotonic() + PATIENCE
    while True:
        left = end - time.monotonic()
        if left <= 0:
            process.kill()
            raise AssertionError(f"mutt does not end; it shows {drawn[-3000:]!r}")
        if select.select([master], [], [], left)[0]:
            try:
                more = os.read(master, 65536)
            except OSError:    # The terminal is gone: mutt has ended.
                more = b""
            if not more:
                break
            drawn += more
    os.close(master)
    text = drawn.decode(errors="replace")
    equal(process.wait(PATIENCE), 0, f"mutt's exit status; it shows {text[-3000:]!r}")
    return text


def quoted(keys):
    return '"' + keys.replace("\\", "\\\\").replace('"', '\\"') + '"'


main()
