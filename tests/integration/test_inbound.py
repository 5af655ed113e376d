"""What an inbound message changes: whom it concerns, what it lifts, and what is answered."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sender.domain.consent import ReasonClass
from sender.domain.keywords import Keyword
from sender.domain.replies import ReplyEvent
from sender.errors import NotFound
from sender.inbound import Applied, Inbound
from sender.storage import consent, inbound, pools, replies
from sender.storage.database import AsyncDatabase
from tests.bench import (
    ANNA,
    BERT,
    CARL,
    DORA,
    ENFORCEMENT,
    OTHER_ACCOUNT,
    OTHER_SENDER,
    OTHER_TENANT,
    SENDER,
    SERVICE,
    TENANT,
    Bench,
    crowd,
    inbound_text,
)

TOLL_FREE, SHORT_CODE = "+18885550100", "72345"
OTHER_SERVICE = "MG" + "6" * 32
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def _apply(bench: Bench, body: str, *, sid: str = "SM1", **facts: object) -> Applied:
    wanted = inbound_text(body, ANNA, sid=sid, **facts)
    return bench.db.run(Inbound(enforcement=ENFORCEMENT).apply, wanted)


def _scopes(bench: Bench) -> set[int]:
    return {row.scope for row in bench.execute("SELECT scope FROM suppression")}


def _per_sender(bench: Bench) -> None:
    bench.execute("UPDATE tenant SET stop_scope = 'sender'")


def _date(bench: Bench, *sids: str) -> None:
    """Date these messages, a minute apart, and fold anew as the consumer does."""
    with bench.db.transaction() as tx:
        for minutes, sid in enumerate(sids):
            inbound.set_provider_time(tx, sid, NOON + timedelta(minutes=minutes))
        consent.lock_person(tx, tenant_id=TENANT, recipient=ANNA)
        consent.refold(tx, tenant_id=TENANT, recipient=ANNA)


class TestPools:
    """A number and its Messaging Services."""

    def test_a_webhook_teaches_the_pool(self, bench: Bench) -> None:
        """A message that names number and service enters both, and that they belong together."""
        _apply(bench, "hello", to=OTHER_SENDER, service_sid=SERVICE)
        number, service = bench.sender_id(OTHER_SENDER), bench.sender_id(SERVICE)
        found = bench.execute(
            "SELECT scope FROM sender_scope WHERE sender_id = :id ORDER BY scope", id=number
        )
        assert {row.scope for row in found} == {number, service}

    def test_without_a_service_nothing_is_entered(self, bench: Bench) -> None:
        """A text to a number that nobody entered is kept and alarmed, and enters no sender."""
        _apply(bench, "STOP", to=OTHER_SENDER)
        assert bench.value("SELECT count(*) FROM sender") == 0
        assert bench.value("SELECT kind FROM alarm") == "inbound_unattributed"
        assert _scopes(bench) == {0}

    def test_another_tenants_number_is_not_taken(self, bench: Bench) -> None:
        """A webhook can neither take nor touch a sender that is another tenant's."""
        bench.second_tenant()
        bench.execute("UPDATE tenant SET stop_scope = 'sender'")
        bench.campaign(sender=OTHER_SENDER, tenant_id=OTHER_TENANT, run=False)
        with bench.db.transaction() as tx:
            found = pools.addressed(tx, TENANT, number=OTHER_SENDER, service=SERVICE)
        assert found.sender_ids == (bench.sender_id(SERVICE),)
        owner = bench.value("SELECT tenant_id FROM sender WHERE address = :a", a=OTHER_SENDER)
        assert owner == OTHER_TENANT

    def test_a_stop_covers_number_and_every_service(self, bench: Bench) -> None:
        """Kept per sender, a STOP covers the number and each service it is or was in."""
        _per_sender(bench)
        _apply(bench, "hello", sid="SM1", service_sid=OTHER_SERVICE)
        _apply(bench, "hello", sid="SM2", service_sid=SERVICE)
        events = _apply(bench, "STOP", sid="SM3").event_ids
        every = {bench.sender_id(one) for one in (SENDER, SERVICE, OTHER_SERVICE)}
        assert _scopes(bench) == every
        assert len(events) == len(every)

    def test_a_stop_to_a_service_spares_the_others(self, bench: Bench) -> None:
        """Kept per sender, a STOP to one service leaves another service's campaigns alone."""
        _per_sender(bench)
        bench.sender_id(OTHER_SERVICE)
        _apply(bench, "STOP", service_sid=SERVICE)
        other = bench.campaign(ANNA, sender=OTHER_SERVICE)
        mine = bench.campaign(ANNA, sender=SERVICE)
        from_the_number = bench.campaign(ANNA, sender=SENDER)
        assert list(bench.guard_all(other)) == [ANNA]
        assert bench.guard_all(mine) == bench.guard_all(from_the_number) == {}


class TestStart:
    """What the recipient's own START opens."""

    def test_it_opens_what_was_answered(self, bench: Bench) -> None:
        """Kept per sender, a START to one sender leaves the other's STOP in force."""
        _per_sender(bench)
        mine, other = bench.sender_id(SENDER), bench.sender_id(OTHER_SENDER)
        _apply(bench, "STOP", sid="SM1")
        _apply(bench, "STOP", sid="SM2", to=OTHER_SENDER)
        _apply(bench, "START", sid="SM3")
        _date(bench, "SM1", "SM2", "SM3")
        assert _scopes(bench) == {other}
        assert mine != other

    def test_it_opens_where_an_unknown_address_was_closed(self, bench: Bench) -> None:
        """A STOP and then a START to an address nobody knows cancel each other out."""
        _per_sender(bench)
        _apply(bench, "STOP", sid="SM1", to=OTHER_SENDER)
        assert _scopes(bench) == {0}
        _apply(bench, "START", sid="SM2", to=OTHER_SENDER)
        _date(bench, "SM1", "SM2")
        assert _scopes(bench) == set()

    def test_a_start_to_a_known_sender_does_not_open_the_rest(self, bench: Bench) -> None:
        """Kept per sender, a START to one sender does not lift a STOP that covers all."""
        bench.sender_id()
        _apply(bench, "STOP", sid="SM1")
        _per_sender(bench)
        _apply(bench, "START", sid="SM2")
        _date(bench, "SM1", "SM2")
        assert _scopes(bench) == {0}

    @pytest.mark.parametrize("word", ["YES", "yes!"])
    def test_yes_lifts_only_who_is_opted_out(self, bench: Bench, word: str) -> None:
        """YES is an opt-in from an opted-out person, and an answer from anybody else."""
        assert _apply(bench, word, sid="SM1").keyword is Keyword.NONE
        _apply(bench, "STOP", sid="SM2")
        assert _apply(bench, word, sid="SM3").keyword is Keyword.START

    def test_yes_does_not_undo_a_complaint(self, bench: Bench) -> None:
        """Who complained and never texted STOP is not opted in by a YES."""
        bench.opt_out(reason=ReasonClass.COMPLAINT)
        assert _apply(bench, "YES").keyword is Keyword.NONE

    @pytest.mark.parametrize(
        ("word", "opt_out_type", "keyword"),
        [
            ("START", None, Keyword.START),
            ("unstop", None, Keyword.START),
            ("YES", None, Keyword.NONE),
            ("YES", "START", Keyword.NONE),
            ("RESUME", "START", Keyword.NONE),
        ],
    )
    def test_a_toll_free_network_knows_two_words(
        self, bench: Bench, word: str, opt_out_type: str | None, keyword: Keyword
    ) -> None:
        """On a toll-free number only START and UNSTOP opt in, whatever Twilio calls the word."""
        bench.sender_id(TOLL_FREE)
        _apply(bench, "STOP", sid="SM1", to=TOLL_FREE)
        applied = _apply(bench, word, sid="SM2", to=TOLL_FREE, opt_out_type=opt_out_type)
        assert applied.keyword is keyword


class TestAnswers:
    """The text in the TwiML, where one was set."""

    @pytest.fixture
    def short_code(self, bench: Bench) -> str:
        """A short code with a text for each event."""
        sender_id = bench.sender_id(SHORT_CODE)
        with bench.db.transaction() as tx:
            for event in ReplyEvent:
                replies.set_text(tx, sender_id, event, f"about {event}")
        return SHORT_CODE

    def test_one_confirmation(self, bench: Bench, short_code: str) -> None:
        """The first STOP is confirmed, the next is not; the START after it is."""
        said = [
            _apply(bench, body, sid=f"SM{n}", to=short_code).reply
            for n, body in enumerate(["STOP", "stop", "START"])
        ]
        assert said == ["about stop", "", "about start"]

    def test_a_repeated_webhook_gets_the_same(self, bench: Bench, short_code: str) -> None:
        """A webhook that Twilio repeats is answered as the first time: one of them arrives."""
        first = _apply(bench, "STOP", to=short_code)
        again = _apply(bench, "STOP", to=short_code)
        assert first.reply == again.reply == "about stop"
        assert first.event_ids == again.event_ids

    def test_after_five_minutes_it_is_too_late(self, bench: Bench, short_code: str) -> None:
        """A confirmation is not sent later than five minutes after the STOP."""
        _apply(bench, "STOP", to=short_code)
        bench.execute("UPDATE inbound SET received_at = received_at - interval '5 minutes'")
        assert _apply(bench, "STOP", to=short_code).reply == ""

    def test_off_by_default(self, bench: Bench) -> None:
        """A sender for which nothing was set answers nothing."""
        bench.sender_id(SHORT_CODE)
        assert _apply(bench, "STOP", to=SHORT_CODE).reply == ""

    def test_a_text_can_be_taken_back(self, bench: Bench, short_code: str) -> None:
        """An empty text ends the answers to its event."""
        with bench.db.transaction() as tx:
            replies.set_text(tx, bench.sender_id(short_code), ReplyEvent.HELP, "")
        assert _apply(bench, "HELP", to=short_code).reply == ""

    def test_the_services_text_comes_before_the_numbers(self, bench: Bench) -> None:
        """Of two texts for one event the service's is said."""
        for address in (SERVICE, SHORT_CODE):
            with bench.db.transaction() as tx:
                replies.set_text(tx, bench.sender_id(address), ReplyEvent.HELP, address)
        assert _apply(bench, "HELP", to=SHORT_CODE, service_sid=SERVICE).reply == SERVICE


class TestEvidence:
    """What is kept of a message in the log."""

    def test_the_words_stand_beside_the_event(self, bench: Bench) -> None:
        """The event's evidence has the words, the SID, where it was sent and by what channel."""
        _apply(bench, "Stop", service_sid=SERVICE, opt_out_type="STOP")
        (row,) = bench.execute("SELECT content FROM consent_evidence")
        assert row.content == {
            "text": "Stop",
            "message_sid": "SM1",
            "sender": SENDER,
            "service": SERVICE,
            "channel": "sms",
            "opt_out_type": "STOP",
        }


class TestTogether:
    """Texts that come together share a transaction."""

    async def test_each_has_its_own_answer(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """A STOP, small talk, a START and a stranger's account, each as if it had come alone."""
        bench.second_tenant()
        bench.campaign(ANNA, BERT, CARL)
        texts = [
            inbound_text("STOP", ANNA, sid="SM-1"),
            inbound_text("thanks", BERT, sid="SM-2"),
            inbound_text("START", CARL, sid="SM-3"),
            inbound_text("STOP", DORA, sid="SM-4", account_sid="AC" + "f" * 32),
            inbound_text("STOP", ANNA, sid="SM-5", account_sid=OTHER_ACCOUNT),
        ]
        anna, bert, carl, dora, theirs = await Inbound(enforcement=ENFORCEMENT).receive_each(
            loop_db, texts
        )
        assert isinstance(anna, Applied)
        assert isinstance(theirs, Applied)
        assert [(s.tenant_id, s.recipient) for s in anna.suppressions] == [(TENANT, ANNA)]
        assert [(s.tenant_id, s.recipient) for s in theirs.suppressions] == [(OTHER_TENANT, ANNA)]
        assert len(anna.event_ids) == len(theirs.event_ids) == 1
        assert bert == Applied(keyword=Keyword.NONE)
        assert carl == Applied(keyword=Keyword.START)
        assert isinstance(dora, NotFound)
        assert bench.is_suppressed(ANNA)
        assert bench.value("SELECT count(*) FROM inbound") == 4

    @pytest.mark.parametrize(
        ("bodies", "suppressed"),
        [(["STOP", "START"], False), (["STOP", "START", "STOP"], True), (["STOP", "yes"], False)],
    )
    def test_one_person_s_in_their_order(
        self, bench: Bench, bodies: list[str], *, suppressed: bool
    ) -> None:
        """What a text means depends on those before it, also on those it came with."""
        bench.campaign(ANNA)
        texts = [inbound_text(body, ANNA, sid=f"SM-{n}") for n, body in enumerate(bodies)]
        together = Inbound(enforcement=ENFORCEMENT)
        first = [_read(answer) for answer in bench.db.run(together.apply_all, texts)]
        again = [_read(bench.db.run(together.apply, one)) for one in texts]
        assert first == again
        _date(bench, *(text.sid for text in texts))
        assert bench.is_suppressed(ANNA) is suppressed

    def test_a_repeat_in_the_same_batch(self, bench: Bench) -> None:
        """One MessageSid twice is one event, and both wait for it."""
        texts = [inbound_text("STOP", ANNA, sid="SM-1")] * 2
        first, second = bench.db.run(Inbound(enforcement=ENFORCEMENT).apply_all, texts)
        assert first == second
        assert bench.value("SELECT count(*) FROM consent_event") == 1

    async def test_a_bad_one_fails_alone(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """What Postgres cannot take fails for its own caller; its neighbours' STOPs stand."""
        texts = [inbound_text("STOP", one, sid=f"SM-{one}") for one in crowd(5)]
        texts[2] = replace(texts[2], to="+1\x00")
        answers = await Inbound(enforcement=ENFORCEMENT).receive_each(loop_db, texts)
        assert [isinstance(one, Applied) for one in answers] == [True, True, False, True, True]
        assert bench.value("SELECT count(*) FROM enforcement") == 4


def _read(answer: Applied | NotFound) -> tuple[Keyword, tuple[int, ...]]:
    assert isinstance(answer, Applied)
    return answer.keyword, answer.event_ids
