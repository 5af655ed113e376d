"""Messages that may be opt-outs: nobody is texted until a person has decided."""

import pytest
from sqlalchemy import text

from sender.closing import close_out
from sender.domain.consent import ReasonClass
from sender.domain.keywords import Keyword, classify
from sender.errors import NotFound, ReviewRefused
from sender.optouts import OptOuts
from sender.reviewing import Review, Reviews
from sender.storage import inbound
from tests.bench import (
    ANNA,
    BERT,
    ENFORCEMENT,
    OTHER_ACCOUNT,
    OTHER_SENDER,
    OTHER_TENANT,
    SENDER,
    TENANT,
    Bench,
)
from tests.pump_rig import Rig

DOUBTFUL = "why are you texting me"
OTHER_DOUBT = "who is this?"
_NOW = text("SELECT clock_timestamp()")


def _reviews(bench: Bench, tenant_id: int = TENANT) -> Reviews:
    return Reviews(db=bench.db, tenant_id=tenant_id, enforcement=ENFORCEMENT)


def _only(bench: Bench) -> Review:
    (review,) = _reviews(bench).queue()
    return review


def _reasons(bench: Bench, recipient: int = ANNA) -> set[str]:
    opt_outs = OptOuts(db=bench.db, tenant_id=TENANT, enforcement=ENFORCEMENT)
    return {one.reason.value for one in opt_outs.check(f"+{recipient}")}


@pytest.mark.parametrize("text", [DOUBTFUL, OTHER_DOUBT])
def test_the_texts_of_this_file_are_doubtful(text: str) -> None:
    """What these tests send is taken for what may be an opt-out."""
    assert classify(text) is Keyword.REVIEW


class TestHeld:
    """Between the message and the decision."""

    async def test_the_message_stays_pending_and_others_go(self, rig: Rig) -> None:
        """A held recipient's row stays pending, says why and rests; nobody else waits."""
        campaign = rig.bench.campaign(ANNA, BERT)
        rig.bench.text(DOUBTFUL, sid="SM1")
        await rig.work()
        await rig.work()
        row = rig.bench.row(campaign)
        assert (row.state, row.reason) == ("pending", "review")
        assert row.next_at > row.changed_at
        assert rig.gateway.recipients == [BERT]

    async def test_a_hit_in_redis_holds_as_well(self, rig: Rig) -> None:
        """A number the Redis set knows is held just so, and not taken for a wrong entry."""
        rig.warm(ANNA)
        campaign = rig.bench.campaign(ANNA)
        rig.bench.text(DOUBTFUL, sid="SM1")
        await rig.work()
        assert rig.bench.row(campaign).reason == "review"
        assert rig.gateway.recipients == []

    def test_the_deadline_ends_it(self, bench: Bench) -> None:
        """At the campaign's deadline a held row expires, and says that it was never read."""
        campaign = bench.campaign(ANNA)
        bench.text(DOUBTFUL, sid="SM1")
        rows = bench.due(campaign)
        bench.db.run(bench.messages.suppress, [row.id for row in rows])
        bench.execute("UPDATE campaign SET deadline_at = now()")
        assert close_out(bench.db, campaign) == 1
        row = bench.row(campaign)
        assert (row.state, row.reason) == ("expired", "review")

    def test_nothing_waits_for_enforcement(self, bench: Bench) -> None:
        """A doubtful message asks for no enforcement: its webhook is answered at once."""
        assert bench.text(DOUBTFUL, sid="SM1") is None
        assert bench.value("SELECT count(*) FROM enforcement") == 0
        assert _reasons(bench) == {"review"}

    def test_who_has_opted_out_needs_no_review(self, bench: Bench) -> None:
        """A doubtful message of somebody who has opted out changes nothing."""
        bench.stop()
        bench.text(DOUBTFUL, sid="SM2")
        assert _reviews(bench).queue() == []
        assert _reasons(bench) == {"stop"}

    def test_a_stop_still_withdraws(self, bench: Bench) -> None:
        """A STOP after a doubtful message settles the row that waited."""
        campaign = bench.campaign(ANNA)
        bench.text(DOUBTFUL, sid="SM1")
        event = bench.stop(sid="SM2")
        assert event is not None
        assert bench.enforced(event)
        assert (bench.row(campaign).state, bench.row(campaign).reason) == ("suppressed", "stop")

    def test_an_old_stop_does_not_settle_what_a_review_holds(self, bench: Bench) -> None:
        """A STOP that was lifted before it was enforced withdraws nothing that a review holds."""
        event = bench.opt_out(ANNA)
        opt_outs = OptOuts(db=bench.db, tenant_id=TENANT, enforcement=ENFORCEMENT)
        bench.execute("DELETE FROM suppression")  # as a START leaves it
        bench.text(DOUBTFUL, sid="SM1")
        bench.execute("DELETE FROM suppression WHERE reason = 'stop'")
        campaign = bench.campaign(ANNA)
        assert bench.enforced(event)
        assert bench.row(campaign).state == "pending"
        assert opt_outs.check(f"+{ANNA}")[0].reason is ReasonClass.REVIEW


class TestQueue:
    """What the person who decides sees."""

    def test_it_shows_the_words_and_what_waits(self, bench: Bench) -> None:
        """A review has all that the person wrote, where to, and how many messages wait."""
        bench.campaign(ANNA, BERT)
        bench.text(DOUBTFUL, sid="SM1")
        bench.text(OTHER_DOUBT, sid="SM2")
        review = _only(bench)
        assert (review.recipient, review.texts) == (ANNA, (DOUBTFUL, OTHER_DOUBT))
        assert (review.sender, review.messages_waiting) == (SENDER, 1)

    def test_the_longest_waiting_comes_first(self, bench: Bench) -> None:
        """Reviews are in the order in which people began to wait."""
        bench.text(DOUBTFUL, BERT, sid="SM1")
        bench.text(DOUBTFUL, ANNA, sid="SM2")
        assert [one.recipient for one in _reviews(bench).queue()] == [BERT, ANNA]

    def test_a_repeated_webhook_is_one_text(self, bench: Bench) -> None:
        """The same message twice stands in the queue once."""
        bench.text(DOUBTFUL, sid="SM1")
        bench.text(DOUBTFUL, sid="SM1")
        assert _only(bench).texts == (DOUBTFUL,)

    def test_it_is_the_tenants_own(self, bench: Bench) -> None:
        """No tenant sees or decides another's reviews."""
        bench.second_tenant()
        bench.sender_id()
        bench.text(DOUBTFUL, sid="SM1")
        theirs = _reviews(bench, OTHER_TENANT)
        assert theirs.queue() == []
        for decide in (theirs.confirm, theirs.dismiss):
            with pytest.raises(NotFound):
                decide(_only(bench).id, author="eve", note="mine now")
        bench.text(DOUBTFUL, BERT, sid="SM2", account_sid=OTHER_ACCOUNT, to=OTHER_SENDER)
        assert [one.recipient for one in theirs.queue()] == [BERT]


class TestDecided:
    """After the decision."""

    def test_confirmed_is_an_opt_out(self, bench: Bench) -> None:
        """A confirmed review is a free-text opt-out in force, with who decided on record."""
        campaign = bench.campaign(ANNA)
        bench.text(DOUBTFUL, sid="SM1")
        assert _reviews(bench).confirm(_only(bench).id, author="ann")
        assert _reasons(bench) == {"free_text"}
        assert (bench.row(campaign).state, bench.row(campaign).reason) == (
            "suppressed",
            "free_text",
        )
        assert _reviews(bench).queue() == []
        authors = bench.execute("SELECT author FROM consent_event WHERE source = 'review'")
        assert {row.author for row in authors} == {"ann"}

    async def test_dismissed_is_sent(self, rig: Rig) -> None:
        """A dismissed review lets the person be texted again, without a hand."""
        campaign = rig.bench.campaign(ANNA)
        rig.bench.text(DOUBTFUL, sid="SM1")
        await rig.work()
        _reviews(rig.bench).dismiss(_only(rig.bench).id, author="ann", note="a question")
        rig.bench.execute("UPDATE message SET next_at = now()")  # the minute's rest is over
        await rig.work()
        assert rig.gateway.recipients == [ANNA]
        assert rig.bench.row(campaign).state == "sent"
        assert _reasons(rig.bench) == set()

    def test_an_unread_text_cannot_be_dismissed(self, bench: Bench) -> None:
        """Who wrote again after the reviewer looked is not decided on unread words."""
        bench.text(DOUBTFUL, sid="SM1")
        read = _only(bench).id
        bench.text(OTHER_DOUBT, sid="SM2")
        with pytest.raises(ReviewRefused, match="wrote again"):
            _reviews(bench).dismiss(read, author="ann", note="a question")
        assert _reasons(bench) == {"review"}

    def test_a_later_doubt_is_a_new_review(self, bench: Bench) -> None:
        """A dismissal ends what was read, not what the person writes afterwards."""
        bench.text(DOUBTFUL, sid="SM1")
        _reviews(bench).dismiss(_only(bench).id, author="ann", note="a question")
        bench.text(OTHER_DOUBT, sid="SM2")
        assert _only(bench).texts == (OTHER_DOUBT,)

    def test_it_is_decided_once(self, bench: Bench) -> None:
        """A review that is decided cannot be decided again."""
        bench.text(DOUBTFUL, sid="SM1")
        review = _only(bench).id
        _reviews(bench).confirm(review, author="ann")
        with pytest.raises(ReviewRefused, match="decided already"):
            _reviews(bench).dismiss(review, author="bob", note="a question")
        assert _reasons(bench) == {"free_text"}

    @pytest.mark.parametrize(("author", "note"), [("", "a question"), ("ann", " ")])
    def test_a_dismissal_says_who_and_why(self, bench: Bench, author: str, note: str) -> None:
        """Without an author or a note nothing is dismissed."""
        bench.text(DOUBTFUL, sid="SM1")
        with pytest.raises(ReviewRefused):
            _reviews(bench).dismiss(_only(bench).id, author=author, note=note)
        assert _reasons(bench) == {"review"}

    def test_a_start_since_then_counts(self, bench: Bench) -> None:
        """Confirmed late, the opt-out is dated as its message was: a newer START stands."""
        bench.text(DOUBTFUL, sid="SM1")
        bench.text("START", sid="SM2")
        with bench.db.transaction() as tx:
            at = tx.execute(_NOW).scalar_one()
            inbound.set_provider_time(tx, "SM2", at)
        _reviews(bench).confirm(_only(bench).id, author="ann")
        assert _reasons(bench) == set()
