"""Debian's Dovecot behind the same interface as `harness.Server`, for testing the tests. Needs root, dovecot-imapd and
dovecot-lmtpd; nothing of the project depends on it.
"""
import os
import shutil
import signal
import socket
import subprocess

from harness import Server, until


class Dovecot(Server):
    mail_location = "maildir:~/Maildir"
    plugins = ""
    separator = "/"
    prefix = ""

    def configure(self, plaintext, limits):
        self.imap, self.imaps, self.lmtp = free_ports(3)
        os.chmod(self.dir, 0o755)
        for folder in ("run", "state", "mail"):
            self.folder(folder)
        shutil.chown(self.path("mail"), "nobody", "nogroup")
        with open(self.path("dovecot.conf"), "w") as f:
            f.write(f"""
base_dir = {self.path('run')}
state_dir = {self.path('state')}
log_path = {self.path('server.log')}
protocols = imap lmtp
listen = {self.host}
disable_plaintext_auth = no
ssl = yes
ssl_cert = <{self.cert}
ssl_key = <{self.key}
mail_location = {self.mail_location}
mail_plugins = {self.plugins}
mail_fsync = always
auth_failure_delay = 0
first_valid_uid = 1
first_valid_gid = 1
mail_max_userip_connections = 2000
recipient_delimiter = +
lmtp_save_to_detail_mailbox = yes
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%n {self.path('passwd')}
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={self.path('mail')}/%n allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = {self.separator}
  prefix = {self.prefix}
  mailbox Drafts {{
    auto = subscribe
    special_use = \\Drafts
  }}
  mailbox Sent {{
    auto = subscribe
    special_use = \\Sent
  }}
  mailbox Junk {{
    auto = subscribe
    special_use = \\Junk
  }}
  mailbox Trash {{
    auto = subscribe
    special_use = \\Trash
  }}
  mailbox Archive {{
    auto = subscribe
    special_use = \\Archive
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {self.imap}
  }}
  inet_listener imaps {{
    port = {self.imaps}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {self.lmtp}
  }}
}}
""")

    def create(self, name, password):
        with open(self.path("passwd"), "a") as f:
            f.write(f"{name}:{{PLAIN}}{password}\n")

    def check(self):
        pass

    def start(self):
        self.process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", self.path("dovecot.conf")],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, process_group=0)
        for port in (self.imap, self.imaps, self.lmtp):
            until(f"port {port} open", lambda: socket.socket().connect_ex((self.host, port)) == 0)

    def kill(self):
        """Dovecot is a family of processes; all of them die."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
        super().kill()


def free_ports(n):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports
