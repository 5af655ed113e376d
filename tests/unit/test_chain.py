"""The digests: one spelling for one content, another digest for any other."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sender.domain.chain import GENESIS, evidence_digest, link_digest

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
#: A slow machine fails no rule.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ROW: dict[str, object] = {
    "id": 1,
    "recipient": 14155552671,
    "reason": None,
    "source": "inbound",
    "provider_at": NOON,
    "evidence_digest": b"\x01\x02",
}

#: Whatever a column may hold.
_VALUES = (
    st.none()
    | st.integers()
    | st.text(max_size=4)
    | st.binary(max_size=4)
    | st.datetimes(timezones=st.just(UTC))
)
_ROWS = st.lists(st.dictionaries(st.sampled_from("abc"), _VALUES, max_size=3), max_size=4)


def _plain(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Bytes are written in hex: a row that holds that text instead counts as the same."""
    return [{name: _spelt(value) for name, value in row.items()} for row in rows]


def _spelt(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value


def test_its_form_is_fixed() -> None:
    """What was sealed years ago must be computed the same way now: this form never changes."""
    row = (
        b'{"evidence_digest":"0102","id":1,"provider_at":"2025-06-01T12:00:00.000000+00:00",'
        b'"reason":null,"recipient":14155552671,"source":"inbound"}'
    )
    sealed = bytes(32) + len(row).to_bytes(8, "big") + row
    assert link_digest(GENESIS, [ROW]) == sha256(sealed).digest()
    words = '{"from":"Zoë","text":"STOP"}'.encode()
    assert evidence_digest(b"salt", {"text": "STOP", "from": "Zoë"}) == (
        sha256(b"salt" + words).digest()
    )


def test_the_clocks_zone_does_not_count() -> None:
    """A server that answers in another time zone has written the same row."""
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert link_digest(GENESIS, [ROW | {"provider_at": elsewhere}]) == link_digest(GENESIS, [ROW])


def test_the_order_of_columns_does_not_count() -> None:
    """A table whose columns were put into another order holds the same rows."""
    backwards = dict(reversed(ROW.items()))
    assert link_digest(GENESIS, [backwards]) == link_digest(GENESIS, [ROW])


@pytest.mark.parametrize(
    "changed",
    [
        ROW | {"provider_at": NOON + timedelta(microseconds=1)},
        ROW | {"recipient": "14155552671"},
        ROW | {"reason": ""},
        ROW | {"id": 11},
        {name: value for name, value in ROW.items() if name != "reason"},
    ],
)
def test_any_change_counts(changed: Mapping[str, object]) -> None:
    """A microsecond, a type, an empty text for nothing, a column less: each is another row."""
    assert link_digest(GENESIS, [changed]) != link_digest(GENESIS, [ROW])


@UNHURRIED
@given(_ROWS, _ROWS)
def test_other_rows_another_digest(
    one: list[dict[str, object]], other: list[dict[str, object]]
) -> None:
    """Two lists of rows have one digest only if they are the same rows in the same order."""
    same = link_digest(GENESIS, one) == link_digest(GENESIS, other)
    assert same == (_plain(one) == _plain(other))


@UNHURRIED
@given(_ROWS, st.integers(0, 4))
def test_where_a_link_ends_counts(rows: list[dict[str, object]], cut: int) -> None:
    """The same rows in two links and in one are not the same chain."""
    first = link_digest(GENESIS, rows[:cut])
    assert link_digest(first, rows[cut:]) != link_digest(GENESIS, rows)


def test_rows_are_read_once() -> None:
    """A link may seal a million rows: they may come from anywhere that can be read once."""
    assert link_digest(GENESIS, iter([ROW, ROW])) == link_digest(GENESIS, [ROW, ROW])


def test_the_salt_counts() -> None:
    """The same words have another digest with another salt: nobody can try out words."""
    words = {"text": "STOP"}
    assert evidence_digest(b"a" * 16, words) != evidence_digest(b"b" * 16, words)
