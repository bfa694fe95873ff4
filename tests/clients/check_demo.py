"""`pillarbox demo`: the commands that it prints work as they are printed."""
import os
import re
import subprocess
import sys
import tempfile

from harness import PATIENCE, contains, done

PORTS = ["--imap-port", "0", "--imaps-port", "0", "--lmtp-port", "0"]


def shell(line, **kwargs):
    return subprocess.run(line, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE,
                          text=True, **kwargs).stdout


def main():
    if os.environ["PILLARBOX"] == "dovecot":
        sys.exit("only Pillarbox has a demonstration")
    with tempfile.TemporaryDirectory(prefix="pillarbox demo's ") as scratch:
        command = [os.environ["PILLARBOX"], "demo", "--data", os.path.join(scratch, "data"), *PORTS]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as demo:
            try:
                said = ""
                while not said.endswith("\nready\n"):
                    line = demo.stdout.readline()
                    assert line, f"the demonstration ended: {said}"
                    said += line
                contains(shell(re.search(r"^ *(curl .*)$", said, re.M)[1]), "Subject: Welcome to the demonstration", "curl")
                login = re.search(r"`(a LOGIN \S+ \S+)`", said)[1]
                answer = shell(re.search(r"^ *(openssl s_client .*)$", said, re.M)[1], input=f"{login}\nb LOGOUT\n")
                contains(answer, "a OK", "openssl s_client")
                contains(answer, "b OK", "openssl s_client")
            finally:
                demo.terminate()
            assert demo.wait(PATIENCE) == 0, demo.returncode
    done("demo")


main()
