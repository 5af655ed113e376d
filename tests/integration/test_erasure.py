"""Erasure: people's words go, on request or by age; the chain and the list stay."""

from datetime import timedelta

import pytest

from sender.domain.consent import ReasonClass
from sender.domain.message import State
from sender.erasing import Erased, Erasures
from sender.errors import ErasureRefused, InvalidRecipient
from sender.sealing import Sealer
from sender.storage import erasure
from sender.verifying import Verdict, Verification
from tests.bench import ANNA, BERT, CARL, OTHER_TENANT, TENANT, Bench, crowd

#: Everything in the tests is older.
AT_ONCE = timedelta(microseconds=1)
FIELDS = '{"first_name": "Anna"}'


def _verify(bench: Bench) -> Verdict:
    return Verification(db=bench.db).verify()


def _person(bench: Bench, tenant_id: int = TENANT) -> Erased:
    return Erasures(db=bench.db, tenant_id=tenant_id).person(f"+{ANNA}", author="dpo")


def _old(bench: Bench, tenant_id: int = TENANT) -> Erased:
    return Erasures(db=bench.db, tenant_id=tenant_id).older_than(AT_ONCE, author="dpo")


def _filled(bench: Bench) -> None:
    """Three opt-outs in the people's words and an opt-in, most of them sealed."""
    bench.stop(ANNA, sid="SM1")
    bench.stop(BERT, sid="SM2")
    bench.text("START", BERT, sid="SM3")
    Sealer(db=bench.db).seal()
    bench.stop(CARL, sid="SM4")


def test_a_persons_words(bench: Bench) -> None:
    """After it nothing of their words is left, they are still suppressed, and all verifies."""
    _filled(bench)
    campaign = bench.campaign(ANNA)
    bench.put(campaign, "suppressed", fields='{"first_name": "Anna"}')
    done = Erasures(db=bench.db, tenant_id=TENANT).person(f"+{ANNA}", author="dpo")
    assert (done.evidence, done.inbound, done.messages) == (1, 1, 1)
    kept = bench.execute("SELECT body, raw, reply FROM inbound WHERE sid = 'SM1'")[0]
    assert tuple(kept) == ("", {}, "")
    assert bench.row(campaign).fields is None
    verdict = _verify(bench)
    assert verdict.ok
    assert verdict.erased == 1
    assert bench.is_suppressed(ANNA)


def test_others_keep_theirs(bench: Bench) -> None:
    """Nobody else's evidence is touched, nor another tenant's."""
    _filled(bench)
    Erasures(db=bench.db, tenant_id=TENANT).person(f"+{ANNA}", author="dpo")
    Erasures(db=bench.db, tenant_id=2).person(f"+{BERT}", author="dpo")
    left = bench.value("SELECT count(*) FROM consent_evidence WHERE content IS NOT NULL")
    assert left == 3


def test_what_may_still_be_sent_keeps_its_fields(bench: Bench) -> None:
    """The fields of a message that is not over are still needed to write it."""
    campaign = bench.campaign(ANNA)
    bench.put(campaign, "pending", fields='{"first_name": "Anna"}')
    Erasures(db=bench.db, tenant_id=TENANT).person(f"+{ANNA}", author="dpo")
    assert bench.row(campaign).fields == {"first_name": "Anna"}


def test_by_age(bench: Bench) -> None:
    """What is older than the age goes, for everybody; what is younger stays."""
    _filled(bench)
    erasures = Erasures(db=bench.db, tenant_id=TENANT)
    assert erasures.older_than(timedelta(days=1), author="dpo").evidence == 0
    done = erasures.older_than(timedelta(microseconds=1), author="dpo")
    assert (done.evidence, done.inbound) == (4, 4)
    assert _verify(bench).ok


def test_an_undecided_review_keeps_its_words(bench: Bench) -> None:
    """Words that a person still has to read are not erased before."""
    bench.opt_out(reason=ReasonClass.REVIEW, evidence={"text": "why me"})
    done = Erasures(db=bench.db, tenant_id=TENANT).person(f"+{ANNA}", author="dpo")
    assert done.evidence == 0


def test_somebody_is_named(bench: Bench) -> None:
    """Nobody erases anonymously, nor everything at once by mistake."""
    erasures = Erasures(db=bench.db, tenant_id=TENANT)
    with pytest.raises(ErasureRefused):
        erasures.person(f"+{ANNA}", author=" ")
    with pytest.raises(ErasureRefused):
        erasures.older_than(timedelta(), author="dpo")


def test_who_did_it_is_on_record(bench: Bench) -> None:
    """Each erased piece of evidence says since when and by whom."""
    _filled(bench)
    _person(bench)
    found = bench.execute("SELECT erased_at, erased_by FROM consent_evidence WHERE erased_by <> ''")
    assert [(row.erased_by, row.erased_at is None) for row in found] == [("dpo", False)]


def test_again(bench: Bench) -> None:
    """A second time there is nothing left to erase, and nobody's name is written over."""
    _filled(bench)
    _person(bench)
    assert _person(bench) == Erased(evidence=0, inbound=0, messages=0)
    Erasures(db=bench.db, tenant_id=TENANT).older_than(AT_ONCE, author="other")
    assert bench.value("SELECT count(*) FROM consent_evidence WHERE erased_by = 'dpo'") == 1


def test_a_repeated_webhook_brings_nothing_back(bench: Bench) -> None:
    """What was erased stays erased when the provider sends it once more."""
    bench.stop(ANNA, sid="SM1")
    _person(bench)
    bench.stop(ANNA, sid="SM1")
    assert bench.value("SELECT body FROM inbound") == ""
    assert bench.value("SELECT count(*) FROM consent_evidence WHERE content IS NOT NULL") == 0
    assert bench.is_suppressed(ANNA)


def test_any_spelling_and_no_name(bench: Bench) -> None:
    """The number is read as everywhere else; what is none is refused."""
    bench.stop(ANNA, sid="SM1")
    erasures = Erasures(db=bench.db, tenant_id=TENANT)
    assert erasures.person("+1 (415) 555-2001", author="dpo").evidence == 1
    with pytest.raises(InvalidRecipient):
        erasures.person("Anna", author="dpo")


@pytest.mark.parametrize("state", State)
def test_fields_are_kept_as_long_as_they_are_needed(bench: Bench, state: State) -> None:
    """A body may have to be written or compared while a message is not over, and no longer."""
    campaign = bench.campaign(ANNA)
    bench.put(campaign, state.value, fields=FIELDS)
    needed = state in {State.PENDING, State.SENDING, State.IN_DOUBT, State.UNKNOWN}
    assert _person(bench).messages == (not needed)
    assert (bench.row(campaign).fields is None) == (not needed)


def test_another_tenants_messages_keep_their_fields(bench: Bench) -> None:
    """A person's erasure with one tenant is none with another."""
    bench.second_tenant()
    campaign = bench.campaign(ANNA)
    bench.put(campaign, "delivered", fields=FIELDS)
    assert _person(bench, OTHER_TENANT).messages == _old(bench, OTHER_TENANT).messages == 0


@pytest.mark.parametrize("ended", ["completed_at", "deadline_at"])
def test_fields_go_by_the_campaigns_age(bench: Bench, ended: str) -> None:
    """They are as old as the end of their campaign, whenever it was created."""
    campaign = bench.campaign(ANNA)
    bench.put(campaign, "delivered", fields=FIELDS)
    bench.execute("UPDATE campaign SET deadline_at = now() + interval '1 day'")
    assert _old(bench).messages == 0
    bench.execute(f"UPDATE campaign SET {ended} = now() - interval '1 day'")  # noqa: S608  # ours
    assert _old(bench).messages == 1


def test_page_by_page(bench: Bench) -> None:
    """However many pages there are, each row is looked at, in transactions of a page each."""
    people = crowd(7)
    for number, who in enumerate(people):
        bench.stop(who, sid=f"SM{number}")
    order = erasure.Order(tenant_id=TENANT, author="dpo", over=[])
    bench.execute("UPDATE inbound SET received_at = now() + interval '1 hour' WHERE sid = 'SM3'")
    small = erasure.Bounds(age=AT_ONCE, rows=2)
    after, emptied = erasure.INBOUND.before_all, []
    while page := bench.db.run(erasure.erase_page, erasure.INBOUND, order, small, after=after):
        after = page.upto
        emptied.append(page.emptied)
    assert emptied == [2, 1, 2, 1]


def test_rows_that_need_no_erasing_end_nothing(bench: Bench) -> None:
    """A page that was erased before is passed over, not taken for the end."""
    for number, who in enumerate(crowd(4)):
        bench.stop(who, sid=f"SM{number}")
    order = erasure.Order(tenant_id=TENANT, author="dpo", over=[])
    bounds = erasure.Bounds(age=AT_ONCE, rows=2)
    bench.db.run(erasure.erase_page, erasure.INBOUND, order, bounds, after="")
    assert _old(bench).inbound == 2


def test_the_platforms_list(bench: Bench) -> None:
    """Evidence of the operator's own list is erased like a tenant's, and its entries stay."""
    bench.opt_out(tenant_id=0, reason=ReasonClass.COMPLAINT, evidence={"letter": "17"})
    assert _person(bench).evidence == 0
    assert _person(bench, 0).evidence == 1
    assert bench.is_suppressed(ANNA)
    assert _verify(bench).ok
