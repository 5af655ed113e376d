"""Twilio's default opt-out handling: keywords, and the table of who is blocked for whom."""

from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum


class Keyword(StrEnum):
    """What a keyword asks for; also the values of the ``OptOutType`` parameter."""

    STOP = "STOP"
    START = "START"
    HELP = "HELP"


_KEYWORDS = {
    **dict.fromkeys(
        ("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"),
        Keyword.STOP,
    ),
    **dict.fromkeys(("START", "YES", "UNSTOP"), Keyword.START),
    **dict.fromkeys(("HELP", "INFO"), Keyword.HELP),
}

AUTO_REPLIES = {
    Keyword.STOP: (
        "You have successfully been unsubscribed. You will not receive any more messages from"
        " this number. Reply START to resubscribe."
    ),
    Keyword.START: (
        "You have successfully been re-subscribed to messages from this number. Reply HELP for"
        " help. Reply STOP to unsubscribe. Msg&Data Rates May Apply."
    ),
    Keyword.HELP: "Reply STOP to unsubscribe. Msg&Data Rates May Apply.",
}


def classify(body: str) -> Keyword | None:
    """The keyword a text is, by Twilio's rule: the whole body, whatever its case.

    Nothing is trimmed: that ``Stop.`` or `` STOP`` would match is documented nowhere, and an
    application that relies on it must not pass here.
    """
    return _KEYWORDS.get(body.upper())


class BlockTable:
    """The pairs (scope, recipient) that are opted out at the provider."""

    def __init__(self) -> None:
        self._blocked: defaultdict[str, set[str]] = defaultdict(set)

    def __len__(self) -> int:
        return sum(map(len, self._blocked.values()))

    def blocks(self, scope: str, recipient: str) -> bool:
        """Whether this recipient is opted out of this scope."""
        return recipient in self._blocked.get(scope, ())

    def add(self, scope: str, recipients: Iterable[str]) -> None:
        """Opt recipients out."""
        self._blocked[scope].update(recipients)

    def lift(self, scope: str, recipients: Iterable[str]) -> None:
        """Opt recipients in again."""
        self._blocked[scope].difference_update(recipients)

    def apply(self, scope: str, recipient: str, keyword: Keyword) -> bool:
        """Obey a keyword. Returns whether it is answered.

        START counts from the opted-out state only, and a repeated STOP changes nothing: neither
        gets a reply then. HELP is always answered.
        """
        was_blocked = self.blocks(scope, recipient)
        match keyword:
            case Keyword.STOP:
                self.add(scope, (recipient,))
                return not was_blocked
            case Keyword.START:
                self.lift(scope, (recipient,))
                return was_blocked
            case Keyword.HELP:
                return True

    def by_scope(self) -> dict[str, list[str]]:
        """All blocks, sorted, for people to read."""
        return {scope: sorted(people) for scope, people in self._blocked.items() if people}
