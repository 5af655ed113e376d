"""Whether a campaign is scrubbed, how far back, and which block is news."""

from datetime import UTC, datetime, timedelta

import pytest

from sender.domain.consent import ConsentEvent, Direction, ReasonClass
from sender.domain.scrub import (
    FIRST_LOOK,
    LONGEST_RETRY,
    LONGEST_UNDECIDED,
    NOT_WANTED,
    SAME_BLOCK,
    SWITCHED_OFF,
    TRANSACTIONAL,
    Found,
    ScrubSource,
    blocks_since,
    blocks_upto,
    is_told,
    retry_after,
    together,
    why_skipped,
)

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("is_on", "transactional", "wanted", "why"),
    [
        (True, False, None, ""),
        (True, True, None, TRANSACTIONAL),
        (False, False, None, SWITCHED_OFF),
        (False, True, None, SWITCHED_OFF),
        (True, False, False, NOT_WANTED),
        (True, True, True, ""),
        (False, False, True, ""),
    ],
)
def test_what_is_said_for_a_campaign_decides(
    *, is_on: bool, transactional: bool, wanted: bool | None, why: str
) -> None:
    """Else the setting does, and a transactional campaign does not wait."""
    assert why_skipped(is_on=is_on, transactional=transactional, wanted=wanted) == why


@pytest.mark.parametrize(
    ("mark", "since"),
    [
        (None, NOW - FIRST_LOOK),
        (NOW - timedelta(hours=3), NOW - timedelta(hours=4)),
        (NOW - timedelta(days=90), NOW - FIRST_LOOK),
    ],
)
def test_blocks_are_read_from_the_mark(mark: datetime | None, since: datetime) -> None:
    """With an overlap, and never further back than the first time."""
    assert blocks_since(mark, at=NOW, overlap=timedelta(hours=1)) == since


@pytest.mark.parametrize(
    ("undecided", "upto"),
    [
        (None, NOW),
        (NOW - timedelta(hours=2), NOW - timedelta(hours=2)),
        (NOW - timedelta(hours=11), NOW - LONGEST_UNDECIDED),
        (NOW + timedelta(seconds=1), NOW),
    ],
)
def test_a_mark_waits_for_what_is_undecided(undecided: datetime | None, upto: datetime) -> None:
    """What Twilio has not passed on may fail later; for longer than it keeps it nothing waits."""
    assert blocks_upto(undecided, at=NOW) == upto


def test_what_readings_found_is_added_up() -> None:
    """Every source is counted, what could not be seen is said once."""
    one = Found(drift={ScrubSource.INBOUND: 2}, unseen=("alerts",))
    two = Found(drift={ScrubSource.INBOUND: 1, ScrubSource.ALERTS: 1}, unseen=("alerts", "texts"))
    found = together([one, two])
    assert found.drift == {"inbound": 3, "failures": 0, "alerts": 1}
    assert found.unseen == ("alerts", "texts")


def test_each_retry_is_later() -> None:
    """Up to a bound, however long Twilio is away."""
    rests = [retry_after(tries) for tries in (0, 1, 2, 3, 4, 5, 1_000_000)]
    assert rests == sorted(rests)
    assert rests[0] == timedelta(seconds=1)
    assert rests[-1] == LONGEST_RETRY


def block(**facts: object) -> ConsentEvent:
    """A provider block that is known."""
    plain: dict[str, object] = {
        "id": 1,
        "tenant_id": 1,
        "recipient": 14155552001,
        "scope": 0,
        "direction": Direction.OPT_OUT,
        "reason": ReasonClass.PROVIDER_BLOCK,
        "source": "create",
        "source_id": "one",
        "provider_at": NOW,
        "received_at": NOW,
    }
    return ConsentEvent(**plain | facts)  # type: ignore[arg-type]  # as the fields say


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({}, True),
        ({"provider_at": NOW + timedelta(days=1)}, True),
        ({"provider_at": NOW - SAME_BLOCK}, True),
        ({"provider_at": None}, True),
        ({"provider_at": NOW - timedelta(minutes=1)}, False),
        ({"scope": 7}, False),
        ({"reason": ReasonClass.STOP}, False),
        ({"direction": Direction.OPT_IN}, False),
    ],
)
def test_a_block_is_news_unless_one_as_late_is_known(
    known: dict[str, object], *, told: bool
) -> None:
    """In the same scope and class, of which the latest decides."""
    assert is_told([block(**known)], scope=0, at=NOW) is told
    assert not is_told([], scope=0, at=NOW)
