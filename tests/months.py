"""Campaigns of other months than this one."""

from datetime import UTC, datetime

from sender.domain.campaign import MessageIds
from sender.storage.campaigns import NewMessage, load
from tests.bench import Bench


def month(at: datetime) -> str:
    """The partition of a month that was made in time."""
    return f"message_{at:%Y_%m}"


def months_on(at: datetime, count: int) -> datetime:
    """The first moment of the month so many on."""
    year, index = divmod(at.year * 12 + at.month - 1 + count, 12)
    return datetime(year, index + 1, 1, tzinfo=UTC)


def at_time(bench: Bench, created_at: datetime, *recipients: int) -> int:
    """A campaign made by a host whose clock shows that; its id."""
    campaign = bench.campaign(*recipients, run=False)
    bench.execute("DELETE FROM slice WHERE campaign_id = :id", id=campaign)
    bench.execute("DELETE FROM message WHERE campaign_id = :id", id=campaign)
    bench.execute("UPDATE campaign SET created_at = :at WHERE id = :id", at=created_at, id=campaign)
    ids = MessageIds(created_at=created_at, campaign_id=campaign)
    rows = [
        NewMessage(id=ids.of(number, 7), recipient=who, line=number, fields={})
        for number, who in enumerate(recipients, 1)
    ]
    bench.db.run(load, campaign, rows)
    return campaign
