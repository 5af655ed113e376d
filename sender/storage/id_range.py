"""The range that some messages' ids lie in: what spares Postgres the other months.

Whoever looks messages up by their ids in a join, or by their recipient, leaves the planner with
every month there is, and each costs planning and opening although no row of it is asked for. The
range says the same once more, as values: Postgres plans for the months in it and never hears of
the others.
"""

from collections.abc import Collection, Iterable
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from sender.storage.database import Transaction

#: SQL that is true of every row ``m`` that is asked for; to be said of each mention of messages.
WITHIN = "m.id BETWEEN CAST(:lowest AS uuid) AND CAST(:highest AS uuid)"

#: The same where rows are looked up by the ids ``:ids``: without the ids the range, which may be
#: wide, would be what Postgres reads.
ASKED = f"m.id = ANY (CAST(:ids AS uuid[])) AND {WITHIN}"

#: Where in ``:ids`` the row is that was looked up by them, and the last place if it is there more
#: than once; what else is said of it is in the same place of other arrays. It is found by halving,
#: and so only in an array in order, which `of` sees to. No join with ``unnest``: Postgres takes any
#: array for ten values, and may read it anew for each row.
PLACE = "width_bucket(m.id, CAST(:ids AS uuid[]))"

#: To be put after ``message m``, where that can be: ``asked.place`` is the same. ``OFFSET 0`` has
#: it looked for once.
PLACED = f"CROSS JOIN LATERAL (SELECT {PLACE} AS place OFFSET 0) AS asked"

#: Values for it. ``None``: a range in which nothing lies.
Range = dict[str, UUID | None]

#: A row of an ended campaign is still ``sending`` for a lease at most, and in doubt from then on.
AFTER_THE_END = timedelta(hours=1)

_STARTED = "completed_at IS NULL AND state NOT IN ('DRAFT', 'SCHEDULED')"
#: An id begins with its campaign's creation, give or take a millisecond.
_OPEN = text(f"""
    SELECT message_floor(min(created_at) - interval '1 second') AS lowest,
           message_floor(max(created_at) + interval '1 second') AS highest
    FROM (
        (SELECT created_at FROM campaign WHERE {_STARTED} ORDER BY created_at LIMIT 1)
        UNION ALL
        (SELECT created_at FROM campaign WHERE {_STARTED} ORDER BY created_at DESC LIMIT 1)
        UNION ALL
        SELECT created_at FROM campaign WHERE completed_at > now() - CAST(:ended AS interval)
    ) AS open
""")  # noqa: S608  # built from a constant


def of(ids: Collection[UUID]) -> dict[str, str | None]:
    """Values for ``ids``, which are in ascending order, and the range that they lie in.

    The ids are one text, which Postgres reads as an array: the driver takes longer to write down an
    array of values than everything else that it does for a window.

    Raises:
        ValueError: they are not: what is said of one would be taken for another's.
    """
    digits = [one.hex for one in ids]
    if digits != sorted(digits):
        raise ValueError("message ids must be in ascending order")
    return {
        "ids": array(digits),
        "lowest": digits[0] if digits else None,
        "highest": digits[-1] if digits else None,
    }


def array(values: Iterable[object]) -> str:
    """An array of numbers or ids, or nulls, as Postgres reads it (its documentation, 8.15.6)."""
    return "{" + ",".join(["NULL" if one is None else str(one) for one in values]) + "}"


def texts(values: Iterable[str | None]) -> str:
    """An array of any texts, likewise."""
    return array(None if one is None else _quoted(one) for one in values)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def of_open(tx: Transaction, *, ended: timedelta = timedelta()) -> Range:
    """The range of all campaigns that have started and not ended, or not ``ended`` for that long.

    Whatever is pending and may be sent, or is being sent, lies in it; so does what came in doubt
    within ``ended``. A campaign that starts right after this look is missed: whoever needs to
    know of its messages has to have committed before the look what its guards then see.
    """
    found = tx.execute(_OPEN, {"ended": ended + AFTER_THE_END}).one()
    return {"lowest": found.lowest, "highest": found.highest}
