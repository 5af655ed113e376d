"""The chain over the consent log: what it seals, and every kind of tampering it shows."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from sender.domain.consent import ReasonClass
from sender.erasing import Erasures
from sender.errors import ErasureRefused
from sender.sealing import Sealer
from sender.storage import inbound
from sender.verifying import Verdict, Verification
from tests.bench import ANNA, BERT, CARL, TENANT, Bench

TABLES = ("consent_event", "consent_time", "consent_seal")


def _seal(bench: Bench) -> int:
    return Sealer(db=bench.db).seal()


def _verify(bench: Bench, **wanted: object) -> Verdict:
    return Verification(db=bench.db).verify(**wanted)  # type: ignore[arg-type]


def _filled(bench: Bench) -> None:
    """Three people, an opt-in with its time, two links and an unsealed tail."""
    bench.stop(ANNA, sid="SM1")
    bench.stop(BERT, sid="SM2")
    _seal(bench)
    bench.text("START", BERT, sid="SM3")
    with bench.db.transaction() as tx:
        inbound.set_provider_time(tx, "SM1", tx.execute(text("SELECT now()")).scalar_one())
    _seal(bench)
    bench.stop(CARL, sid="SM4")


def _tamper(bench: Bench, *statements: str) -> None:
    """Change what nobody may, as a superuser can who switches the triggers off and on again."""
    switch = "ALTER TABLE {} {} TRIGGER append_only"
    with bench.db.transaction() as tx:
        for table in TABLES:
            tx.execute(text(switch.format(table, "DISABLE")))
        for statement in statements:
            assert tx.execute(text(statement)).rowcount, "nothing was tampered with"
        for table in TABLES:
            tx.execute(text(switch.format(table, "ENABLE ALWAYS")))


@contextmanager
def _open_transaction(bench: Bench) -> Iterator[None]:
    """A transaction that has written something and is still running."""
    with bench.db.engine.connect() as connection:
        connection.execute(text("INSERT INTO alarm (kind, detail) VALUES ('test', '{}')"))
        yield
        connection.rollback()


class TestSealer:
    """What becomes a link."""

    def test_everything_committed_is_sealed_once(self, bench: Bench) -> None:
        """A link has what was committed since the last; with nothing new there is none."""
        bench.stop(ANNA, sid="SM1")
        bench.stop(BERT, sid="SM2")
        assert _seal(bench) == 2
        assert _seal(bench) == 0
        bench.stop(CARL, sid="SM3")
        assert _seal(bench) == 1
        assert bench.value("SELECT count(*) FROM consent_seal") == 2

    def test_what_still_runs_is_left_for_later(self, bench: Bench) -> None:
        """Nothing at or above the oldest running transaction is sealed: order is never guessed."""
        with _open_transaction(bench):
            bench.stop(ANNA, sid="SM1")
            assert _seal(bench) == 0
            assert _verify(bench).unsealed == 1
        assert _seal(bench) == 1

    def test_the_log_has_the_digest(self, bench: Bench) -> None:
        """Each link is logged with its digest, for a witness elsewhere."""
        bench.stop(ANNA, sid="SM1")
        with capture_logs() as logs:
            _seal(bench)
        (line,) = (one for one in logs if one["event"] == "consent_sealed")
        assert line["digest"] == _verify(bench).head

    def test_it_goes_on_after_a_restored_dump(self, bench: Bench) -> None:
        """Where transaction ids begin anew, old and new are told apart by their ids."""
        bench.stop(ANNA, sid="SM1")
        _seal(bench)
        _tamper(
            bench,
            "UPDATE consent_event SET written_by = '900000000000'",
            "UPDATE consent_seal SET from_xid = 0, upto_xid = 900000000001",
            "DELETE FROM consent_seal",
        )
        bench.execute(
            "INSERT INTO consent_seal (id, from_xid, upto_xid, after_event, last_event, "
            "after_time, last_time, events, times, digest) "
            "VALUES (1, 0, 900000000001, 0, (SELECT max(id) FROM consent_event), 0, 0, 1, 0, '')"
        )
        bench.stop(BERT, sid="SM2")
        assert _seal(bench) == 1
        bench.stop(CARL, sid="SM3")
        assert _seal(bench) == 1
        verdict = _verify(bench)
        assert [one.id for one in verdict.broken] == [1]  # its digest was made up above
        assert (verdict.unaccounted, verdict.sealed) == (0, 3)


class TestVerify:
    """What an audit of the log finds."""

    def test_a_log_as_it_was_written(self, bench: Bench) -> None:
        """An untouched log is in order; what came since the last link is shown as unsealed."""
        _filled(bench)
        verdict = _verify(bench)
        assert verdict.ok
        assert (verdict.links, verdict.sealed, verdict.unsealed) == (2, 4 + 1 - 1, 1)

    def test_an_empty_log(self, bench: Bench) -> None:
        """Nothing at all is in order too."""
        verdict = _verify(bench)
        assert verdict.ok
        assert (verdict.links, verdict.head) == (0, "")

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE consent_event SET direction = 'opt_in' WHERE source_id = 'SM1'",
            "UPDATE consent_event SET recipient = 1 WHERE source_id = 'SM1'",
            "UPDATE consent_event SET author = 'x' WHERE source_id = 'SM1'",
            "UPDATE consent_event SET received_at = now() WHERE source_id = 'SM1'",
            "UPDATE consent_event SET evidence_digest = NULL WHERE source_id = 'SM1'",
            "UPDATE consent_event SET written_by = '3' WHERE source_id = 'SM3'",
            "UPDATE consent_time SET provider_at = provider_at + interval '1 day'",
            "UPDATE consent_seal SET digest = '\\x00' WHERE id = 1",
            "DELETE FROM consent_time",
            "DELETE FROM consent_seal WHERE id = 1",
        ],
    )
    def test_a_changed_log_breaks_the_chain(self, bench: Bench, statement: str) -> None:
        """Whatever is changed in a sealed event, time or link, a link does not match any more."""
        _filled(bench)
        _tamper(bench, statement)
        verdict = _verify(bench)
        assert verdict.broken
        assert not verdict.ok

    def test_a_link_tells_how_many_it_sealed(self, bench: Bench) -> None:
        """A removed event shows as fewer than the link sealed."""
        _filled(bench)
        _tamper(
            bench,
            "DELETE FROM enforcement",
            "DELETE FROM consent_evidence",
            "DELETE FROM consent_event WHERE source_id = 'SM2'",
        )
        (broken,) = _verify(bench).broken
        assert (broken.id, broken.sealed, broken.found) == (1, 2, 1)

    def test_an_event_slipped_in_is_unaccounted_for(self, bench: Bench) -> None:
        """A new event that claims to be old is in no link, and not in the tail either."""
        _filled(bench)
        bench.execute(
            "INSERT INTO consent_event (tenant_id, recipient, scope, direction, source, "
            "source_id, written_by) VALUES (1, 1, 0, 'opt_in', 'test', 'x', '3')"
        )
        verdict = _verify(bench)
        assert verdict.unaccounted == 1
        assert not verdict.ok

    def test_a_cut_off_end_needs_a_witness(self, bench: Bench) -> None:
        """Who removes the end of chain and log is found out by a digest kept elsewhere."""
        _filled(bench)
        head = _verify(bench).head
        assert _verify(bench, expect=head.upper()).has_expected
        _tamper(bench, "DELETE FROM consent_seal WHERE id = 2")
        verdict = _verify(bench, expect=head)
        assert verdict.has_expected is False
        assert not verdict.ok

    @pytest.mark.parametrize("table", TABLES)
    def test_a_trigger_switched_off_shows(self, bench: Bench, table: str) -> None:
        """A table that Postgres lets be changed is named."""
        bench.execute(f"ALTER TABLE {table} ENABLE TRIGGER append_only")  # not ALWAYS
        assert _verify(bench).unguarded == (table,)

    def test_changed_evidence_shows(self, bench: Bench) -> None:
        """Words that are not those the log has the digest of are named, and so are missing ones."""
        _filled(bench)
        bench.execute(
            """UPDATE consent_evidence SET content = '{"text": "hi"}' WHERE event_id = 1"""
        )
        bench.execute("DELETE FROM consent_evidence WHERE event_id = 2")
        verdict = _verify(bench)
        assert verdict.evidence.count == 2
        assert not verdict.ok
        assert str(ANNA) not in " ".join(verdict.evidence.first)

    def test_the_list_is_held_against_the_log(self, bench: Bench) -> None:
        """Who is missing on the list, and who is on it without reason, is counted and named."""
        _filled(bench)
        bench.execute("DELETE FROM suppression WHERE recipient = :r", r=ANNA)
        bench.execute(
            "INSERT INTO suppression (recipient, tenant_id, scope, reason, event_id, since) "
            "VALUES (:r, 1, 0, 'manual', 1, now())",
            r=BERT,
        )
        verdict = _verify(bench)
        assert (verdict.missing.count, verdict.surplus.count) == (1, 1)
        assert verdict.broken == []
        assert not verdict.ok

    def test_one_tenants_list(self, bench: Bench) -> None:
        """Asked for one tenant, the list of another is not looked at."""
        _filled(bench)
        bench.execute("DELETE FROM suppression WHERE recipient = :r", r=ANNA)
        assert _verify(bench, tenant_id=TENANT).missing.count == 1
        assert _verify(bench, tenant_id=2).ok


class TestAppendOnly:
    """Postgres itself refuses changes."""

    @pytest.mark.parametrize("table", TABLES)
    @pytest.mark.parametrize("role", ["origin", "replica"])
    @pytest.mark.parametrize(
        "change", ["UPDATE {} SET {} = now()", "DELETE FROM {}", "TRUNCATE {} CASCADE"]
    )
    def test_no_change(self, bench: Bench, table: str, role: str, change: str) -> None:
        """Neither rows nor the whole table can be changed or removed, as a replica neither."""
        _filled(bench)
        column = "sealed_at" if table == "consent_seal" else "provider_at"
        statement = f"SET LOCAL session_replication_role = {role}; {change.format(table, column)}"
        with pytest.raises(DBAPIError, match="append-only"):
            bench.execute(statement)


class TestErasure:
    """Words go; the chain and the list stay."""

    def test_a_persons_words(self, bench: Bench) -> None:
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

    def test_others_keep_theirs(self, bench: Bench) -> None:
        """Nobody else's evidence is touched, nor another tenant's."""
        _filled(bench)
        Erasures(db=bench.db, tenant_id=TENANT).person(f"+{ANNA}", author="dpo")
        Erasures(db=bench.db, tenant_id=2).person(f"+{BERT}", author="dpo")
        left = bench.value("SELECT count(*) FROM consent_evidence WHERE content IS NOT NULL")
        assert left == 3

    def test_what_may_still_be_sent_keeps_its_fields(self, bench: Bench) -> None:
        """The fields of a message that is not over are still needed to write it."""
        campaign = bench.campaign(ANNA)
        bench.put(campaign, "pending", fields='{"first_name": "Anna"}')
        Erasures(db=bench.db, tenant_id=TENANT).person(f"+{ANNA}", author="dpo")
        assert bench.row(campaign).fields == {"first_name": "Anna"}

    def test_by_age(self, bench: Bench) -> None:
        """What is older than the age goes, for everybody; what is younger stays."""
        _filled(bench)
        erasures = Erasures(db=bench.db, tenant_id=TENANT)
        assert erasures.older_than(timedelta(days=1), author="dpo").evidence == 0
        done = erasures.older_than(timedelta(microseconds=1), author="dpo")
        assert (done.evidence, done.inbound) == (4, 4)
        assert _verify(bench).ok

    def test_an_undecided_review_keeps_its_words(self, bench: Bench) -> None:
        """Words that a person still has to read are not erased before."""
        bench.opt_out(reason=ReasonClass.REVIEW, evidence={"text": "why me"})
        done = Erasures(db=bench.db, tenant_id=TENANT).person(f"+{ANNA}", author="dpo")
        assert done.evidence == 0

    def test_somebody_is_named(self, bench: Bench) -> None:
        """Nobody erases anonymously, nor everything at once by mistake."""
        erasures = Erasures(db=bench.db, tenant_id=TENANT)
        with pytest.raises(ErasureRefused):
            erasures.person(f"+{ANNA}", author=" ")
        with pytest.raises(ErasureRefused):
            erasures.older_than(timedelta(), author="dpo")
