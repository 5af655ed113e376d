"""The tables that months of messages lie in, as far as a process has met them.

Over a partitioned table Postgres plans a statement anew each time, to leave out the months that its
values exclude, and that takes as long as the statement. One that names the table of its month keeps
its plan. A month whose table is not known here, or is none of its own yet, costs that time and is
right all the same.
"""

import re
from functools import lru_cache

from sqlalchemy import TextClause, text

from sender.storage.database import Transaction

#: The partitioned table, which holds every month.
ALL = "message"
#: What is written into statements: never the default partition, which may become a month's own.
_OF_A_MONTH = re.compile(r"message_(?:[a-z]+_)?\d{4}_\d{2}")

_MONTH = text("""
    SELECT name, first_id, end_id FROM message_partition
    WHERE NOT is_default AND end_id > CAST(:id AS uuid)
      AND (first_id IS NULL OR first_id <= CAST(:id AS uuid))
""")

#: Fewer rows than these are read in no time, whatever plan is made for them.
_MANY = 1_000
_GROWN = text("""
    SELECT p.name FROM message_partition p
    JOIN pg_class c ON c.oid = CAST(quote_ident(p.name) AS regclass)
    WHERE NOT p.is_default AND p.end_id > CAST(:id AS uuid)
      AND (p.first_id IS NULL OR p.first_id <= CAST(:id AS uuid)) AND c.reltuples < :added
""")


def note_growth(tx: Transaction, message_id: str, added: int) -> None:
    """Have Postgres look at a month of which rows just added are the greater part.

    Autovacuum looks within a minute. Until then plans are made for a table of which nothing is
    known, and a STOP could read all its messages to find its person's.

    Args:
        tx: the transaction that adds them; others' looks at the same table are not waited for.
        message_id: one of them, as 32 hexadecimal digits.
        added: how many there are.
    """
    if added < _MANY:
        return
    name = tx.execute(_GROWN, {"id": message_id, "added": added}).scalar_one_or_none()
    if name is not None and _OF_A_MONTH.fullmatch(name):
        tx.exec_driver_sql(f"ANALYZE (SKIP_LOCKED) {name}")


class MonthTables:
    """Month by month; shared by all of a process's threads."""

    def __init__(self) -> None:
        #: (first id, end id, table); ids as 32 hexadecimal digits.
        self._met: tuple[tuple[str, str, str], ...] = ()

    def table(self, lowest: str | None, highest: str | None) -> str:
        """Where all messages of a range of ids lie.

        Args:
            lowest: the first of them, as 32 hexadecimal digits; ``None``: there are none.
            highest: the last of them, likewise.
        """
        for first, end, table in self._met:
            if lowest is not None and highest is not None and first <= lowest and highest < end:
                return table
        return ALL

    def meet(self, tx: Transaction, message_id: str) -> None:
        """Look for the table of the month that an id is of, unless it is known."""
        if self.table(message_id, message_id) != ALL:
            return
        month = tx.execute(_MONTH, {"id": message_id}).one_or_none()
        if month is not None and _OF_A_MONTH.fullmatch(month.name):
            first = "0" * 32 if month.first_id is None else month.first_id.hex
            self._met = (*self._met, (first, month.end_id.hex, month.name))


@lru_cache(maxsize=256)
def on(table: str, statement: str) -> TextClause:
    """A statement on ``message m``, on the table of its month."""
    return text(statement.replace(" message m", f" {table} m"))
