"""Deletes messages that are old enough, by whole months; what must be known for ever stays."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from sender.config import SHORTEST_KEPT
from sender.errors import ErasureRefused
from sender.storage import retention
from sender.storage.database import Database, Transaction
from sender.storage.retention import Month

log = structlog.get_logger(__name__)

#: Who deletes because of the setting.
BY_SETTING = "SENDER_KEEP_MESSAGES_DAYS"


@dataclass(frozen=True, kw_only=True)
class Deleted:
    """What a run deleted."""

    months: int
    messages: int
    receipts: int
    alarms: int


@dataclass(frozen=True, kw_only=True)
class Retention:
    """The operator's: of all tenants. Broken off, it goes on when run again."""

    db: Database
    #: How long messages are kept; zero: for ever.
    kept: timedelta

    @property
    def deletes(self) -> bool:
        """Whether anything is deleted unless a person says so."""
        return bool(self.kept)

    def months(self, age: timedelta | None = None) -> list[Month]:
        """Each month of messages, the oldest first: whether it would go, or what keeps it.

        Args:
            age: how long messages are kept; default: as the settings say.

        Raises:
            ErasureRefused: there is no such age, or it is too short.
        """
        wanted = self._age(age)
        return self.db.run(lambda tx: list(retention.months(tx, age=wanted)))

    def run(self, age: timedelta | None = None, *, author: str = BY_SETTING) -> Deleted:
        """Delete each month that ended longer ago, and in which nothing is open or in doubt.

        Raises:
            ErasureRefused: nobody is named who does it, or there is no such age, or it is too
                short.
        """
        if not author.strip():
            raise ErasureRefused("deleting messages needs an author")
        wanted = self._age(age)
        old = [month for month in self.months(wanted) if month.may_go]
        gone = [self.db.run(retention.delete, one, age=wanted, author=author) for one in old]
        messages = [rows for rows in gone if rows is not None]
        done = Deleted(
            months=len(messages),
            messages=sum(messages),
            receipts=self._in_rounds(retention.delete_receipts),
            alarms=self._in_rounds(lambda tx: retention.delete_alarms(tx, age=wanted)),
        )
        if any(vars(done).values()):
            log.info("messages_deleted", author=author, **vars(done))
        return done

    def _age(self, age: timedelta | None) -> timedelta:
        wanted = self.kept if age is None else age
        if not wanted:
            raise ErasureRefused(f"say how long messages are kept: --days, or {BY_SETTING}")
        if wanted < SHORTEST_KEPT:
            raise ErasureRefused(f"messages are kept for {SHORTEST_KEPT.days} days at least")
        return wanted

    def _in_rounds(self, delete: Callable[[Transaction], int]) -> int:
        rows = 0
        while done := self.db.run(delete):
            rows += done
        return rows
