"""An audience from Python: numbers, or mappings such as the rows of a query."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache, partial
from itertools import chain, islice

from sender.audience.layout import Layout, known_region
from sender.audience.rows import Audience, Candidate, Rejected
from sender.domain.phone import InvalidReason
from sender.errors import InvalidAudience


def from_iterable(
    items: Iterable[str | Mapping[str, object]],
    *,
    recipient: str | None = None,
    region: str | None = None,
    region_column: str | None = None,
) -> Audience:
    """Read an audience from numbers or mappings; a line is an item's ordinal, from 1.

    Args:
        items: Numbers as text, or mappings with a number among their values (``None`` is empty).
            A generator can be read once; a list as often as needed. Field names come from the
            first item.
        recipient: The key of the number; found by its usual names if not given.
        region: ISO 3166 code for numbers without a calling code.
        region_column: The key of a value that names each row's country.

    Raises:
        InvalidAudience: No key of the first item looks like a number, or the region is unknown.
        TypeError: An item is something else, or `items` is a single text.
    """
    if isinstance(items, str):
        raise TypeError("items is one text; give a list of numbers")
    layout_of = lru_cache(maxsize=64)(
        partial(
            Layout.from_header,
            recipient=recipient,
            region=known_region(region),
            region_column=region_column,
        )
    )

    def row(line: int, item: str | Mapping[str, object]) -> Candidate | Rejected:
        if isinstance(item, str):
            return Candidate(line=line, value=item, fields={}, region=region)
        _require_mapping(item)
        try:
            layout = layout_of(tuple(item))
        except InvalidAudience:  # the first item had a number; this one has other keys
            return Rejected(line=line, value="", reason=InvalidReason.EMPTY)
        return layout.read(line, [_text(value) for value in item.values()])

    again = _Readings(items)
    first = again.first()
    fields = layout_of(tuple(first)).names if isinstance(first, Mapping) else ()
    return Audience(
        fields=fields, rows=lambda: (row(line, item) for line, item in enumerate(again.read(), 1))
    )


def _text(value: object) -> str:
    return "" if value is None else str(value).replace("\0", "")


def _require_mapping(item: object) -> None:
    if not isinstance(item, Mapping):
        raise TypeError(f"an item is a number as text or a mapping, not {type(item).__name__}")


class _Readings:
    """Readings of an iterable: as many as it can give, and a look at its first item."""

    def __init__(self, items: Iterable[str | Mapping[str, object]]) -> None:
        self._items = items
        self._once = isinstance(items, Iterator)
        self._spent = False

    def first(self) -> str | Mapping[str, object] | None:
        """The first item, which the next reading still contains; ``None`` if there is none."""
        iterator = iter(self._items)
        taken = list(islice(iterator, 1))
        if self._once:
            self._items = chain(taken, iterator)
        return taken[0] if taken else None

    def read(self) -> Iterator[str | Mapping[str, object]]:
        if self._spent:
            raise InvalidAudience("this audience comes from a generator and has been read already")
        self._spent = self._once
        return iter(self._items)
