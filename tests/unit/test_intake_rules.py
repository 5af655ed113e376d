"""How far back Twilio's log is read, what must live, and which senders are blind."""

from datetime import UTC, datetime, timedelta

import pytest

from sender.clocks import Clocks
from sender.config import Settings
from sender.domain.intake import (
    FIRST_LOOK,
    HISTORY,
    OVERLAP,
    Blind,
    IntakeMode,
    Rhythm,
    Source,
    blind_number,
    blind_service,
    read_since,
)
from sender.domain.phone import SenderKind
from sender.domain.provider import ServiceRecord
from sender.errors import ConfigurationError

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
AN_HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)
URLS = {"DATABASE_URL": "postgresql://db", "REDIS_URL": "redis://redis/0"}


@pytest.mark.parametrize(
    ("watermark", "campaign", "gap", "since"),
    [
        (NOW - AN_HOUR, None, None, NOW - AN_HOUR - OVERLAP),
        (NOW - AN_HOUR, NOW - 9 * A_DAY, None, NOW - AN_HOUR - OVERLAP),
        (NOW - AN_HOUR, None, NOW - 2 * A_DAY, NOW - AN_HOUR - OVERLAP),
        (None, NOW - 9 * A_DAY, None, NOW - 9 * A_DAY - OVERLAP),
        (None, NOW - AN_HOUR, None, NOW - FIRST_LOOK - OVERLAP),
        (None, None, None, NOW - FIRST_LOOK - OVERLAP),
        (None, NOW - 2 * A_DAY, NOW - 3 * A_DAY, NOW - 3 * A_DAY - OVERLAP),
        (None, None, NOW - AN_HOUR, NOW - FIRST_LOOK - OVERLAP),
        (NOW - 999 * A_DAY, None, None, NOW - HISTORY),
        (None, NOW - 999 * A_DAY, None, NOW - HISTORY),
    ],
)
def test_how_far_back(
    watermark: datetime | None,
    campaign: datetime | None,
    gap: datetime | None,
    since: datetime,
) -> None:
    """From the watermark with overlap; else from where a campaign or a gap began; within bounds."""
    assert read_since(watermark=watermark, campaign=campaign, gap=gap, at=NOW) == since


def _rhythm(mode: IntakeMode) -> Rhythm:
    return Rhythm(mode=mode, silence=timedelta(seconds=30), pull_every=timedelta(seconds=60))


def test_what_must_live() -> None:
    """Whatever brings STOPs: a pull's sign of life is good until two more were missed."""
    half_minute = timedelta(seconds=30)
    assert _rhythm(IntakeMode.BOTH).sources == {
        Source.WEBHOOK: half_minute,
        Source.CONSUMER: half_minute,
    }
    assert _rhythm(IntakeMode.WEBHOOK).sources == {Source.WEBHOOK: half_minute}
    assert _rhythm(IntakeMode.PULL).sources == {Source.PULL: timedelta(seconds=150)}
    assert [mode for mode in IntakeMode if not _rhythm(mode).pulls] == [IntakeMode.WEBHOOK]


def test_signs_of_life_come_several_times_within_the_silence() -> None:
    """One or two that get lost hold nobody."""
    rhythm = _rhythm(IntakeMode.BOTH)
    assert rhythm.beat_every * 6 <= rhythm.silence


@pytest.mark.parametrize(
    ("service", "blind"),
    [
        (None, Blind.UNKNOWN_SERVICE),
        (ServiceRecord(numbers=("+1",), receives=False), Blind.DROPS_INBOUND),
        (ServiceRecord(numbers=(), receives=True), Blind.NO_NUMBERS),
        (ServiceRecord(numbers=("+1",), receives=True), None),
    ],
)
def test_a_blind_service(service: ServiceRecord | None, blind: Blind | None) -> None:
    """A service is blind that is unknown, drops inbound messages, or has no number."""
    assert blind_service(service) is blind


@pytest.mark.parametrize("kind", SenderKind)
@pytest.mark.parametrize("heard", [True, False])
def test_a_blind_number(kind: SenderKind, heard: bool) -> None:  # noqa: FBT001  # a parameter
    """A name is blind, and a short code until it was heard of; an ordinary number never is."""
    found = blind_number(kind, heard=heard)
    match kind:
        case SenderKind.ALPHANUMERIC:
            assert found is Blind.ONE_WAY
        case SenderKind.SHORT_CODE:
            assert found is (None if heard else Blind.SHORT_CODE_UNHEARD)
        case _:
            assert found is None


def test_a_number_is_blind_with_its_service() -> None:
    """Twilio does not log what is texted to it, whatever was heard before."""
    found = blind_number(SenderKind.LONG_CODE, heard=True, dropped=True)
    assert found is Blind.DROPS_INBOUND


@pytest.mark.parametrize(
    ("ahead", "since"),
    [(AN_HOUR, NOW - AN_HOUR), (timedelta(), NOW), (-AN_HOUR, NOW)],
)
def test_where_a_mark_lies_by_twilio_s_clock(ahead: timedelta, since: datetime) -> None:
    """Earlier, where Postgres's is ahead; never later."""
    assert Clocks(now=NOW + A_DAY, ahead=ahead).at_provider(NOW) == since


def test_a_public_address_is_needed_for_webhooks_only() -> None:
    """Who pulls alone need not be reachable; who does not, must be."""
    account = {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "token"}
    Settings.from_variables({**URLS, **account, "SENDER_INTAKE": "pull"}).require_twilio()
    with pytest.raises(ConfigurationError, match="PUBLIC_BASE_URL"):
        Settings.from_variables({**URLS, **account}).require_twilio()
    with pytest.raises(ConfigurationError, match="SENDER_INTAKE"):
        Settings.from_variables({**URLS, "SENDER_INTAKE": "fax"})
