"""The chain over the consent log: what it seals, and every kind of tampering it shows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from sender.domain.chain import GENESIS, link_digest
from sender.sealing import Sealer
from sender.storage import inbound, seals
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


#: Transaction ids of another server, whose dump this one was filled from.
_ELSEWHERE = 900_000_000_000


def _entered(bench: Bench, source_id: str, *, by: int) -> None:
    """An opt-in as another server's transaction wrote it."""
    bench.execute(
        "INSERT INTO consent_event (tenant_id, recipient, scope, direction, source, source_id, "
        "written_by) VALUES (1, 1, 0, 'opt_in', 'test', :id, CAST(:by AS xid8))",
        id=source_id,
        by=str(_ELSEWHERE + by),
    )


def _link(bench: Bench, *, upto: int) -> None:
    """The chain's first link, as the other server's sealer made it."""
    with bench.db.transaction() as tx:
        covered = replace(seals.to_seal(tx, None), upto_xid=_ELSEWHERE + upto)
        sealed = list(seals.rows(tx, covered))
        counts = {"events": len(sealed), "times": 0}
        digest = link_digest(GENESIS, sealed)
        assert seals.append(tx, {**vars(covered), **counts, "id": 1, "digest": digest})


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
        """Where transaction ids begin anew, what the dump brought unsealed is sealed, then the new.

        The dump's last link was made while a transaction still ran that took a lower id.
        """
        for name, by in (("1", 10), ("late", 30), ("3", 20)):
            _entered(bench, name, by=by)
        _link(bench, upto=25)
        _entered(bench, "4", by=40)
        bench.stop(ANNA, sid="SM5")
        before = _verify(bench)
        assert before.ok
        assert (before.sealed, before.unsealed) == (2, 3)
        with capture_logs() as logs:
            assert [_seal(bench) for _ in range(3)] == [2, 1, 0]
        # Said once, of the last link before it.
        assert [one["link"] for one in logs if one["event"] == "transaction_ids_restarted"] == [2]
        bench.stop(BERT, sid="SM6")
        assert _seal(bench) == 1
        verdict = _verify(bench)
        assert verdict.ok
        assert (verdict.sealed, verdict.unsealed) == (6, 0)

    def test_a_restored_dump_that_was_sealed_to_its_end(self, bench: Bench) -> None:
        """With nothing unsealed in it the chain goes on with what is written next."""
        _entered(bench, "1", by=10)
        _link(bench, upto=25)
        assert _seal(bench) == 0
        bench.stop(ANNA, sid="SM5")
        assert _seal(bench) == 1
        assert _verify(bench).ok

    def test_changes_to_what_a_dump_brought_show(self, bench: Bench) -> None:
        """After a restart of ids each link still seals its own events."""
        _entered(bench, "1", by=10)
        _link(bench, upto=25)
        _entered(bench, "2", by=40)
        _seal(bench)
        bench.stop(ANNA, sid="SM5")
        _seal(bench)
        _tamper(bench, "UPDATE consent_event SET author = 'x' WHERE source_id = '2'")
        assert [one.id for one in _verify(bench).broken] == [2]

    def test_of_two_at_once_one_seals(self, bench: Bench) -> None:
        """A second sealer leaves the work to the first."""
        bench.stop(ANNA, sid="SM1")
        with bench.db.transaction() as tx:
            assert seals.take_turn(tx)
            assert _seal(bench) == 0
        assert _seal(bench) == 1


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
            "UPDATE consent_seal SET events = events + 1 WHERE id = 1",
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
        verdict = _verify(bench)
        assert verdict.unguarded == (table,)
        assert not verdict.ok

    @pytest.mark.parametrize(
        ("when", "then"),
        [
            ("UPDATE", "EXECUTE FUNCTION refuse_change()"),
            ("UPDATE OF author OR DELETE OR TRUNCATE", "EXECUTE FUNCTION refuse_change()"),
            ("UPDATE OR DELETE OR TRUNCATE", "WHEN (false) EXECUTE FUNCTION refuse_change()"),
            ("UPDATE OR DELETE OR TRUNCATE", "EXECUTE FUNCTION note_doubt()"),
        ],
    )
    def test_a_trigger_that_lets_something_pass_shows(
        self, bench: Bench, when: str, then: str
    ) -> None:
        """A trigger of the right name that does not refuse every change is none."""
        bench.execute(
            f"CREATE OR REPLACE TRIGGER append_only BEFORE {when} ON consent_event "
            f"FOR EACH STATEMENT {then}; "
            "ALTER TABLE consent_event ENABLE ALWAYS TRIGGER append_only"
        )
        assert _verify(bench).unguarded == ("consent_event",)

    def test_a_trigger_that_is_gone_shows(self, bench: Bench) -> None:
        """A table without its trigger is named."""
        bench.execute("DROP TRIGGER append_only ON consent_time")
        assert _verify(bench).unguarded == ("consent_time",)

    def test_a_function_that_lets_all_pass_shows(self, bench: Bench) -> None:
        """The triggers are worth what the function behind them refuses."""
        bench.execute(
            "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN RETURN NULL; RAISE EXCEPTION ''never''; END'"
        )
        assert _verify(bench).unguarded == TABLES

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

    def test_evidence_brought_later_shows(self, bench: Bench) -> None:
        """Nobody can put words beside an event that came without any."""
        event = bench.opt_out(evidence={})
        bench.execute(
            "INSERT INTO consent_evidence (event_id, salt, content) VALUES (:event, '', '{}')",
            event=event,
        )
        verdict = _verify(bench)
        assert verdict.evidence.count == 1
        assert not verdict.ok

    def test_one_finding_does_not_hide_another(self, bench: Bench) -> None:
        """An event sealed twice and a person missing on the list are two findings, not none."""
        _filled(bench)
        _seal(bench)
        with bench.db.transaction() as tx:
            head = seals.head(tx)
            assert head is not None
            again = replace(seals.to_seal(tx, None), upto_xid=head.upto_xid, last_event=1)
            again = replace(again, last_time=0)
            digest = link_digest(head.digest, seals.rows(tx, again))
            counts = {"id": head.id + 1, "events": 1, "times": 0, "digest": digest}
            assert seals.append(tx, {**vars(again), **counts})
        bench.execute("DELETE FROM suppression WHERE recipient = :r", r=ANNA)
        verdict = _verify(bench)
        assert (verdict.unaccounted, verdict.missing.count, verdict.broken) == (-1, 1, [])
        assert not verdict.ok

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
