"""The power goes, for real: ext4 on a loop device that is shut down under load (EXT4_IOC_SHUTDOWN), so that whatever
was not synced is lost. Then the file system recovers, and what was acknowledged is there. Needs root and loop
devices; skipped elsewhere.

    check_power_cut.py [--rounds N] [--seed N]

An answer counts only if it came before the shutdown began: Linux (6.18 here) says yes to some of the fdatasync calls that
are under way at that moment, and then loses what they were to save. Four threads that do nothing but append and
fdatasync showed that 12 times in 210 shutdowns.

The load, the book of what is right and its comparison are those of check_crash.py.
"""
import argparse
import fcntl
import os
import random
import struct

import check_crash
from harness import Server, done, run

SHUTDOWN = 0x8004587D    # EXT4_IOC_SHUTDOWN
NO_LOG_FLUSH = 2         # Not even ext4's own journal is written out.


class OnLoop(Server):
    """A server whose store is on a file system that can be shut down."""

    def configure(self, plaintext, limits):
        self.image, self.mounted = self.path("image"), self.folder("mounted")
        with open(self.image, "wb") as f:
            f.truncate(1 << 30)
        run("mkfs.ext4", "-q", "-F", self.image)
        self.mount()
        super().configure(plaintext, limits)
        path = self.path("pillarbox.toml")
        with open(path) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write(text.replace(self.path("store"), os.path.join(self.mounted, "store")))

    def mount(self):
        run("mount", "-o", "loop", self.image, self.mounted)

    def kill(self):
        """The power goes. The process is ended only so that the file system can be left."""
        if not self.process:
            return
        check_crash.DYING.set()
        mounted = os.open(self.mounted, os.O_RDONLY)
        try:
            fcntl.ioctl(mounted, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(mounted)
        super().kill()
        with check_crash.HOUSE:
            run("umount", self.mounted)
            self.mount()
        check_crash.DYING.clear()

    def __exit__(self, kind, *rest):
        if kind is None:
            self.stop()
        else:
            self.kill()
        run("umount", self.mounted)
        super().__exit__(kind, *rest)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=12)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = options.parse_args()
    if os.geteuid() != 0 or not os.path.exists("/dev/loop-control"):
        print("skipped: this needs root and loop devices")
        return
    try:
        server = OnLoop()
    except (AssertionError, FileNotFoundError) as e:
        print(f"skipped: no ext4 on a loop device here ({str(e).splitlines()[-1]})")
        return
    with server:
        print(f"   seed {options.seed}, {options.rounds} power cuts")
        check_crash.keep_little(server)
        check_crash.survive(server, options.rounds, random.Random(options.seed))
        done("power cut")


main()
