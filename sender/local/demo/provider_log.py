"""The simulator's log of every request and webhook, typed: what really went over the wire."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import chain
from typing import Any, Self
from urllib.parse import urlsplit

from sender.domain.phone import InvalidNumber, canonical, digits

#: The provider's code for "this recipient is opted out".
OPTED_OUT = 21610
#: Answers that say "not processed": the request may be made again.
NOT_PROCESSED = frozenset({HTTPStatus.TOO_MANY_REQUESTS})

#: Later than every moment of a run.
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Create:
    """One create request that reached the provider, and its answer."""

    #: Canonical digits, by the function that makes every spelling of a number the same.
    recipient: int
    arrived_at: datetime
    #: Later than any other moment while the request was never answered.
    answered_at: datetime
    accepted: bool
    sid: str | None
    #: What the client saw; ``None``: the connection was closed instead.
    http_status: int | None
    code: int | None
    #: Ours, as it stands in the callback URL that the request names.
    message_id: str

    @property
    def is_opted_out(self) -> bool:
        """Whether it was refused because the recipient is opted out."""
        return not self.accepted and self.code == OPTED_OUT

    @property
    def may_go_again(self) -> bool:
        """Whether the answer proves that nothing was accepted and invites another attempt."""
        return not self.accepted and self.http_status in NOT_PROCESSED


@dataclass(frozen=True, kw_only=True)
class Text:
    """What a person texted, with all attempts (duplicates too) to hand it to us."""

    sid: str
    recipient: int
    body: str
    queued_at: datetime
    #: When it first reached us; later than any other moment if it never did.
    arrived_at: datetime
    #: When it was first answered 200; ``None``: it never was.
    acknowledged_at: datetime | None
    #: Attempts answered 503: not stored, or not enforced yet.
    refused_attempts: int


@dataclass(frozen=True, kw_only=True)
class Callback:
    """A status callback that we acknowledged."""

    sid: str
    status: str
    code: int | None


@dataclass(frozen=True, kw_only=True)
class ProviderLog:
    """The whole log of one run."""

    creates: tuple[Create, ...]
    texts: tuple[Text, ...]
    callbacks: tuple[Callback, ...]

    @classmethod
    def from_entries(cls, entries: Iterable[Mapping[str, Any]]) -> Self:
        """Read the entries of ``GET /_simulator/log``, oldest first."""
        by_kind: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for entry in entries:
            by_kind[entry["kind"]].append(entry)
        return cls(
            creates=tuple(map(_create, by_kind["create"])),
            texts=tuple(map(_text, _by_sid(by_kind["inbound"]))),
            callbacks=tuple(_callback(one) for one in by_kind["status"] if one["acknowledged"]),
        )


def _create(entry: Mapping[str, Any]) -> Create:
    return Create(
        recipient=_recipient(entry["to"]),
        arrived_at=_moment(entry["arrived_at"]) or NEVER,
        answered_at=_moment(entry["answered_at"]) or NEVER,
        accepted=entry["accepted"],
        sid=entry["sid"],
        http_status=entry["http_status"],
        code=entry["code"],
        message_id=urlsplit(entry["status_callback"] or "").path.rpartition("/")[2],
    )


def _by_sid(entries: Iterable[Mapping[str, Any]]) -> Iterable[Sequence[Mapping[str, Any]]]:
    """The entries of each text: its webhook, and the duplicate of it if there was one."""
    found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in entries:
        found[entry["message_sid"]].append(entry)
    return found.values()


def _text(entries: Sequence[Mapping[str, Any]]) -> Text:
    first = entries[0]
    attempts = list(chain.from_iterable(entry["attempts"] for entry in entries))
    arrivals = [entry["first_attempt_at"] for entry in entries if entry["first_attempt_at"]]
    acknowledged = [one["finished_at"] for one in attempts if one["status"] == HTTPStatus.OK]
    refused = [one for one in attempts if one["status"] == HTTPStatus.SERVICE_UNAVAILABLE]
    return Text(
        sid=first["message_sid"],
        recipient=_recipient(first["from"]),
        body=first["body"],
        queued_at=_moment(first["queued_at"]) or NEVER,
        arrived_at=_moment(min(arrivals, default=None)) or NEVER,
        acknowledged_at=_moment(min(acknowledged, default=None)),
        refused_attempts=len(refused),
    )


def _callback(entry: Mapping[str, Any]) -> Callback:
    return Callback(sid=entry["message_sid"], status=entry["status"], code=entry["error_code"])


def _recipient(number: str) -> int:
    found = canonical(number)
    return digits(number) if isinstance(found, InvalidNumber) else found.digits


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
