"""imapflow, the Node.js client: the walk itself is in imapflow.mjs."""
import os

from harness import HERE, PATIENCE, Server, done, run


def main():
    with Server() as server:
        print(run("timeout", str(int(4 * PATIENCE)), "node", os.path.join(HERE, "imapflow.mjs"), env={
            **os.environ, "HOST": server.host, "IMAP": str(server.imap), "IMAPS": str(server.imaps),
            "PASSWORD": server.accounts["alice"]}), end="")
        done("imapflow")


main()
