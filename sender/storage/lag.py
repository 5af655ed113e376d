"""How much waits to be worked off, and for how long: each figure is a look into a partial index."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import text

from sender.storage.database import Transaction


class Line(StrEnum):
    """What waits."""

    #: Opt-outs that are stored and not enforced: the consumer finishes what webhooks could not.
    ENFORCEMENT = "enforcement"
    #: STOPs and STARTs whose provider time is unknown; a START does not lift before.
    PROVIDER_TIME = "provider_time"
    #: Texts that their tenant has not taken yet.
    FORWARD = "forward"


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """One line: how many wait, and how long the first of them has."""

    what: Line
    count: float
    seconds: float


#: Nobody needs to know it more exactly, and a scrape shall cost little after a large import.
COUNTED = 10_000

#: A keyword that was asked for 35 times in vain has no record any more: it does not wait.
_WAITING = text("""
    WITH line (what, at) AS (
        (SELECT 'enforcement', o.received_at
         FROM enforcement e JOIN consent_event o ON o.id = e.event_id
         WHERE e.enforced_at IS NULL ORDER BY e.event_id LIMIT :counted)
        UNION ALL
        (SELECT 'provider_time', received_at FROM inbound
         WHERE provider_at IS NULL AND keyword IN ('STOP', 'START', 'FREE_TEXT', 'REVIEW')
           AND recipient IS NOT NULL AND lookups < 35
         ORDER BY received_at LIMIT :counted)
        UNION ALL
        (SELECT 'forward', created_at FROM forward WHERE next_try IS NOT NULL LIMIT :counted)
    )
    SELECT what, count(*) AS waiting, extract(epoch FROM clock_timestamp() - min(at)) AS seconds
    FROM line GROUP BY what
""")


def waiting(tx: Transaction) -> list[Waiting]:
    """Every line, counted up to ``COUNTED``."""
    rows = {row.what: row for row in tx.execute(_WAITING, {"counted": COUNTED})}
    return [
        Waiting(what=what, count=float(row.waiting), seconds=float(row.seconds))
        if (row := rows.get(what))
        else Waiting(what=what, count=0, seconds=0)
        for what in Line
    ]
