"""PostgreSQL 15 on a folder of its own, for the programs beside this file."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time


def find_postgres():
    """The folder of PostgreSQL 15's programs, or the end with what to install."""
    for folder in ("/usr/lib/postgresql/15/bin", "/usr/pgsql-15/bin", "/opt/homebrew/opt/postgresql@15/bin"):
        if all(os.access(os.path.join(folder, name), os.X_OK) for name in ("initdb", "postgres", "pgbench", "psql")):
            return folder
    sys.exit("PostgreSQL 15 with pgbench is not here. On Debian 12: apt-get install postgresql-15 (pgbench is in it).")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Cluster:
    """A cluster of its own in a temporary folder, on a Unix socket and loopback, with the settings it comes with."""

    def __init__(self, parent):
        self.programs = find_postgres()
        # PostgreSQL refuses to run as root.
        self.user = "nobody" if os.geteuid() == 0 else None
        self.folder = tempfile.mkdtemp(prefix="pgb-", dir=parent)
        self.port = free_port()
        if self.user:
            account = pwd.getpwnam(self.user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        data = os.path.join(self.folder, "data")
        self.run("initdb", "--no-sync", "-D", data, "-U", "bench", "-A", "trust")
        log = open(os.path.join(self.folder, "log"), "wb")
        # The settings that come with PostgreSQL, but for where it listens.
        self.server = subprocess.Popen(
            [os.path.join(self.programs, "postgres"), "-D", data, "-k", self.folder, "-p", str(self.port),
             "-c", "listen_addresses=127.0.0.1"],
            stdout=log, stderr=log, user=self.user, cwd=self.folder)
        deadline = time.monotonic() + 30
        while subprocess.run([os.path.join(self.programs, "pg_isready"), "-q", *self.where()]).returncode != 0:
            if time.monotonic() > deadline or self.server.poll() is not None:
                with open(log.name) as text:
                    sys.exit("PostgreSQL did not start:\n" + text.read())
            time.sleep(0.1)

    def where(self):
        return ["-h", self.folder, "-p", str(self.port), "-U", "bench"]

    def run(self, program, *arguments):
        done = subprocess.run([os.path.join(self.programs, program), *arguments], text=True, capture_output=True,
                              user=self.user, cwd=self.folder)
        if done.returncode != 0:
            sys.exit(f"{program} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def stop(self):
        self.server.terminate()
        self.server.wait(timeout=30)
        shutil.rmtree(self.folder)
