"""The data folder of an embedded PostgreSQL: made once, found again, safe to start.

PostgreSQL refuses to run as root. Started by root it therefore runs as `nobody`, who often cannot
reach the folder (a home or a temporary folder has mode 0700). Rather than open other people's
folders, its programs are started *inside* the data folder and know it as /proc/self/cwd.
"""

import os
import pwd
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from signal import Signals
from typing import Self

import psutil

from sender.errors import ProcessFailed, WaitedTooLong
from sender.local.child import Account, Child, Program
from sender.local.waiting import wait_until

ROLE = "sender"

_UNPRIVILEGED = "nobody"
_WORKING_FOLDER = "/proc/self/cwd"

# Seen: 0.4 s. The bound is for a machine that is busy with something else.
_CREATE_BOUND = timedelta(seconds=60)

# A server whose starter was killed shuts down by itself, in well under a second when idle.
_LEFTOVER_BOUND = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A data folder and the password of the one role in it."""

    folder: Path
    #: Whom the files belong to and the programs run as; `None` is ourselves.
    account: Account | None

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        """The cluster of this folder, which need not exist yet.

        Raises:
            ProcessFailed: we are root and the machine has no account `nobody`.
        """
        return cls(folder=folder.absolute(), account=_account(folder / "data"))

    @property
    def data(self) -> Path:
        """What PostgreSQL calls the data directory."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What `initdb` and the server print."""
        return self.folder / "postgres.log"

    @property
    def password(self) -> str:
        """The generated password of the role `sender`."""
        return self._password_file.read_text().strip()

    def create_if_missing(self, programs: Path) -> None:
        """Run `initdb` unless that was done before; one that was interrupted is done anew.

        UTF-8 with the collation C.UTF-8, which sorts alike on every machine.

        Raises:
            ProcessFailed: `initdb` failed; the message shows its output.
        """
        if self.data.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_password()
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._make_private(unfinished)
        self._run_initdb(programs, unfinished)
        unfinished.rename(self.data)

    def server(self, programs: Path, arguments: Sequence[str]) -> Program:
        """The program that serves this cluster."""
        return self._program(
            "PostgreSQL",
            [str(programs / "postgres"), "-D", self._name_of(self.data), *arguments],
            cwd=self.data,
        )

    def clear_leftovers(self) -> None:
        """Make the folder startable after its server or the starter of that was killed.

        A stale postmaster.pid stops a start when its number belongs to another process by now, so
        it is removed, but only when no process works in the folder: a backend that outlived its
        server would ruin the data.

        Raises:
            ProcessFailed: a server uses the folder and does not end by itself.
        """
        try:
            wait_until(lambda: not self._users(), _LEFTOVER_BOUND, "the folder to be free")
        except WaitedTooLong as exc:
            raise ProcessFailed(
                f"{self.data} is used by the processes {self._users()}. Stop what started them, "
                "or choose another folder."
            ) from exc
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def is_served_by(self, pid: int) -> bool:
        """Whether the server with that process id accepts connections (what `pg_ctl -w` asks)."""
        try:
            lines = (self.data / "postmaster.pid").read_text().split()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(pid)] and lines[-1] == "ready"

    @property
    def _password_file(self) -> Path:
        return self.folder / "password"

    def _users(self) -> list[int]:
        """The ids of all processes that work in the data folder: PostgreSQL's always do."""
        data = str(self.data.resolve())
        return [p.pid for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == data]

    def _run_initdb(self, programs: Path, data: Path) -> None:
        initdb = Child.start(
            self._program(
                "initdb",
                [str(programs / "initdb"), "-D", self._name_of(data), *_INITDB_ARGUMENTS],
                cwd=data,
                stdin=self._password_file,
            )
        )
        try:
            finished = initdb.wait(_CREATE_BOUND)
        finally:
            initdb.kill()
        if not finished or initdb.exit_code != 0:
            raise initdb.failure(f"failed with exit code {initdb.exit_code}")

    def _program(
        self, name: str, argv: Sequence[str], *, cwd: Path, stdin: Path | None = None
    ) -> Program:
        return Program(
            name=name,
            argv=argv,
            log=self.log,
            # Nothing of ours: PGPORT, PGTZ, LC_ALL and others would change the server.
            env={"LC_ALL": "C"},
            cwd=cwd,
            stdin=stdin,
            account=self.account,
            # To PostgreSQL a SIGINT is a fast shutdown: it disconnects everybody and ends cleanly.
            stop_signal=Signals.SIGINT,
            orphan_signal=Signals.SIGINT,
        )

    def _name_of(self, data: Path) -> str:
        return _WORKING_FOLDER if self.account else str(data)

    def _write_password(self) -> None:
        self._password_file.unlink(missing_ok=True)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24))
        self._give(self._password_file)

    def _make_private(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self._give(folder)

    def _give(self, path: Path) -> None:
        if self.account:
            os.chown(path, self.account.uid, self.account.gid)


# Durability of `initdb` itself is left on: it costs 0.1 s.
_INITDB_ARGUMENTS = (
    f"--username={ROLE}",
    "--auth=scram-sha-256",
    "--pwfile=/dev/stdin",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)


def _account(data: Path) -> Account | None:
    if os.geteuid() != 0:
        return None
    if data.exists():
        status = data.stat()
        return Account(uid=status.st_uid, gid=status.st_gid)
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise ProcessFailed(
            "PostgreSQL does not run as root, and this machine has no account "
            f"{_UNPRIVILEGED!r} to run it as. Start as an ordinary user."
        ) from None
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)
