"""The door: a candidate becomes a recipient once, whatever its spelling."""

from collections.abc import Iterable, Iterator
from typing import assert_never

from sender.audience.layout import known_region
from sender.audience.rows import Candidate, Duplicate, Recipient, Rejected
from sender.domain.phone import InvalidNumber, PhoneNumber, canonical


def admit(
    audience: Iterable[Candidate | Rejected], *, region: str | None = None
) -> Iterator[Recipient | Duplicate | Rejected]:
    """Judge every row, in order, one result for each.

    Args:
        audience: An `Audience` or its rows.
        region: ISO 3166 code for candidates that do not name their own.

    Yields:
        `Recipient` for the first row of a number, `Duplicate` for each later one, `Rejected` with
        the reason otherwise. Memory: about 100 bytes for each recipient seen (1 million: 100 MB).

    Raises:
        InvalidAudience: No country has this region's code.
    """
    fallback = known_region(region)
    first_lines: dict[int, int] = {}
    for row in audience:
        match row:
            case Candidate():
                yield _judge(row, row.region or fallback, first_lines)
            case Rejected():
                yield row
            case _:
                assert_never(row)


def _judge(
    row: Candidate, region: str | None, first_lines: dict[int, int]
) -> Recipient | Duplicate | Rejected:
    match canonical(row.value, region=region):
        case InvalidNumber(reason=reason):
            return Rejected(line=row.line, value=row.value, reason=reason)
        case PhoneNumber() as number:
            first_line = first_lines.setdefault(number.digits, row.line)
            if first_line != row.line:
                return Duplicate(
                    line=row.line, value=row.value, number=number, first_line=first_line
                )
            return Recipient(line=row.line, value=row.value, number=number, fields=row.fields)
        case never:
            assert_never(never)
