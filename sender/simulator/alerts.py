"""The monitor's alerts: all that Twilio keeps of a create request that it refused."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import uuid4

from sender.simulator.refusals import Refusal

#: Kept at most; the oldest go first.
_KEPT = 100_000


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One refused request."""

    code: int
    #: The request's form.
    variables: str
    #: Unix time.
    at: float = field(default_factory=time.time)
    sid: str = field(default_factory=lambda: f"NO{uuid4().hex}")

    def as_json(self, *, whole: bool) -> dict[str, object]:
        """The Alert resource; in a list without the request that it is about."""
        at = datetime.fromtimestamp(int(self.at), UTC).isoformat().replace("+00:00", "Z")
        shown: dict[str, object] = {
            "sid": self.sid,
            "error_code": str(self.code),
            "log_level": "error",
            "date_created": at,
            "date_generated": at,
            "resource_sid": None,
        }
        return shown | ({"request_variables": self.variables} if whole else {})


class Alerts:
    """The account's alerts by SID, oldest first."""

    def __init__(self) -> None:
        self._kept: dict[str, Alert] = {}

    def note(self, refusal: Refusal, form: Mapping[str, str]) -> None:
        """Keep one about a refused create request."""
        alert = Alert(code=refusal.code, variables=urlencode(form))
        self._kept[alert.sid] = alert
        if len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]

    def since(self, start: float) -> list[Alert]:
        """Those from then on, newest first."""
        return [one for one in reversed(self._kept.values()) if int(one.at) >= start]

    def get(self, sid: str) -> Alert | None:
        """The alert with this SID."""
        return self._kept.get(sid)
