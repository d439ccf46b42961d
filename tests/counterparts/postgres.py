"""A real PostgreSQL cluster of our own: a new one in a temporary folder, with a password, on a free loopback port."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import psycopg

# Nothing here outlives the test run, so nothing is forced to disk.
SETTINGS: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_connections": "60",
    "autovacuum": "off",
    "listen_addresses": "127.0.0.1",
}
NAMES: Final = count(1)
NewDatabase = Callable[[], AbstractContextManager[str]]


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running cluster; its superuser is `earshot`."""

    port: int
    password: str

    def url(self, database: str) -> str:
        """For SQLAlchemy; psycopg takes it without `+psycopg`."""
        return f"postgresql+psycopg://earshot:{self.password}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new, empty database that is dropped afterwards, whoever is still connected."""
        name = f"test_{next(NAMES)}"
        self._run(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        with self.connected() as connection:
            connection.execute(statement.encode())

    def connected(self) -> "psycopg.Connection[tuple[object, ...]]":
        url = self.url("postgres").replace("+psycopg", "")
        return psycopg.connect(url, autocommit=True, connect_timeout=5)


def binaries() -> Path | None:
    """The folder of initdb and postgres: Debian's newest, else the first on PATH."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found = str(packaged[-1]) if packaged else shutil.which("initdb")
    return Path(found).parent if found else None


def missing() -> str | None:
    """Why PostgreSQL cannot run here, or None."""
    if binaries() is None:
        return "PostgreSQL's server (initdb) is not installed"
    if shutil.which("setpriv") is None:
        return "setpriv (util-linux) is not installed"
    return None


@contextmanager
def running() -> Iterator[Postgres]:
    """Starts a cluster. It stops with the `with`, and also when this process dies."""
    with _serving(SETTINGS) as server:
        yield server.cluster


def _make(folder: Path, password: str) -> None:
    secret = folder / "password"
    secret.write_text(password)
    if os.geteuid() == 0:  # the server refuses to run as root
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        os.chown(secret, account.pw_uid, account.pw_gid)
    options = ["--no-sync", "--username=earshot", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    command = _command("initdb", f"--pgdata={folder / 'data'}", f"--pwfile={secret}", *options)
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)


@dataclass
class Server:
    """A cluster's server, which can crash and be started again in the same place. What is committed is kept."""

    folder: Path
    cluster: Postgres
    settings: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        named = {**self.settings, "port": str(self.cluster.port), "unix_socket_directories": str(self.folder)}
        options = [part for name, value in named.items() for part in ("-c", f"{name}={value}")]
        command = _command("postgres", "-D", str(self.folder / "data"), *options)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        _await(self.cluster, self.process, self.folder / "log")

    def crash(self) -> None:
        """Every session dies where it is ("immediate")."""
        self.stop(signal.SIGQUIT)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the sessions, then the server ("fast")."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)


@contextmanager
def crashing() -> Iterator[Server]:
    """A cluster of one's own, to be crashed: what was committed is written before anybody hears that it was."""
    with _serving({**SETTINGS, "synchronous_commit": "on"}) as server:
        yield server


@contextmanager
def _serving(settings: Mapping[str, str]) -> Iterator[Server]:
    """A new cluster in a folder that goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="earshot-postgres-"))
    try:
        password = secrets.token_urlsafe(18)
        _make(folder, password)
        server = Server(folder, Postgres(_free_port(), password), settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _command(program: str, *arguments: str) -> list[str]:
    """As user postgres when we are root; interrupted by the kernel when we die."""
    folder = binaries()
    if folder is None:
        raise RuntimeError(missing())
    who = ["--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *who, "--pdeathsig=INT", str(folder / program), *arguments]


def _await(cluster: Postgres, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        try:
            cluster.connected().close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(log.read_text())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
