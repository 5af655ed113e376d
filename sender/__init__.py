"""Bulk SMS through Twilio that never texts a person after their STOP, and never texts twice.

::

    import sender

    client = sender.connect()
    campaign = client.create_campaign(
        name="Spring sale",
        sender="MG0123456789abcdef0123456789abcdef",
        body="Hi {first_name}, 20 % off until Sunday. Reply STOP to opt out.",
        audience=sender.read_csv("people.csv", region="US"),
        idempotency_key="spring-sale-2026",
    )
    campaign.enqueue()
    print(campaign.wait().states)
"""

from sender.api import Campaign, Client, connect
from sender.audience import Audience, from_iterable, read_csv, write_rejects
from sender.config import Settings
from sender.domain.campaign import CampaignState, Progress
from sender.domain.consent import ConsentEvent, ReasonClass, Suppression
from sender.domain.incident import Because, Cause, LoggedKeyword
from sender.domain.message import State
from sender.domain.story import CauseRecord, IncidentStory, MessageStory
from sender.domain.template import TemplateError
from sender.domain.timeline import Entry, Happening
from sender.doubting import Doubts
from sender.errors import (
    ConfigurationError,
    ErasureRefused,
    HoldRefused,
    IdempotencyConflict,
    ImportRefused,
    InvalidAudience,
    InvalidList,
    InvalidRecipient,
    LiftRefused,
    NotFound,
    ReviewRefused,
    SchemaOutdated,
    SenderError,
    UnsafeDatabase,
    VerdictRefused,
    WrongState,
)
from sender.holding import Holds
from sender.listfile import ListFile, Role, open_list
from sender.numbers import Numbers
from sender.optouts import Lift
from sender.reviewing import Review
from sender.storage.alerts import Alert, AlertKind
from sender.storage.campaigns import CampaignSummary, LeftOut, Obstacles, Result
from sender.storage.daily_caps import DailyCap
from sender.storage.doubts import DoubtCase, OpenDoubt
from sender.storage.holds import HoldRecord
from sender.storage.number_health import NumberHealth
from sender.storage.queries import from_select
from sender.storage.reports import CampaignReport, OutcomeCount
from sender.storage.stories import Incident
from sender.suppression_list import SuppressionList
from sender.tracing import IncidentCase, RecipientTrace
from sender.verifying import Verdict

__all__ = [
    "Alert",
    "AlertKind",
    "Audience",
    "Because",
    "Campaign",
    "CampaignReport",
    "CampaignState",
    "CampaignSummary",
    "Cause",
    "CauseRecord",
    "Client",
    "ConfigurationError",
    "ConsentEvent",
    "DailyCap",
    "DoubtCase",
    "Doubts",
    "Entry",
    "ErasureRefused",
    "Happening",
    "HoldRecord",
    "HoldRefused",
    "Holds",
    "IdempotencyConflict",
    "ImportRefused",
    "Incident",
    "IncidentCase",
    "IncidentStory",
    "InvalidAudience",
    "InvalidList",
    "InvalidRecipient",
    "LeftOut",
    "Lift",
    "LiftRefused",
    "ListFile",
    "LoggedKeyword",
    "MessageStory",
    "NotFound",
    "NumberHealth",
    "Numbers",
    "Obstacles",
    "OpenDoubt",
    "OutcomeCount",
    "Progress",
    "ReasonClass",
    "RecipientTrace",
    "Result",
    "Review",
    "ReviewRefused",
    "Role",
    "SchemaOutdated",
    "SenderError",
    "Settings",
    "State",
    "Suppression",
    "SuppressionList",
    "TemplateError",
    "UnsafeDatabase",
    "Verdict",
    "VerdictRefused",
    "WrongState",
    "connect",
    "from_iterable",
    "from_select",
    "open_list",
    "read_csv",
    "write_rejects",
]
