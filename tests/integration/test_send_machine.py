"""The send path and the STOPs as a state machine, and proof that it would notice."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import create_engine, text

from sender.domain.message import Guarded, State
from sender.domain.outcome import Ambiguous, Outcome
from sender.enforcement import Enforcement
from sender.settlement import Settlement
from sender.storage import tenants
from sender.storage.database import Database, Transaction
from sender.storage.enforcement import EnforcementTable
from sender.storage.messages import MessageTable, guard_statement
from sender.storage.settling import Way
from tests.bench import ACCOUNT, HORIZON, TENANT, Bench
from tests.machine.machine import SendMachine, only
from tests.machine.world import Parts

CALM = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=False)
#: A few seconds; a different few examples each time.
BRIEF = settings(CALM, max_examples=40, stateful_step_count=40)
#: As many, for as long as a soak may take.
LONG = settings(CALM, max_examples=400, stateful_step_count=60)
#: The first case will do, the same each time.
UNTIL_FOUND = settings(
    CALM,
    max_examples=200,
    stateful_step_count=20,
    phases=[Phase.generate],
    derandomize=True,
    database=None,
)
#: Either may be noticed first.
SENT_AGAIN = r"accepted, and pending again|sent twice"


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    """A bench that does not wait for the disk: nothing here ends Postgres."""
    engine = create_engine(
        database_url,
        pool_size=10,
        isolation_level="READ COMMITTED",
        connect_args={"options": "-c synchronous_commit=off"},
    )
    db = Database(engine)
    db.run(tenants.set_account, TENANT, ACCOUNT)
    yield Bench(url=database_url, db=db)
    db.close()


def _run(
    parts: Parts, how: settings = UNTIL_FOUND, machine: type[SendMachine] = SendMachine
) -> None:
    factory: Any = lambda: machine(parts)  # noqa: E731  # Hypothesis asks for a type, and calls it
    run_state_machine_as_test(factory, settings=how)


def test_every_promise_holds(bench: Bench) -> None:
    """Whatever follows on what, each promise holds after each step, and all comes to an end."""
    _run(Parts(bench=bench), BRIEF)


@pytest.mark.soak
def test_every_promise_holds_for_long(bench: Bench) -> None:
    """The same for longer and more examples."""
    _run(Parts(bench=bench), LONG)


def test_it_notices_a_guard_that_does_not_ask(bench: Bench) -> None:
    """Without the guard's look at the list people who opted out are texted."""
    blind = MessageTable(guard=guard_statement(suppressed="false"))
    with pytest.raises(AssertionError, match="begun after the STOP"):
        _run(
            Parts(bench=bench, messages=blind, alone=True),
            machine=only("create", "text", "consume", "send"),
        )


class _BlindToDoubts(EnforcementTable):
    def mark_enforced(self, tx: Transaction, ids: Sequence[int], *, horizon: timedelta) -> None:
        super().mark_enforced(tx, ids, horizon=timedelta())


def test_it_notices_a_look_without_fresh_doubts(bench: Bench) -> None:
    """Where fresh doubts do not count a STOP is enforced while a request may come."""
    enforcement = Enforcement(table=_BlindToDoubts(), horizon=HORIZON)
    hasty = only("create", "send", "hear_nothing", "settle", "text", "consume")
    with pytest.raises(AssertionError, match="enforced while a request may come"):
        _run(Parts(bench=bench, enforcement=enforcement, alone=True), machine=hasty)


class _SendsAgain(Settlement):
    def decide(self, guarded: Guarded, outcome: Outcome) -> Way:
        if isinstance(outcome, Ambiguous):
            return Way(state=State.PENDING, reason="tried_again")
        return super().decide(guarded, outcome)


def test_it_notices_that_a_timeout_is_sent_again(bench: Bench) -> None:
    """What may have been accepted and is pending again is caught before it is sent."""
    unheard = only("create", "send", "hear_nothing", "settle", "land")
    with pytest.raises(AssertionError, match=SENT_AGAIN):
        _run(Parts(bench=bench, settlement=_SendsAgain, alone=True), machine=unheard)


_TO_PENDING = text("""
    UPDATE message m SET state = 'pending', gen = m.gen + 1, changed_at = now()
    FROM slice s
    WHERE s.id = ANY (:ids) AND m.campaign_id = s.campaign_id AND m.state = 'sending'
      AND m.lease_until < now()
""")


def _abandon_to_pending(tx: Transaction, ids: list[int]) -> int:
    return tx.execute(_TO_PENDING, {"ids": ids}).rowcount


def test_it_notices_a_sweeper_that_makes_rows_pending(bench: Bench) -> None:
    """What a lost worker was sending and is pending again is caught, too."""
    lost = only("create", "send", "answer", "time_passes", "sweep")
    with pytest.raises(AssertionError, match=SENT_AGAIN):
        _run(Parts(bench=bench, abandon=_abandon_to_pending, alone=True), machine=lost)


def test_it_notices_a_worker_without_a_clock(bench: Bench) -> None:
    """A licence used beyond the horizon is noticed. Nine rules in one order: played by hand."""
    machine = SendMachine(Parts(bench=bench, looks_at_clock=False, alone=True))
    play: list[Callable[[], None]] = [
        lambda: machine.create(people=(0,), run=True),
        lambda: machine.read(0, 0),
        lambda: machine.guard(0, ""),
        lambda: machine.time_passes(arrive=False),
        machine.sweep,
        lambda: machine.text(0, "STOP", 1),
        lambda: machine.time_passes(arrive=False),
        lambda: machine.look(0),
    ]
    for step in play:
        step()
        machine.checks()
    with pytest.raises(AssertionError, match="begun after the STOP"):
        machine.begin(0, 1)
    machine.world.close()


def _abandon_nothing(tx: Transaction, ids: list[int]) -> int:
    return 0


def test_it_notices_what_waits_for_ever(bench: Bench) -> None:
    """Without a sweeper a lost worker's rows stay as they are, and no campaign of theirs ends."""
    lost = only("create", "send", "lose", to_the_end=True)
    with pytest.raises(AssertionError, match="waits for ever"):
        _run(Parts(bench=bench, abandon=_abandon_nothing, alone=True), machine=lost)
