"""The consent log only grows, and the list follows it."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from sender.domain.consent import Direction, NewConsentEvent, ReasonClass, fold
from sender.erasing import Erasures
from sender.optouts import Lift, OptOuts
from sender.sealing import Sealer
from sender.storage import consent, inbound
from sender.verifying import Verification
from tests.bench import ANNA, BERT, CARL, ENFORCEMENT, TENANT, Bench, consent_event

TABLES = ("consent_event", "consent_time", "consent_seal")
_tenants = itertools.count(1000)
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def _filled(bench: Bench) -> None:
    """A row in each table."""
    bench.stop(ANNA, sid="SM1")
    bench.db.run(inbound.set_provider_time, "SM1", NOON)
    assert Sealer(db=bench.db).seal() == 2


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("role", ["origin", "replica"])
@pytest.mark.parametrize(
    "change", ["UPDATE {} SET {} = now()", "DELETE FROM {}", "TRUNCATE {} CASCADE"]
)
def test_no_change(bench: Bench, table: str, role: str, change: str) -> None:
    """Neither rows nor the whole table can be changed or removed, as a replica neither."""
    _filled(bench)
    column = "sealed_at" if table == "consent_seal" else "provider_at"
    statement = f"SET LOCAL session_replication_role = {role}; {change.format(table, column)}"
    with pytest.raises(DBAPIError, match="append-only"):
        bench.execute(statement)


@pytest.mark.parametrize("table", TABLES)
def test_no_change_by_an_insert(bench: Bench, table: str) -> None:
    """An INSERT that would write over what is there is refused as well."""
    _filled(bench)
    key, column = {
        "consent_event": ("id", "author"),
        "consent_time": ("source_id", "provider_at"),
        "consent_seal": ("id", "digest"),
    }[table]
    statement = (
        f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {table} "  # noqa: S608
        f"ON CONFLICT ({key}) DO UPDATE SET {column} = excluded.{column}"
    )
    with pytest.raises(DBAPIError, match=f"{table} is append-only"):
        bench.execute(statement)


def test_nothing_we_do_needs_a_change(bench: Bench) -> None:
    """STOP, START, times, lifts, repeats, sealing and erasure all go on beside what is there."""
    opt_outs = OptOuts(db=bench.db, tenant_id=TENANT, enforcement=ENFORCEMENT)
    _filled(bench)
    bench.stop(ANNA, sid="SM1")
    bench.text("START", ANNA, sid="SM2")
    bench.db.run(inbound.set_provider_time, "SM2", NOON + timedelta(minutes=1))
    bench.db.run(inbound.set_provider_time, "SM2", NOON + timedelta(minutes=2))
    opt_outs.add(f"+{BERT}", author="ann", reason=ReasonClass.COMPLAINT)
    override = Lift(author="ann", reason="court", evidence="file 3", override=True)
    opt_outs.lift(f"+{BERT}", override)
    bench.opt_out(CARL, reason=ReasonClass.REVIEW)
    before = bench.execute("SELECT * FROM consent_event ORDER BY id")
    Sealer(db=bench.db).seal()
    Erasures(db=bench.db, tenant_id=TENANT).older_than(timedelta(microseconds=1), author="dpo")
    assert bench.execute("SELECT * FROM consent_event ORDER BY id") == before


@st.composite
def _told(draw: st.DrawFn) -> NewConsentEvent:
    """Any event of one of two people; few source ids, so that some come twice."""
    facts: dict[str, Any] = {
        "recipient": draw(st.sampled_from([ANNA, BERT])),
        "scope": draw(st.sampled_from([0, 7])),
        "direction": draw(st.sampled_from(Direction)),
        "reason": draw(st.sampled_from(ReasonClass)),
        "source_id": draw(st.sampled_from(["1", "2", "3", "4", "5"])),
        "batch_id": draw(st.sampled_from([None, 1])),
    }
    if facts["direction"] is Direction.OPT_IN:
        facts["reason"] = draw(st.sampled_from([None, facts["reason"]]))
        facts["author"] = draw(st.sampled_from(["", "ann"]))
    minute = draw(st.none() | st.integers(0, 4))
    facts["provider_at"] = None if minute is None else NOON + timedelta(minutes=minute)
    return consent_event(**facts)


@given(told=st.lists(_told(), max_size=12))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_list_is_the_fold_of_the_log(bench: Bench, told: list[NewConsentEvent]) -> None:
    """Whatever is appended, twice or not: the table says after each event what the fold says."""
    mine = next(_tenants)  # the log keeps what the examples before this one wrote
    for event in told:
        theirs = replace(event, tenant_id=mine, source=f"test {mine}")
        bench.db.run(consent.append, theirs)
        person = {"tenant_id": mine, "recipient": event.recipient}
        log = bench.db.run(consent.history, **person)
        assert frozenset(bench.db.run(consent.suppressions_of, **person)) == fold(log)
    assert Verification(db=bench.db).verify(tenant_id=mine).ok
