"""The chain over the consent log: sealed after the fact, never inside a STOP's transaction."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import structlog

from sender.domain.chain import GENESIS, link_digest
from sender.storage import seals
from sender.storage.database import Database, Transaction

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Sealer:
    """Adds links to the chain. Any number may try; one at a time does."""

    db: Database

    def seal(self) -> int:
        """Seal what has been committed since the last link; how many events and times.

        Every link is logged with its digest: a log that is kept elsewhere is the witness that
        the end of the chain was not cut off.
        """
        return self.db.run(_seal)


def _seal(tx: Transaction) -> int:
    if not seals.take_turn(tx):
        return 0
    latest = seals.head(tx)
    stretch = seals.to_seal(tx, latest)
    if stretch.from_xid >= stretch.upto_xid:
        return 0
    counted = _Counted(seals.rows(tx, stretch))
    digest = link_digest(latest.digest if latest else GENESIS, counted)
    if not counted.events + counted.times:
        return 0
    if latest is not None and stretch.upto_xid < latest.upto_xid:
        log.warning("transaction_ids_restarted", link=latest.id, upto_xid=stretch.upto_xid)
    number = latest.id + 1 if latest else 1
    values = {"id": number, "events": counted.events, "times": counted.times, "digest": digest}
    if not seals.append(tx, {**vars(stretch), **values}):
        return 0
    figures = {"events": counted.events, "times": counted.times}
    log.info("consent_sealed", link=number, digest=digest.hex(), **figures)
    return counted.events + counted.times


@dataclass
class _Counted:
    """Rows on their way into a digest, counted."""

    rows: Iterator[Mapping[str, object]]
    events: int = 0
    times: int = 0

    def __iter__(self) -> Iterator[Mapping[str, object]]:
        for row in self.rows:
            if "recipient" in row:
                self.events += 1
            else:
                self.times += 1
            yield row
