"""``GET …/Messages.json``: filters and paging as Twilio has them, newest message first."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from urllib.parse import urlencode

from sender.simulator.messages import API_VERSION, MessageRow, Messages
from sender.simulator.refusals import Refusal

_DEFAULT_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 1000
_TOKEN_PREFIX = "PASM"  # noqa: S105  a cursor, not a secret


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which rows are wanted; bounds on ``date_sent`` are unix times, both inclusive."""

    to: str | None
    sender: str | None
    sent_from: float | None
    sent_until: float | None

    def admit(self, row: MessageRow) -> bool:
        """Whether a row passes. A row that was never sent passes no ``date_sent`` bound."""
        if self.sender is not None and not (row.number_shown and row.number == self.sender):
            return False
        if self.sent_from is None and self.sent_until is None:
            return True
        if row.sent_at is None:
            return False
        second = int(row.sent_at)
        return (self.sent_from is None or second >= self.sent_from) and (
            self.sent_until is None or second <= self.sent_until
        )


@dataclass(frozen=True, kw_only=True)
class ListRequest:
    """One page asked for."""

    filters: Filters
    page_size: int
    page: int
    #: Rows of this ordinal and later were on earlier pages, so new rows do not shift a page.
    before: int | None
    #: The parameters as received, for the links to other pages.
    params: Mapping[str, str]

    @classmethod
    def from_params(cls, params: Mapping[str, str]) -> "ListRequest | Refusal":
        """Read the query string; a bad page size is 20007, anything else unreadable 20001."""
        try:
            page_size = int(params.get("PageSize", _DEFAULT_PAGE_SIZE))
            if not 1 <= page_size <= _MAX_PAGE_SIZE:
                return Refusal.of(20007)
            return cls(
                filters=_filters(params),
                page_size=page_size,
                page=int(params.get("Page", 0)),
                before=_position(params.get("PageToken")),
                params=params,
            )
        except ValueError as error:
            return Refusal.of(20001, str(error))


def page_of(messages: Messages, request: ListRequest, account_sid: str) -> dict[str, object]:
    """One page of the list, in Twilio's JSON shape."""
    rows, more = _select(messages, request)
    path = f"/{API_VERSION}/Accounts/{account_sid}/Messages.json"
    start = request.page * request.page_size
    following = f"{_TOKEN_PREFIX}{rows[-1].ordinal}" if more else None
    return {
        "messages": [row.as_json() for row in rows],
        "page": request.page,
        "page_size": request.page_size,
        "start": start,
        "end": start + max(len(rows) - 1, 0),
        "uri": _link(path, request, request.page, request.params.get("PageToken")),
        "first_page_uri": _link(path, request, 0, None),
        "previous_page_uri": None,
        "next_page_uri": following and _link(path, request, request.page + 1, following),
    }


def _select(messages: Messages, request: ListRequest) -> tuple[list[MessageRow], bool]:
    """The rows of the page, and whether more follow."""
    chosen: list[MessageRow] = []
    filters = request.filters
    for row in reversed(messages.rows(to=filters.to, sender=filters.sender)):
        if request.before is not None and row.ordinal >= request.before:
            continue
        if not filters.admit(row):
            continue
        if len(chosen) == request.page_size:
            return chosen, True
        chosen.append(row)
    return chosen, False


def _filters(params: Mapping[str, str]) -> Filters:
    day = params.get("DateSent")
    lower, upper = params.get("DateSent>"), params.get("DateSent<")
    since = _start_of_day(day) if day else _utc(lower) if lower else None
    until = _end_of(_start_of_day(day)) if day else _end_of(_utc(upper)) if upper else None
    return Filters(
        to=params.get("To"),
        sender=params.get("From"),
        sent_from=since.timestamp() if since else None,
        sent_until=until.timestamp() if until else None,
    )


def _start_of_day(text: str) -> datetime:
    return _utc(text).replace(hour=0, minute=0, second=0)


def _end_of(moment: datetime) -> datetime:
    """Midnight means the whole day: Twilio's filters are about days, and SDKs send dates so."""
    is_day = moment.time() == time.min
    return moment + timedelta(days=1, seconds=-1) if is_day else moment


def _utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _position(token: str | None) -> int | None:
    return None if token is None else int(token.removeprefix(_TOKEN_PREFIX))


def _link(path: str, request: ListRequest, page: int, token: str | None) -> str:
    """A page's address; cursors come last so that a client can follow it verbatim."""
    kept = {k: v for k, v in request.params.items() if k not in ("Page", "PageToken", "PageSize")}
    cursor = {"PageSize": str(request.page_size), "Page": str(page)}
    return f"{path}?{urlencode(kept | cursor | ({'PageToken': token} if token else {}))}"
