"""A run of the pump: read → Redis → guard → clock → request → settle, with all that may go wrong.

Redis has no state here: it says anything at any time. What it does not say is asked of Postgres by
the guard, so that no promise rests on it.
"""

from collections.abc import Callable, Iterator
from typing import Final

from tests.model.design import World
from tests.model.state import (
    ASKED,
    BETWEEN,
    FAILED,
    HOLDING,
    IDLE,
    IN_DOUBT,
    LICENSED,
    LOOKED,
    OUTCOMES,
    PENDING,
    READ,
    SENDING,
    SENT,
    SUPPRESSED,
    TOLD,
    UNDOING,
    WRITING,
    Run,
    State,
)
from tests.model.steps import Broken, Step

_SETTLED = {"accepted": SENT, "refused": FAILED, "back": PENDING, "ambiguous": IN_DOUBT}
_STATEMENTS = frozenset({READ, LOOKED, HOLDING})


def worker(world: World, state: State, index: int) -> Iterator[Step]:
    """Whatever one run may do next."""
    run = state.runs[index]
    name = f"run {index + 1}"
    for label, after, fault, breaks in _MOVES[run.at](world, state, index, run):
        yield Step(name + label, after, fault, breaks)
    if run.at != IDLE:
        for label, after in _killed(world, state, index, run):
            yield Step(label, after, fault=True)


def _idle(world: World, state: State, index: int) -> State:
    owner = world.scenario.one_process and state.runs[index].owner
    return state.with_run(index, Run(owner=owner))


def _told(state: State, index: int, outcome: str) -> State:
    return state.with_run(index, state.runs[index]._replace(at=TOLD[outcome], late=False))


def _read(world: World, state: State, index: int, run: Run) -> Iterator[Step]:
    busy = state.runs[1 - index].at != IDLE
    if world.scenario.one_process and world.design.one_run_a_process and busy:
        return
    if state.row == PENDING:
        knowing = state.with_run(index, run._replace(at=READ, gen=0))
        fault = not world.scenario.pump_works
        yield Step(" reads the pending row", knowing, fault=fault)


def _ask(world: World, state: State, index: int, run: Run) -> Iterator[Step]:
    """Redis first, then the guard's snapshot.

    A hit is settled with Postgres's reason; one that Postgres does not know is repaired.
    """
    yield Step(" hears a hit, or nothing, from Redis", _idle(world, state, index))
    if state.row == PENDING and not state.held and world.suppressed(state):
        settled = _idle(world, state.with_row(SUPPRESSED), index)
        yield Step(" settles the row as suppressed", settled)
    refused = world.design.guard_asks and world.suppressed(state)
    if state.row == PENDING and _matches(world, run) and not refused:
        looked = state.with_run(index, run._replace(at=LOOKED))
        yield Step(" guards: it looks, and nothing forbids", looked)
    else:
        yield Step(" guards, and is refused", _idle(world, state, index))


def _matches(world: World, run: Run) -> bool:
    return run.gen == 0 or not world.design.guard_names_generation


def _hold(world: World, state: State, index: int, run: Run) -> Iterator[Step]:
    """The guard takes the row's lock, and looks at the row again.

    A connection that breaks from here on may or may not have committed it.
    """
    if not state.held:
        if (state.row == PENDING and _matches(world, run)) or not world.design.guard_rechecks:
            yield Step("'s guard takes the row", state.with_run(index, run._replace(at=HOLDING)))
        else:
            yield Step("'s guard finds the row changed", _idle(world, state, index))
    yield Step("'s guard breaks", _broken(world, state, index), fault=True)


def _broken(world: World, state: State, index: int) -> State:
    """Not committed, as only Postgres knows; what to undo has the generation after the guard's."""
    run = state.runs[index]
    step = 1 if world.design.guard_raises_generation else 0
    return state.with_run(index, run._replace(at=UNDOING, gen=run.gen + step))


def _guarded(world: World, state: State) -> State:
    """The row after the guard's commit."""
    after = state.with_row(SENDING)
    if world.design.guard_raises_generation:
        after = after.raised()
    if world.scenario.one_process:
        first, second = after.runs
        return after._replace(runs=(first._replace(owner=True), second._replace(owner=True)))
    return after


def _commit(world: World, state: State, index: int, run: Run) -> Iterator[Step]:
    guarded = _guarded(world, state)
    licensed = run._replace(at=LICENSED, gen=0, owner=guarded.runs[index].owner)
    yield Step("'s guard commits", guarded.with_run(index, licensed))
    broken = guarded.with_run(index, run._replace(at=UNDOING, gen=0, owner=True))
    yield Step("'s guard commits, and the answer is lost", broken, fault=True)
    yield Step("'s guard breaks at its commit", _broken(world, state, index), fault=True)


def _undo(world: World, state: State, index: int, run: Run) -> Iterator[Step]:
    mine = run.owner or not world.design.undo_names_owner
    if state.row == SENDING and mine and run.gen == 0:
        yield Step(" puts the row back", _idle(world, _put_back(world, state), index))
    else:
        yield Step(" has nothing to put back", _idle(world, state, index))
    yield Step(" cannot put back", _idle(world, state, index), fault=True)


def _put_back(world: World, state: State) -> State:
    after = state.with_row(PENDING)
    return after.raised() if world.design.put_back_raises_generation else after


def _look_at_clock(world: World, state: State, index: int, run: Run) -> Iterator[Step]:
    if not (run.late and world.design.checks_clock):
        yield Step(" looks at its clock", state.with_run(index, run._replace(at=WRITING)))
    yield Step(" is too late, or finds no connection", _told(state, index, "back"))


def _begin(world: World, state: State, index: int, run: Run) -> Iterator[Step]:
    asked = state.with_run(index, run._replace(at=ASKED))
    breaks = Broken.BEGUN if world.closed(state) else None
    yield Step(" writes its request", asked, breaks=breaks)


def _be_told(world: World, state: State, index: int, run: Run) -> Iterator[Step]:
    """What the provider says to the request, and what the run hears of it."""
    taken, breaks = accept(world, state)
    yield Step("'s request is accepted", _told(taken, index, "accepted"), breaks=breaks)
    unheard = _told(taken, index, _unanswered(world))
    yield Step("'s request is accepted, and the answer lost", unheard, fault=True, breaks=breaks)
    yield Step("'s request is refused", _told(state, index, "refused"))
    yield Step("'s request is throttled", _told(state, index, "back"))
    yield Step("'s request is lost", _told(state, index, _unanswered(world)), fault=True)
    if state.flying < 2:
        apart = state._replace(flying=state.flying + 1)
        yield Step(" hears nothing in time", _told(apart, index, _unanswered(world)), fault=True)


def _unanswered(world: World) -> str:
    return "ambiguous" if world.design.knows_what_was_begun else "back"


def accept(world: World, state: State) -> tuple[State, Broken | None]:
    """The provider takes a request."""
    if state.accepted:
        return state._replace(accepted=2), Broken.TWICE
    return state._replace(accepted=1), Broken.ACCEPTED if world.closed(state) else None


def _settle(world: World, state: State, index: int, run: Run) -> Iterator[Step]:
    outcome = OUTCOMES[run.at]
    settled = _settled(world, state, run, outcome)
    yield Step(f" settles: {outcome}", _idle(world, settled, index))
    if settled != state:
        yield Step(f" settles: {outcome}, and hears nothing of its commit", settled, fault=True)
    yield Step(" gives up settling", _idle(world, state, index), fault=True)


def _settled(world: World, state: State, run: Run, outcome: str) -> State:
    row = _SETTLED[outcome]
    if outcome == "ambiguous" and world.design.retries_timeouts:
        row = PENDING
    if run.gen != 0 and world.design.settle_names_generation:
        return state
    if state.row == SENDING or (state.row == IN_DOUBT and row != PENDING):
        return _put_back(world, state) if row == PENDING else state.with_row(row, fresh=True)
    return state


_MOVES: Final[dict[str, Callable[[World, State, int, Run], Iterator[Step]]]] = {
    IDLE: _read,
    READ: _ask,
    LOOKED: _hold,
    HOLDING: _commit,
    UNDOING: _undo,
    LICENSED: _look_at_clock,
    WRITING: _begin,
    ASKED: _be_told,
    **dict.fromkeys(OUTCOMES, _settle),
}


def _killed(world: World, state: State, index: int, run: Run) -> Iterator[tuple[str, State]]:
    """The process is gone at once; what it left at the server, or on the network, is not."""
    who = (0, 1) if world.scenario.one_process else (index,)
    name = "the process" if world.scenario.one_process else f"run {index + 1}"
    yield f"{name} is killed", _without(state, who)
    if run.at == HOLDING:
        committed = _without(_guarded(world, state), who)
        yield f"{name} is killed, its guard is committed", committed


def _without(state: State, who: tuple[int, ...]) -> State:
    for index in who:
        if state.runs[index].at == ASKED:
            state = state._replace(flying=min(2, state.flying + 1))
        state = state.with_run(index, Run())
    return state


def restart(world: World, state: State) -> State:
    """Postgres is gone and back: what was not committed is not, and every connection broke."""
    for index, run in enumerate(state.runs):
        if run.at in _STATEMENTS:
            broken = run.at != READ
            state = _broken(world, state, index) if broken else _idle(world, state, index)
    return state._replace(enforcing=BETWEEN)
