"""How a timeline is shown: a line an entry, a date where it changes, both clocks named."""

from collections.abc import Iterable, Iterator

from sender.cli.showing import show_table
from sender.domain.timeline import Entry


def show_timeline(entries: Iterable[Entry], *, campaigns: bool) -> None:
    """Show entries in their order.

    Args:
        entries: in time order.
        campaigns: whether to say which campaign each belongs to.
    """
    columns = ("time", "clock", *(["in"] if campaigns else []), "what")
    show_table(columns, _rows(entries, campaigns=campaigns), empty="nothing is on record")


def _rows(entries: Iterable[Entry], *, campaigns: bool) -> Iterator[tuple[object, ...]]:
    date = ""
    for one in entries:
        if f"{one.at:%Y-%m-%d}" != date:
            date = f"{one.at:%Y-%m-%d}"
            yield (date, *[""] * (2 + campaigns))
        campaign = ["" if one.campaign_id is None else one.campaign_id] if campaigns else []
        yield (_time(one), "Twilio" if one.by_provider else "ours", *campaign, one.text)


def _time(one: Entry) -> str:
    """Twilio tells whole seconds; ours go to the millisecond, because races are told by them."""
    if one.by_provider:
        return f"{one.at:%H:%M:%S}"
    return f"{one.at:%H:%M:%S}.{one.at.microsecond // 1000:03d}"
