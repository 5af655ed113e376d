"""Emptying what was kept of people's words; what must stay to keep them suppressed stays."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import TextClause, text

from sender.storage.database import Transaction

#: Rows looked at in one transaction, by age: short ones, however much of the table is empty.
AT_A_TIME = 5_000


#: What a table's rows are found by.
Key = int | str | UUID


@dataclass(frozen=True)
class Keeping:
    """A table that holds people's words or data, and how one key of it is emptied."""

    #: Empties a person's rows.
    of_person: TextClause
    #: Empties what is old enough in a page of the table.
    of_page: TextClause
    #: Where a page ends that begins after a key.
    page_end: TextClause
    #: What every key lies above.
    before_all: Key


def _keeping(
    empty: str, *, table: str, key: str, recipient: str, dated: str, before_all: Key
) -> Keeping:
    # All of them constants of this file.
    page = f"x.{key} > :after AND x.{key} <= :upto"
    old = f"{dated} < now() - CAST(:age AS interval)"
    following = f"SELECT {key} FROM {table} WHERE {key} > :after ORDER BY {key} LIMIT :limit"  # noqa: S608
    return Keeping(
        of_person=text(f"{empty} AND {recipient} = :recipient"),
        of_page=text(f"{empty} AND {page} AND {old}"),
        page_end=text(f"SELECT {key} FROM ({following}) AS p ORDER BY {key} DESC LIMIT 1"),  # noqa: S608
        before_all=before_all,
    )


#: Beside the consent log. Words that nobody has read yet are still needed to decide on them.
EVIDENCE = _keeping(
    """
    UPDATE consent_evidence x
    SET content = NULL, salt = NULL, erased_at = clock_timestamp(), erased_by = :author
    FROM consent_event e
    WHERE e.id = x.event_id AND x.content IS NOT NULL AND e.tenant_id = :tenant_id
      AND NOT EXISTS (
        SELECT FROM suppression s
        WHERE s.tenant_id = e.tenant_id AND s.recipient = e.recipient
          AND s.scope = e.scope AND s.reason = 'review' AND e.reason = 'review')
    """,
    table="consent_evidence",
    key="event_id",
    recipient="e.recipient",
    dated="e.received_at",
    before_all=0,
)
#: What people texted to us.
INBOUND = _keeping(
    """
    UPDATE inbound x SET body = '', raw = '{}', reply = '', erased_at = clock_timestamp()
    WHERE x.erased_at IS NULL AND x.tenant_id = :tenant_id
    """,
    table="inbound",
    key="sid",
    recipient="x.recipient",
    dated="x.received_at",
    before_all="",
)
#: The audience's columns, for the bodies of our messages; by age from the campaign's end.
FIELDS = _keeping(
    """
    UPDATE message x SET fields = NULL FROM campaign c
    WHERE c.id = x.campaign_id AND x.fields IS NOT NULL AND c.tenant_id = :tenant_id
      AND x.state = ANY (CAST(:over AS text[]))
    """,
    table="message",
    key="id",
    recipient="x.recipient",
    dated="coalesce(c.completed_at, c.deadline_at)",
    before_all=UUID(int=0),
)


@dataclass(frozen=True, kw_only=True)
class Order:
    """Who has what erased."""

    tenant_id: int
    author: str
    #: The states of messages whose fields nobody needs any more.
    over: Sequence[str]


def erase_person(tx: Transaction, keeping: Keeping, order: Order, *, recipient: int) -> int:
    """Empty a person's rows; how many."""
    return tx.execute(keeping.of_person, {**vars(order), "recipient": recipient}).rowcount


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a transaction may touch when it erases by age."""

    #: Only what is older.
    age: timedelta
    #: How many rows it looks at.
    rows: int = AT_A_TIME


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of a table's rows, one after the other."""

    #: Its last key: where the next one begins.
    upto: Key
    #: How many of them were emptied.
    emptied: int


def erase_page(
    tx: Transaction, keeping: Keeping, order: Order, bounds: Bounds, *, after: Key
) -> Page | None:
    """Empty what is old enough in the page after a key; ``None`` past the last one."""
    start = {"after": after, "limit": bounds.rows}
    upto = tx.execute(keeping.page_end, start).scalar_one_or_none()
    if upto is None:
        return None
    values = {**vars(order), "age": bounds.age, "after": after, "upto": upto}
    return Page(upto=upto, emptied=tx.execute(keeping.of_page, values).rowcount)
