"""One text to one recipient of a campaign: its states, the moves between them, and its reasons.

Rows are worked on under a lease of their *slice*, so there is no ``claimed`` state: a row goes
from ``pending`` straight to ``sending`` in the guard's statement.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID


class State(StrEnum):
    """Where a message is. The words are the database's, the logs' and the metrics'."""

    #: Not begun; may be sent when due.
    PENDING = "pending"
    #: The guard committed "I am about to send"; a request may be under way.
    SENDING = "sending"
    #: The provider accepted it.
    SENT = "sent"
    #: The carrier says the handset has it.
    DELIVERED = "delivered"
    #: Handed to the carrier, who could not deliver it.
    UNDELIVERED = "undelivered"
    #: Not sent because the recipient is suppressed.
    SUPPRESSED = "suppressed"
    #: Refused by the provider, or failed after it was accepted.
    FAILED = "failed"
    #: The campaign's deadline passed before it could be sent.
    EXPIRED = "expired"
    #: The campaign was canceled before it was sent.
    CANCELED = "canceled"
    #: A request may have reached the provider and nobody knows; never sent again by a machine.
    IN_DOUBT = "in_doubt"
    #: In doubt for 48 hours without evidence; reported to a person.
    UNKNOWN = "unknown"


#: States from which a request may still be made or may be under way.
OPEN: frozenset[State] = frozenset({State.PENDING, State.SENDING})

#: States in which the provider may hold a message of ours that it has not passed on yet.
AT_PROVIDER: frozenset[State] = frozenset({State.SENDING, State.SENT, State.IN_DOUBT})

#: What the provider may tell of a message it has accepted.
_EVIDENCE: frozenset[State] = frozenset(
    {
        State.SENT,
        State.DELIVERED,
        State.UNDELIVERED,
        State.FAILED,
        State.SUPPRESSED,
        State.CANCELED,
    }
)

#: Every move a row may make. What is not here is refused, whatever asks for it.
TRANSITIONS: dict[State, frozenset[State]] = {
    # A callback may prove that a request we took for refused was accepted after all: without
    # these moves the row would be sent again.
    State.PENDING: _EVIDENCE | {State.SENDING, State.EXPIRED},
    # Back to pending only when the request provably did nothing (refused, or never begun). A
    # status callback may overtake our own settlement, hence straight to a final state.
    State.SENDING: _EVIDENCE | {State.PENDING, State.IN_DOUBT},
    # Asynchronous failures and 21610 come after the provider accepted.
    State.SENT: frozenset(
        {State.DELIVERED, State.UNDELIVERED, State.FAILED, State.SUPPRESSED, State.CANCELED}
    ),
    # Some carriers report "failed" first and a delivery later; the handset's word is the last.
    State.UNDELIVERED: frozenset({State.DELIVERED}),
    # Definite evidence may come late, but never pending: nothing in doubt is sent again.
    State.IN_DOUBT: _EVIDENCE | {State.UNKNOWN},
    State.UNKNOWN: _EVIDENCE,
    State.DELIVERED: frozenset(),
    State.SUPPRESSED: frozenset(),
    State.FAILED: frozenset(),
    State.EXPIRED: frozenset(),
    State.CANCELED: frozenset(),
}


#: Reasons of rows whose outcome a person found out. "Sent" is a ``sent`` row like any other; "not
#: sent" is a ``failed`` one that the provider's word still overrules, whatever it is: a person can
#: be wrong, and the row must not hide a text that somebody got.
VERDICT_SENT = "verdict_sent"
VERDICT_NOT_SENT = "verdict_not_sent"

#: What a person may decide about; nothing in doubt is decided by a machine without evidence.
DOUBTED: frozenset[State] = frozenset({State.IN_DOUBT, State.UNKNOWN})


def sources_of(target: State) -> frozenset[State]:
    """The states from which a row may move to ``target``: where later evidence may move it."""
    return frozenset(state for state, targets in TRANSITIONS.items() if target in targets)


@dataclass(frozen=True, kw_only=True)
class OutboundText:
    """What is handed to the provider for one message."""

    #: Our id; it stands in the status callback's path, so a callback finds its row by itself.
    message_id: UUID
    #: The From number or the Messaging Service SID (``MG…``).
    sender: str
    #: E.164 digits without the plus.
    recipient: int
    body: str
    #: How long the provider may queue it before giving up (Twilio: 1 s to 10 h).
    validity: timedelta


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """Proof that the guard committed ``sending`` for a row: the licence for one request."""

    message_id: UUID
    #: The row's generation after the guard; every later write names it.
    gen: int
    #: The database's clock when the guard ran.
    guarded_at: datetime
