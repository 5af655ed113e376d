"""The high-water mark on disk: what is left of it when Redis is emptied."""

import asyncio
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import UUID

from sender.domain.high_water import Mark
from sender.errors import ConfigurationError, MarkUnavailable, MarkUnreadable


@dataclass(frozen=True, kw_only=True)
class MarkFile:
    """Keeps one file for each database, in a folder that processes may share.

    A file is replaced as a whole, after it is safely on disk: a crash leaves the old or the new.
    """

    folder: Path

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        """The files in this folder, which is made where it is missing.

        Raises:
            ConfigurationError: nothing can be written there.
        """
        made = cls(folder=folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with made._locked():
                made._replace(folder / "high-water.probe", "")
        except OSError as exc:
            raise ConfigurationError(
                f"SENDER_STATE_DIR: {folder} cannot be written to ({exc.strerror})"
            ) from exc
        return made

    async def read(self, identity: UUID) -> Mark | None:
        """The mark kept of this database; ``None`` if there is none.

        Raises:
            MarkUnavailable: the disk does not answer.
            MarkUnreadable: what is kept is no mark.
        """
        return await asyncio.to_thread(self._read, identity)

    async def knows_another(self, identity: UUID) -> bool:
        """Whether a mark of another database is kept.

        Raises:
            MarkUnavailable: the disk does not answer.
        """
        return await asyncio.to_thread(self._knows_another, identity)

    async def raise_to(self, mark: Mark) -> Mark:
        """Keep this mark unless a higher one is kept; the one that is kept now.

        What is kept and makes no sense is replaced: whoever raises has compared before.

        Raises:
            MarkUnavailable: the disk did not take it.
        """
        return await asyncio.to_thread(self._raise_to, mark)

    def _read(self, identity: UUID) -> Mark | None:
        path = self._path(identity)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise MarkUnavailable(f"{path} cannot be read ({exc.strerror})") from exc
        try:
            return _parsed(content, identity)
        except (ValueError, TypeError, KeyError) as exc:
            raise MarkUnreadable(f"{path} is no mark") from exc

    def _knows_another(self, identity: UUID) -> bool:
        own = self._path(identity)
        try:
            return any(path != own for path in self.folder.glob("high-water-*.json"))
        except OSError as exc:
            raise MarkUnavailable(f"{self.folder} cannot be read ({exc.strerror})") from exc

    def _raise_to(self, mark: Mark) -> Mark:
        path = self._path(mark.identity)
        content = {**vars(mark), "identity": str(mark.identity)}
        try:
            with self._locked():
                kept = self._read_or_none(mark.identity)
                if kept is not None and kept.height >= mark.height:
                    return kept
                self._replace(path, json.dumps(content) + "\n")
        except OSError as exc:
            raise MarkUnavailable(f"{path} cannot be written ({exc.strerror})") from exc
        return mark

    def _read_or_none(self, identity: UUID) -> Mark | None:
        try:
            return self._read(identity)
        except MarkUnreadable:
            return None

    def _path(self, identity: UUID) -> Path:
        return self.folder / f"high-water-{identity}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, of all processes that share the folder."""
        with (self.folder / "high-water.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the file
            yield

    def _replace(self, path: Path, content: str) -> None:
        new = path.with_suffix(".new")
        with new.open("w") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _parsed(content: bytes, identity: UUID) -> Mark:
    kept = json.loads(content)
    if kept["identity"] != str(identity):
        raise ValueError("another database's")
    timeline = kept["timeline"] and int(kept["timeline"])
    return Mark(identity=identity, era=int(kept["era"]), seq=int(kept["seq"]), timeline=timeline)
