"""Why a message was sent or not, in a sentence; and a recipient's timeline."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from sender.domain.consent import ConsentEvent, Direction, ReasonClass
from sender.domain.incident import Because, Cause, LoggedKeyword
from sender.domain.message import State
from sender.domain.story import (
    CauseRecord,
    IncidentStory,
    Known,
    MessageStory,
    StoredText,
    Told,
    Verdict,
    summary,
)
from sender.domain.timeline import Happening, timeline

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ID = UUID(int=1)


def _message(state: State = State.PENDING, **facts: Any) -> MessageStory:
    plain: dict[str, Any] = {
        "message_id": ID,
        "campaign_id": 7,
        "campaign": "Spring",
        "campaign_state": "RUNNING",
        "sender": "+14155550001",
        "created_at": NOON,
        "line": 3,
        "state": state,
        "reason": "",
        "guarded_at": None,
        "changed_at": NOON + 9 * SECOND,
        "sid": None,
        "provider_status": None,
        "provider_code": None,
    }
    return MessageStory(**plain | facts)


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_sentence(state: State) -> None:
    """Whatever became of a message, it is told in words that end in a full stop."""
    why = _message(state, reason="x").why
    assert why.endswith(".")
    assert why.split()[0] in {"Sent", "Sent,", "Sent:", "Not", "May", "Just"}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (_message(), "its turn has not come"),
        (_message(reason="throttled"), "it goes again (throttled)"),
        (_message(reason="review"), "a person has to read"),
        (_message(campaign_state="PAUSED"), "its campaign is PAUSED"),
        (_message(holds=("filtered",)), "held (filtered)"),
        (_message(State.SENT, reason="verdict_sent"), "as a person found out"),
        (_message(State.SUPPRESSED, reason="stop"), "they had opted out (stop)"),
        (_message(State.SUPPRESSED, has_incident=True), "Twilio refused it"),
        (_message(State.FAILED, reason="verdict_not_sent"), "as a person found out"),
        (_message(State.FAILED, reason="bad_number"), "nothing was asked of Twilio"),
        (
            _message(State.FAILED, reason="content", guarded_at=NOON, provider_code=21617),
            "Twilio refused it (content, code 21617)",
        ),
        (_message(State.FAILED, reason="content", sid="SM1"), "Twilio took it and then failed"),
        (_message(State.CANCELED, sid="SM1"), "taken back at Twilio"),
        (_message(State.CANCELED), "the campaign was canceled"),
        (_message(State.UNDELIVERED, reason="blocked", provider_code=30004), "code 30004"),
    ],
)
def test_the_reason_is_in_it(message: MessageStory, said: str) -> None:
    """Of two messages in one state the sentence tells what makes the difference."""
    assert said in message.why


def test_a_summary() -> None:
    """Doubtful ones are neither sent nor not sent."""
    states = (State.SENT, State.DELIVERED, State.IN_DOUBT, State.SUPPRESSED)
    told = summary(map(_message, states))
    assert told == "4 messages: 2 sent, 1 in doubt, 1 not sent"
    assert summary([_message()]) == "1 message: 0 sent, 0 in doubt, 1 not sent"


def _event(**facts: Any) -> ConsentEvent:
    plain: dict[str, Any] = {
        "id": 1,
        "tenant_id": 1,
        "recipient": 14155552001,
        "scope": 0,
        "direction": Direction.OPT_OUT,
        "reason": ReasonClass.STOP,
        "source": "inbound",
        "source_id": "SM1",
        "provider_at": None,
        "received_at": NOON + 4 * SECOND,
    }
    return ConsentEvent(**plain | facts)


def _incident(**facts: Any) -> IncidentStory:
    first = CauseRecord(
        cause=Cause.UNKNOWN, detail={}, because=Because.OPENED, decided_at=NOON + 6 * SECOND
    )
    again = CauseRecord(
        cause=Cause.WEBHOOK_MISSED,
        detail={},
        because=Because.PROVIDER_LOG,
        decided_at=NOON + 60 * SECOND,
    )
    logged = LoggedKeyword(sid="SM9", at=NOON - SECOND, is_stop=True, to_sender=True)
    plain: dict[str, Any] = {
        "id": 5,
        "message_id": ID,
        "campaign_id": 7,
        "door": "create",
        "began_at": NOON + 2 * SECOND,
        "told_at": NOON + 6 * SECOND,
        "causes": (first, again),
        "looked_at": NOON + 60 * SECOND,
        "logged": (logged,),
    }
    return IncidentStory(**plain | facts)


def _text(**facts: Any) -> StoredText:
    plain: dict[str, Any] = {
        "sid": "SM1",
        "sender": "+14155550001",
        "keyword": "STOP",
        "received_at": NOON + 3 * SECOND,
        "provider_at": NOON + SECOND,
        "pulled": False,
    }
    return StoredText(**plain | facts)


class TestTimeline:
    """All that happened, in time order."""

    def test_whole(self) -> None:
        """The campaign, both clocks, consent, guard, request, answer and causes are in it."""
        known = Known(
            messages=(
                _message(
                    State.SUPPRESSED,
                    reason="provider_block",
                    guarded_at=NOON + 2 * SECOND,
                    told=(Told(status="failed", code=21610, received_at=NOON + 5 * SECOND),),
                    verdict=Verdict(sent=True, author="ann", evidence="Console", given_at=NOON),
                ),
            ),
            texts=(_text(),),
            events=(_event(),),
            enforced={1: NOON + 5 * SECOND},
            incidents=(_incident(),),
        )
        told = timeline(known)
        assert [one.at for one in told] == sorted(one.at for one in told)
        assert Counter(one.what for one in told) == Counter(Happening) + Counter(
            {Happening.TEXT: 2, Happening.INCIDENT: 1}
        )
        by_provider = [one.text for one in told if one.by_provider]
        assert by_provider == [
            "Twilio received STOP to the sender (SM9); it never reached us",
            "Twilio received STOP (SM1)",
        ]
        assert [one.text for one in told if one.what is Happening.INCIDENT] == [
            "21610 as its answer: incident 5, unknown",
            "incident 5 is now webhook_missed (provider_log)",
        ]

    def test_who_and_whose(self) -> None:
        """An import names its file, a person's work its author, a narrow opt-out its sender."""
        known = Known(
            events=(
                _event(source="import", reason=ReasonClass.IMPORT, batch_id=4, author="ann"),
                _event(id=2, scope=8, direction=Direction.OPT_IN, reason=None),
            ),
            batches={4: "list.csv"},
            senders={8: "+14155550008"},
        )
        assert [one.text for one in timeline(known)] == [
            "opted out: import, all senders, with import 4 (list.csv), by ann",
            "opted in: START, +14155550008, from inbound",
        ]

    def test_how_a_text_came(self) -> None:
        """Pulled or by webhook, to a sender of ours or not; what we have is not told twice."""
        pulled = _text(sid="SM9", pulled=True, sender=None, provider_at=None)
        told = timeline(Known(texts=(pulled,), incidents=(_incident(door="callback"),)))
        texts = [one.text for one in told if one.what is Happening.TEXT]
        assert texts == [
            "STOP to an address that is no sender of ours was pulled from Twilio's log (SM9)"
        ]
        assert not [one for one in told if one.what is Happening.REQUEST]

    def test_nothing_began(self) -> None:
        """Of a message that waits, only its campaign is told."""
        told = timeline(Known(messages=(_message(),)))
        assert [one.what for one in told] == [Happening.AUDIENCE]
