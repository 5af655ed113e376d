"""The two servers a local stack needs, started and stopped together."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from sender.local.postgres import LocalPostgres, StopMode
from sender.local.redis import LocalRedis

__all__ = ["LocalPostgres", "LocalRedis", "LocalServers", "StopMode"]


@dataclass(frozen=True, kw_only=True)
class LocalServers:
    """A running PostgreSQL and Redis; a context manager that stops both.

    Real processes of our own on free ports of 127.0.0.1; several stacks may run side by side, each
    in its own folder.
    """

    postgres: LocalPostgres
    redis: LocalRedis

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Start both with their files below `folder`; about 1 s the first time.

        Raises:
            LocalServersMissing: the extra `local` is not installed.
            ProcessFailed: one did not start; the message shows its log.
        """
        with ExitStack() as started:
            redis = started.enter_context(LocalRedis.start(folder / "redis"))
            postgres = started.enter_context(LocalPostgres.start(folder / "postgres"))
            started.pop_all()
        return cls(postgres=postgres, redis=redis)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End both; harmless when they are stopped."""
        try:
            self.postgres.stop()
        finally:
            self.redis.stop()
