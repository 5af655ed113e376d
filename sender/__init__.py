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

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

#: Where each name comes from. A process loads what it uses: beat, Flower and the simulator need
#: little of this package, and what the rest loads took them most of a second and a half of CPU.
_HOMES = {
    "Alert": "sender.storage.alerts",
    "AlertKind": "sender.storage.alerts",
    "Audience": "sender.audience",
    "Because": "sender.domain.incident",
    "Campaign": "sender.api",
    "CampaignReport": "sender.storage.reports",
    "CampaignState": "sender.domain.campaign",
    "CampaignSummary": "sender.storage.campaigns",
    "Cause": "sender.domain.incident",
    "CauseRecord": "sender.domain.story",
    "Client": "sender.api",
    "ConfigurationError": "sender.errors",
    "ConsentEvent": "sender.domain.consent",
    "DailyCap": "sender.storage.daily_caps",
    "DoubtCase": "sender.storage.doubts",
    "Doubts": "sender.doubting",
    "Entry": "sender.domain.timeline",
    "ErasureRefused": "sender.errors",
    "Happening": "sender.domain.timeline",
    "HoldRecord": "sender.storage.holds",
    "HoldRefused": "sender.errors",
    "Holds": "sender.holding",
    "IdempotencyConflict": "sender.errors",
    "ImportRefused": "sender.errors",
    "Incident": "sender.storage.stories",
    "IncidentCase": "sender.tracing",
    "IncidentStory": "sender.domain.story",
    "InvalidAudience": "sender.errors",
    "InvalidList": "sender.errors",
    "InvalidRecipient": "sender.errors",
    "LeftOut": "sender.storage.campaigns",
    "Lift": "sender.optouts",
    "LiftRefused": "sender.errors",
    "ListFile": "sender.listfile",
    "LoggedKeyword": "sender.domain.incident",
    "MessageStory": "sender.domain.story",
    "NotFound": "sender.errors",
    "NumberHealth": "sender.storage.number_health",
    "Numbers": "sender.numbers",
    "Obstacles": "sender.storage.campaigns",
    "OpenDoubt": "sender.storage.doubts",
    "OutcomeCount": "sender.storage.reports",
    "Progress": "sender.domain.campaign",
    "ReasonClass": "sender.domain.consent",
    "RecipientTrace": "sender.tracing",
    "Result": "sender.storage.campaigns",
    "Review": "sender.reviewing",
    "ReviewRefused": "sender.errors",
    "Role": "sender.listfile",
    "SchemaOutdated": "sender.errors",
    "SenderError": "sender.errors",
    "Settings": "sender.config",
    "State": "sender.domain.message",
    "Suppression": "sender.domain.consent",
    "SuppressionList": "sender.suppression_list",
    "TemplateError": "sender.domain.template",
    "UnsafeDatabase": "sender.errors",
    "Verdict": "sender.verifying",
    "VerdictRefused": "sender.errors",
    "WrongState": "sender.errors",
    "connect": "sender.api",
    "from_iterable": "sender.audience",
    "from_select": "sender.storage.queries",
    "open_list": "sender.listfile",
    "read_csv": "sender.audience",
    "write_rejects": "sender.audience",
}

if not TYPE_CHECKING:  # to type checkers it would say that every name exists

    def __getattr__(name: str) -> object:
        """Import a public name's home when the name is first used."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value

    def __dir__() -> list[str]:
        """The public names, whether or not they were used yet."""
        return sorted(__all__)
