"""An audience from the user's own database."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.sql import Executable

from sender.audience import Audience, from_iterable

#: Rows fetched at a time.
_CHUNK = 10_000


@dataclass(frozen=True)
class _Rows:
    """A query's rows, streamed; every iteration runs it again."""

    statement: Executable
    engine: Engine

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        with self.engine.connect() as connection:
            streamed = connection.execution_options(yield_per=_CHUNK)
            # Closed by hand: a reader may stop after the first row, to see the columns.
            with streamed.execute(self.statement) as found:
                for row in found.mappings():
                    yield {str(name): value for name, value in row.items()}


def from_select(
    statement: Executable,
    engine: Engine,
    *,
    recipient: str | None = None,
    region: str | None = None,
    region_column: str | None = None,
) -> Audience:
    """An audience from a SQLAlchemy ``select``; a line is a row's ordinal, from 1.

    Args:
        statement: its column names become the fields a body may use.
        engine: the database to ask; not necessarily the sender's own.
        recipient: the column with the number; found by its usual names if not given.
        region: ISO 3166 code for numbers without a calling code.
        region_column: a column with each row's country, as ISO code or name.

    Raises:
        InvalidAudience: no column looks like a number, or the region is unknown.
    """
    return from_iterable(
        _Rows(statement, engine), recipient=recipient, region=region, region_column=region_column
    )
