"""The power goes, for real: whatever was not synced is lost. Then the file system recovers, and what was acknowledged is
there. Needs root and loop devices; skipped elsewhere.

    check_power_cut.py [--rounds N] [--seed N] [--way NAME] [--control]

The store is on ext4, in a file on XFS, each on a loop device. The power goes in one of three ways:

* shutdown: ext4 is shut down (EXT4_IOC_SHUTDOWN) and not even writes its journal out. What the system has in memory is lost.
* clone: the file under ext4 is cloned (FICLONE, which waits for writes and lets none in), and ext4 goes on from the clone:
  the disk as it was at one moment. Nothing is shut down, no call is made to fail.
* cache: XFS is shut down beneath ext4. What ext4 has written and not flushed is lost as well: a disk with a cache of its own.

An answer counts if it came before the cut began; nobody hears an answer that comes after it. That is not a way out for us:
after a shutdown has begun, Linux (6.18) says yes to some calls of fdatasync and loses what they were to save. `--control` shows
it with threads that only append and call fdatasync, in each way: not one answer from before the cut may be lost.

The load, the book of what is right and its comparison are those of check_crash.py.
"""
import argparse
import contextlib
import fcntl
import os
import random
import shutil
import struct
import tempfile
import threading
import time

import check_crash
from harness import Server, done, run

SHUTDOWN = 0x8004587D    # EXT4_IOC_SHUTDOWN, and XFS_IOC_GOINGDOWN
NO_LOG_FLUSH = 2         # Not even the file system's own journal is written out.
FICLONE = 0x40049409
WAYS = ("shutdown", "clone", "cache")


class Disk:
    """A file system that loses its power."""

    def __init__(self, place):
        self.lower, self.mounted = os.path.join(place, "lower"), os.path.join(place, "mounted")
        self.outer, self.image = os.path.join(place, "outer"), os.path.join(self.lower, "image")
        os.makedirs(self.lower), os.makedirs(self.mounted)
        create(self.outer, 3 << 30)
        run("mkfs.xfs", "-q", "-m", "reflink=1", self.outer)
        run("mount", "-o", "loop", self.outer, self.lower)
        try:
            create(self.image, 1 << 30)
            run("mkfs.ext4", "-q", "-F", self.image)
            run("mount", "-o", "loop", self.image, self.mounted)
        except BaseException:
            run("umount", self.lower)
            raise

    def cut(self, way):
        """The power goes."""
        if way == "clone":
            with open(self.image, "rb") as now, open(self.image + ".cut", "wb") as then:
                fcntl.ioctl(then, FICLONE, now.fileno())
            return
        place = os.open(self.mounted if way == "shutdown" else self.lower, os.O_RDONLY)
        try:
            fcntl.ioctl(place, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(place)

    def recover(self, way):
        """The power is back, and nobody has a file open."""
        run("umount", self.mounted)
        if way == "clone":
            os.rename(self.image + ".cut", self.image)
        elif way == "cache":
            run("umount", self.lower)
            run("mount", "-o", "loop", self.outer, self.lower)
        run("mount", "-o", "loop", self.image, self.mounted)

    def close(self):
        for place in (self.mounted, self.lower):
            run("umount", place)


def create(path, size):
    with open(path, "wb") as f:
        f.truncate(size)


class Cut(Server):
    """A server whose store is on a disk that loses its power when the server is killed."""

    def configure(self, plaintext, limits):
        self.disk, self.ways = Disk(self.dir), iter(())
        super().configure(plaintext, limits)
        path = self.path("pillarbox.toml")
        with open(path) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write(text.replace(self.path("store"), os.path.join(self.disk.mounted, "store")))

    def kill(self):
        """The process is ended only so that the file system can be left."""
        if not self.process:
            return
        way = next(self.ways, "shutdown")
        check_crash.DYING.set()
        self.disk.cut(way)
        super().kill()
        with check_crash.HOUSE:
            self.disk.recover(way)
        check_crash.DYING.clear()

    def __exit__(self, kind, *rest):
        if kind is None:
            self.stop()
        else:
            self.kill()
        self.disk.close()
        super().__exit__(kind, *rest)


def control(rounds, ways, chance):
    """What the disk does to the simplest program there is."""
    place = tempfile.mkdtemp(prefix="pillarbox-control-")
    disk = Disk(place)
    total, lost = 0, {}
    for number in range(rounds):
        way, cut, ready = ways[number % len(ways)], threading.Event(), threading.Barrier(5)
        writers = [Appender(os.path.join(disk.mounted, f"{number}-{n}"), cut, ready) for n in range(4)]
        for writer in writers:
            writer.start()
        ready.wait()
        time.sleep(chance.uniform(0.01, 0.2))    # The moment is the point.
        cut.set()
        disk.cut(way)
        for writer in writers:
            writer.end.set()
            writer.join()
        disk.recover(way)
        for writer in writers:
            with open(writer.path, "rb") if os.path.exists(writer.path) else contextlib.nullcontext() as f:
                there = len(f.read()) // Appender.SIZE if f else 0
            assert there >= writer.before, f"{way}: {writer.before - there} records are lost that were synced before the cut"
            total += writer.before
            lost[way] = lost.get(way, 0) + (max(0, writer.all - there) if way != "clone" else 0)
            with contextlib.suppress(FileNotFoundError):
                os.remove(writer.path)
    disk.close()
    shutil.rmtree(place)
    print(f"   {rounds} cuts: {total} records synced before them, all there; answers that came too late and were wrong: {lost}")


class Appender(threading.Thread):
    """Appends and syncs; counts the answers, and those from before the cut."""

    SIZE = 700

    def __init__(self, path, cut, ready):
        super().__init__()
        self.path, self.cut, self.ready, self.end = path, cut, ready, threading.Event()
        self.before = self.all = 0

    def run(self):
        file = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        directory = os.open(os.path.dirname(self.path), os.O_RDONLY)
        os.fsync(directory), os.close(directory)
        self.ready.wait()
        try:
            while not self.end.is_set():
                os.write(file, b"x" * self.SIZE)
                os.fdatasync(file)
                self.all += 1
                if not self.cut.is_set():
                    self.before += 1
        except OSError:
            pass
        finally:
            os.close(file)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=12)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options.add_argument("--way", choices=WAYS)
    options.add_argument("--control", action="store_true")
    options = options.parse_args()
    if os.geteuid() != 0 or not os.path.exists("/dev/loop-control"):
        print("skipped: this needs root and loop devices")
        return
    ways, chance = [options.way] if options.way else list(WAYS), random.Random(options.seed)
    if options.control:
        control(options.rounds, ways, chance)
        return
    try:
        server = Cut()
    except (AssertionError, FileNotFoundError) as e:
        print(f"skipped: no XFS and ext4 on loop devices here ({str(e).splitlines()[-1]})")
        return
    with server:
        print(f"   seed {options.seed}, {options.rounds} power cuts: {', '.join(ways)}")
        check_crash.keep_little(server)
        server.ways = (ways[n % len(ways)] for n in range(options.rounds))
        check_crash.survive(server, options.rounds, chance)
        done("power cut")


main()
