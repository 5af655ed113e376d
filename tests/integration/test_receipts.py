"""Status callbacks: any order, any number of times, before or after our own settlement."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from sender.domain.consent import Direction
from sender.domain.outcome import Accepted, Ambiguous, NotBegun, Outcome
from sender.domain.receipt import Receipt, ReceiptMeaning
from sender.gateway import receipt_from_form
from sender.receipts import Counted, Receipts, Refusal
from sender.settlement import Handed, Settlement
from sender.storage import consent
from sender.storage.database import AsyncDatabase, DatabaseError
from sender.storage.messages import MessageTable
from tests.bench import (
    ACCOUNT,
    ANNA,
    BERT,
    ENFORCEMENT,
    OTHER_ACCOUNT,
    OTHER_SENDER,
    SENDER,
    Bench,
    consent_event,
    crowd,
    hand_off,
    new_sid,
)


class _NoCache:
    """A Redis set that is never written."""

    async def add(self, entries: object) -> None:
        """Forget it."""


def _callback(message_id: UUID, status: str, code: int | None = None, **fields: str) -> Receipt:
    plain = {
        "AccountSid": ACCOUNT,
        "MessageSid": new_sid(1),
        "MessageStatus": status,
        "To": f"+{ANNA}",
        "From": SENDER,
        "ErrorCode": "" if code is None else str(code),
    }
    return receipt_from_form(message_id, list((plain | fields).items()))


def _apply(bench: Bench, receipt: Receipt) -> Counted | Refusal:
    """Apply one callback by the door it takes in a batch of one."""
    receipts = Receipts(messages=bench.messages, enforcement=ENFORCEMENT)
    if receipt.verdict.meaning is ReceiptMeaning.OPTED_OUT:
        return bench.db.run(receipts.apply_block, receipt)
    (answer,) = bench.db.run(receipts.apply, [receipt])
    return answer


def _sending(bench: Bench) -> tuple[int, UUID]:
    campaign = bench.campaign(ANNA)
    return campaign, bench.guard_all(campaign)[ANNA].message_id


def _alarms(bench: Bench) -> list[str]:
    return [row.kind for row in bench.execute("SELECT kind FROM alarm")]


@pytest.mark.parametrize(
    ("status", "code", "state", "reason"),
    [
        ("queued", None, "sent", "accepted"),
        ("accepted", None, "sent", "accepted"),
        ("sending", None, "sent", "accepted"),
        ("something new", None, "sent", "accepted"),
        ("sent", None, "sent", "accepted"),
        ("delivered", None, "delivered", "reported"),
        ("read", None, "delivered", "reported"),
        ("undelivered", 30003, "undelivered", "unreachable"),
        ("undelivered", None, "undelivered", "unclear"),
        ("failed", 30006, "failed", "bad_number"),
        ("failed", 21610, "suppressed", "provider_block"),
        ("undelivered", 21610, "suppressed", "provider_block"),
        ("canceled", None, "canceled", "canceled_at_provider"),
    ],
)
def test_every_meaning(
    bench: Bench, status: str, code: int | None, state: str, reason: str
) -> None:
    """A callback moves a row that is under way, sent or in doubt to what it says."""
    campaign, message_id = _sending(bench)
    for before in ("sending", "sent", "in_doubt", "unknown"):
        sid = new_sid(1) if before == "sent" else None
        bench.put(campaign, before, reason="before", sid=sid, lease_until=datetime.now(UTC))
        assert isinstance(_apply(bench, _callback(message_id, status, code)), Counted)
        row = bench.row(campaign)
        expected = (before, "before") if before == state else (state, reason)
        assert (row.state, row.reason) == expected
        assert row.sid == new_sid(1)
        assert row.lease_until is None or before == state


@pytest.mark.parametrize("order", list(itertools.permutations(["queued", "sent", "delivered"])))
def test_any_order(bench: Bench, order: tuple[str, ...]) -> None:
    """Whatever order they come in, and however often, delivered is the last word."""
    campaign, message_id = _sending(bench)
    for status in order + order:
        _apply(bench, _callback(message_id, status))
    row = bench.row(campaign)
    assert (row.state, row.provider_status) == ("delivered", "delivered")
    assert bench.value("SELECT count(*) FROM receipt") == 3


def test_a_failure_stays(bench: Bench) -> None:
    """A message that failed after it was accepted stays failed, whatever comes late."""
    campaign, message_id = _sending(bench)
    for status in ("failed", "sent", "queued", "delivered"):
        _apply(bench, _callback(message_id, status))
    assert bench.row(campaign).state == "failed"


def test_a_late_delivery_counts(bench: Bench) -> None:
    """Some carriers report undelivered first and a delivery later."""
    campaign, message_id = _sending(bench)
    for status in ("undelivered", "delivered"):
        _apply(bench, _callback(message_id, status))
    assert bench.row(campaign).state == "delivered"


async def _settle(bench: Bench, db: AsyncDatabase, campaign: int, outcome: Outcome) -> None:
    settlement = Settlement(messages=bench.messages, enforcement=ENFORCEMENT, cache=_NoCache())
    licence = bench.guard_all(campaign)[ANNA]
    handed = Handed(guarded=licence, hand_off=hand_off(outcome))
    await settlement.settle(db, [handed])


async def test_it_ends_a_doubt(bench: Bench, loop_db: AsyncDatabase) -> None:
    """Every callback proves the acceptance of a message whose answer was lost."""
    campaign = bench.campaign(ANNA)
    await _settle(bench, loop_db, campaign, Ambiguous(why="read_timeout"))
    assert bench.row(campaign).state == "in_doubt"
    _apply(bench, _callback(bench.row(campaign).id, "queued"))
    assert bench.row(campaign).state == "sent"


async def test_it_ends_a_mistake(bench: Bench, loop_db: AsyncDatabase) -> None:
    """A message we took for not begun is not sent again once its callback proves otherwise."""
    campaign = bench.campaign(ANNA)
    await _settle(bench, loop_db, campaign, NotBegun(why="connect_failed"))
    assert bench.row(campaign).state == "pending"
    _apply(bench, _callback(bench.row(campaign).id, "queued"))
    assert bench.row(campaign).state == "sent"
    assert not bench.guard_all(campaign)


class TestTogether:
    """Callbacks of many requests share a transaction."""

    async def test_a_bad_one_fails_alone(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """What Postgres cannot store fails for its own caller; its neighbours are counted."""
        people = crowd(5)
        campaign = bench.campaign(*people)
        ids = [one.message_id for one in bench.guard_all(campaign).values()]
        batch = [
            _callback(id_, "sent", MessageSid=new_sid(n), To=f"+{person}")
            for n, (id_, person) in enumerate(zip(ids, people, strict=True))
        ]
        batch[3] = replace(batch[3], status="not\0storable")
        receipts = Receipts(messages=bench.messages, enforcement=ENFORCEMENT)
        answers = await receipts.receive_each(loop_db, batch)
        assert [isinstance(one, Exception) for one in answers] == [False] * 3 + [True, False]
        stored = {person for person, state in bench.states(campaign).items() if state == "sent"}
        assert stored == {person for person in people if person != people[3]}

    async def test_without_postgres(self) -> None:
        """Where nothing can be stored nobody is answered, and nothing is halved."""
        db = AsyncDatabase.connect("postgresql+psycopg://nobody@127.0.0.1:1/none")
        receipts = Receipts(messages=MessageTable(), enforcement=ENFORCEMENT)
        with pytest.raises(DatabaseError):
            await receipts.receive_each(db, [_callback(uuid4(), "sent")] * 5)

    async def test_the_order_of_one_message(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """Of one message's callbacks in one batch the latest counts."""
        campaign, message_id = _sending(bench)
        batch = [_callback(message_id, status) for status in ("sent", "delivered")]
        receipts = Receipts(messages=bench.messages, enforcement=ENFORCEMENT)
        assert await receipts.receive_each(loop_db, batch) == [Counted()] * 2
        assert bench.row(campaign).state == "delivered"
        assert bench.value("SELECT count(*) FROM receipt") == 2


class TestRefused:
    """Callbacks that do not count are answered 404 and leave an alarm."""

    def test_an_unknown_message(self, bench: Bench) -> None:
        """No message has this id."""
        assert _apply(bench, _callback(uuid4(), "sent")) is Refusal.UNKNOWN_MESSAGE
        assert _alarms(bench) == ["callback_unknown_message"]

    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            ({"AccountSid": OTHER_ACCOUNT}, Refusal.FOREIGN_ACCOUNT),
            ({"To": f"+{BERT}"}, Refusal.OTHER_RECIPIENT),
            ({"To": f"whatsapp:+{ANNA}"}, Refusal.OTHER_RECIPIENT),
            ({"MessageSid": new_sid(2)}, Refusal.SECOND_SID),
        ],
    )
    def test_it_does_not_fit(self, bench: Bench, fields: dict[str, str], why: Refusal) -> None:
        """Another account, recipient or SID than the message's own changes nothing."""
        campaign, message_id = _sending(bench)
        bench.put(campaign, "sent", sid=new_sid(1))
        before = bench.row(campaign)
        assert _apply(bench, _callback(message_id, "delivered", None, **fields)) is why
        assert bench.row(campaign) == before
        assert _alarms(bench) == [f"callback_{why}"]
        assert bench.value("SELECT count(*) FROM receipt") == 0

    def test_a_missing_plus_is_forgiven(self, bench: Bench) -> None:
        """The recipient is compared as a number, not as text."""
        _, message_id = _sending(bench)
        assert isinstance(_apply(bench, _callback(message_id, "sent", To=f"{ANNA}")), Counted)


class TestOptedOut:
    """The asynchronous 21610."""

    def test_suppression_and_incident(self, bench: Bench) -> None:
        """It suppresses by the provider's word, and opens an incident through the callback door."""
        campaign, message_id = _sending(bench)
        counted = _apply(bench, _callback(message_id, "failed", 21610))
        assert isinstance(counted, Counted)
        sender = bench.sender_id(SENDER)
        assert {(one.scope, one.reason) for one in counted.suppressions} == {
            (0, "provider_block"),
            (sender, "provider_block"),
        }
        (incident,) = bench.execute("SELECT * FROM incident")
        assert (incident.message_id, incident.code, incident.door, incident.cause) == (
            message_id,
            21610,
            "callback",
            "imported_opted_out",
        )
        assert bench.row(campaign).provider_code == 21610

    def test_twice_is_once(self, bench: Bench) -> None:
        """A repeated callback opens no second incident and adds no second event."""
        _, message_id = _sending(bench)
        for _ in range(2):
            _apply(bench, _callback(message_id, "failed", 21610))
        assert bench.value("SELECT count(*) FROM incident") == 1
        assert bench.value("SELECT count(*) FROM consent_event") == 2

    def test_a_row_that_was_never_guarded_here(self, bench: Bench) -> None:
        """After a restore the provider knows of requests that we do not: it is believed."""
        campaign = bench.campaign(ANNA)
        _apply(bench, _callback(bench.row(campaign).id, "failed", 21610))
        assert bench.row(campaign).state == "suppressed"
        assert bench.is_suppressed()

    def test_a_newer_start_wins(self, bench: Bench) -> None:
        """A 21610 reported late does not suppress a person who sent START after our request."""
        _, message_id = _sending(bench)
        later = datetime.now(UTC) + timedelta(seconds=5)
        for scope in (0, bench.sender_id(SENDER)):
            start = consent_event(
                direction=Direction.OPT_IN,
                reason=None,
                provider_at=later,
                source="inbound",
                scope=scope,
            )
            bench.db.run(consent.append, start)
        _apply(bench, _callback(message_id, "failed", 21610))
        assert not bench.is_suppressed()
        assert bench.value("SELECT count(*) FROM incident") == 1

    def test_a_start_to_one_sender_narrows_it(self, bench: Bench) -> None:
        """After a START the next block covers the sender it came from, not the whole tenant."""
        other = bench.campaign(ANNA, sender=OTHER_SENDER)
        start = consent_event(
            direction=Direction.OPT_IN,
            reason=None,
            provider_at=datetime.now(UTC) - timedelta(hours=1),
            source="inbound",
        )
        bench.db.run(consent.append, start)
        _, message_id = _sending(bench)
        _apply(bench, _callback(message_id, "failed", 21610))
        (entry,) = bench.execute("SELECT scope FROM suppression")
        assert entry.scope == bench.sender_id(SENDER)
        assert set(bench.guard_all(other)) == {ANNA}

    def test_a_stop_that_comes_after_it_explains_it(self, bench: Bench) -> None:
        """A STOP that arrives just after its 21610 turns the incident into a race."""
        _, message_id = _sending(bench)
        _apply(bench, _callback(message_id, "failed", 21610))
        bench.stop(sid="SM1")
        (incident,) = bench.execute("SELECT cause, detail FROM incident")
        assert incident.cause == "raced_stop"
        assert 0 < incident.detail["raced_by_ms"] < 30_000

    def test_an_old_incident_stays(self, bench: Bench) -> None:
        """A STOP long after a 21610 explains nothing."""
        _, message_id = _sending(bench)
        _apply(bench, _callback(message_id, "failed", 21610))
        bench.execute(
            "UPDATE incident SET began_at = now() - interval '1 hour', created_at = now()"
            " - interval '1 hour'"
        )
        bench.stop(sid="SM1")
        assert bench.value("SELECT cause FROM incident") == "imported_opted_out"

    async def test_accepted_first(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """The usual way with a Messaging Service: accepted, and then 21610."""
        campaign = bench.campaign(ANNA)
        accepted = Accepted(sid=new_sid(1), provider_status="accepted")
        await _settle(bench, loop_db, campaign, accepted)
        _apply(bench, _callback(bench.row(campaign).id, "failed", 21610))
        assert bench.row(campaign).state == "suppressed"
        assert bench.is_suppressed()
