"""One body to one audience: its states, and the ids that keep its messages together."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sender.domain.rests import Resting
from sender.domain.scrub import Scrub


class CampaignState(StrEnum):
    """Where a campaign is."""

    #: Created; nothing is sent before it is enqueued.
    DRAFT = "DRAFT"
    #: Enqueued for a later start.
    SCHEDULED = "SCHEDULED"
    #: Offered to the workers.
    RUNNING = "RUNNING"
    #: Nothing new is begun; resume continues where it stood.
    PAUSED = "PAUSED"
    #: Nothing is pending or sending; doubts are counted beside it.
    COMPLETED = "COMPLETED"
    #: Ended by hand; what had not begun is canceled.
    CANCELED = "CANCELED"


#: The moves a person may ask for, and what they need.
ENQUEUEABLE = frozenset({CampaignState.DRAFT, CampaignState.SCHEDULED})
PAUSABLE = frozenset({CampaignState.RUNNING})
RESUMABLE = frozenset({CampaignState.PAUSED})
CANCELABLE = frozenset(
    {
        CampaignState.DRAFT,
        CampaignState.SCHEDULED,
        CampaignState.RUNNING,
        CampaignState.PAUSED,
    }
)

#: Nothing more will be sent.
ENDED = frozenset({CampaignState.COMPLETED, CampaignState.CANCELED})

_ORDINAL_BITS = 32
_RANDOM_BITS = 30
MAX_RECIPIENTS = 2**_ORDINAL_BITS - 1


@dataclass(frozen=True, kw_only=True)
class MessageIds:
    """The ids of one campaign's messages: UUIDs of version 7 (RFC 9562) that sort by ordinal.

    The time part is the campaign's creation, so all of a campaign's rows lie side by side (and
    in one monthly partition, should the table be partitioned by id); a slice is a range of ids.
    30 random bits keep an id from being guessed from its neighbour.
    """

    created_at: datetime
    campaign_id: int

    def of(self, ordinal: int, random: int) -> UUID:
        """The id of the recipient at ``ordinal`` (1-based), made unguessable by ``random``."""
        if not 0 < ordinal <= MAX_RECIPIENTS:
            raise ValueError(f"ordinal {ordinal} is outside 1..{MAX_RECIPIENTS}")
        return UUID(int=self._prefix | ordinal << _RANDOM_BITS | random % 2**_RANDOM_BITS)

    def span(self, first: int, last: int) -> tuple[UUID, UUID]:
        """The lowest and highest id that ordinals ``first`` to ``last`` can have."""
        return self.of(first, 0), self.of(last, 2**_RANDOM_BITS - 1)

    @property
    def _prefix(self) -> int:
        milliseconds = int(self.created_at.timestamp() * 1000)
        return milliseconds << 80 | 7 << 76 | (self.campaign_id & 0xFFF) << 64 | 0b10 << 62


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a campaign is; figures of one moment."""

    campaign_id: int
    state: CampaignState
    #: Why it is in that state, where there is more to say (a hold, a person's note).
    why: str
    #: Who paused, resumed or canceled it; empty: nobody is named, or none of these.
    author: str
    #: Audience rows = recipients + duplicates + rejected.
    file_rows: int
    recipients: int
    duplicates: int
    rejected: int
    #: Messages by state, and by (state, reason).
    states: dict[str, int]
    reasons: dict[tuple[str, str], int]
    #: Named reasons why it may not send right now.
    holds: tuple[str, ...]
    #: Why its sender rests, and until when it does.
    rests: tuple[Resting, ...]
    #: What Twilio was asked before it; ``None``: it was not enqueued yet.
    scrub: Scrub | None
    started_at: datetime | None
    completed_at: datetime | None

    @property
    def open(self) -> int:
        """Messages that may still be sent or are being sent."""
        return self.states.get("pending", 0) + self.states.get("sending", 0)

    @property
    def doubts(self) -> int:
        """Messages whose outcome nobody knows: counted beside a COMPLETED campaign."""
        return self.states.get("in_doubt", 0) + self.states.get("unknown", 0)
