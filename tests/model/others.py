"""Everybody but the pump: the STOP's way in, recovery, Twilio, the network, and time."""

from collections.abc import Iterator

from tests.model.design import START, STOP, World
from tests.model.state import (
    ASKED,
    BETWEEN,
    IDLE,
    IN_DOUBT,
    LICENSED,
    PENDING,
    PLANNED,
    SAW_NOTHING,
    SAW_SOMETHING,
    SENDING,
    SENT,
    SUPPRESSED,
    UNKNOWN,
    WITHDRAWN,
    WRITING,
    State,
    Text,
)
from tests.model.steps import Step
from tests.model.worker import accept, restart

_OPEN = frozenset({PENDING, SENDING, IN_DOUBT, UNKNOWN})


def inbound(world: World, state: State) -> Iterator[Step]:
    """The person's texts: stored, dated, answered.

    A webhook may never come, or again after any crash; storing a text again changes nothing. A
    START changes nothing either before it is dated, so that both are one step.
    """
    for number, text in enumerate(state.texts):
        kind = world.scenario.texts[number]
        name = f"{kind} {number + 1}"
        if not text.stored:
            stored = state.with_text(number, text._replace(stored=True, dated=kind == START))
            yield Step(f"{name} comes and is stored", stored, fault=True)
            if world.design.pulls:
                yield Step(f"the puller finds {name}", stored)
        elif not text.dated and world.starts:
            dated = state.with_text(number, text._replace(dated=True))
            yield Step(f"the consumer fetches when {name} was sent", dated)
        if kind == STOP and not text.acknowledged and _may_be_answered(world, text):
            answered = state.with_text(number, text._replace(acknowledged=True))
            yield Step(f"{name} is acknowledged", answered, fault=True)


def _may_be_answered(world: World, text: Text) -> bool:
    stored = text.stored or not world.design.ack_after_commit
    return stored and (text.enforced or not world.design.ack_waits)


def enforcement(world: World, state: State) -> Iterator[Step]:
    """Rounds of the webhook app, for as long as Twilio waits, and of the consumer.

    A round keeps nothing: one that ends half-way (a crash, a broken connection) was none.
    """
    waiting = [n for n, _ in world.stops if state.texts[n].stored and not state.texts[n].enforced]
    if waiting:
        for label, after in _round(world, state, waiting):
            yield Step(label, after, fault=not world.design.consumer_enforces)


def _round(world: World, state: State, waiting: list[int]) -> Iterator[tuple[str, State]]:
    if not world.design.looks_afterwards:
        yield from _hasty_round(world, state, waiting)
        return
    if state.enforcing == WITHDRAWN:
        clear = not _under_way(world, state)
        yield "enforcement looks", _marked(state, waiting, clear=clear)
    if not world.design.withdraws:
        yield "enforcement does not withdraw", state._replace(enforcing=WITHDRAWN)
    elif _free(world, state):
        yield "enforcement withdraws", _withdrawn(world, state)._replace(enforcing=WITHDRAWN)


def _hasty_round(world: World, state: State, waiting: list[int]) -> Iterator[tuple[str, State]]:
    """One statement for both: its snapshot is taken before the withdrawal waits for any lock."""
    if state.enforcing == BETWEEN:
        saw = SAW_SOMETHING if _under_way(world, state) else SAW_NOTHING
        yield "enforcement looks before it withdraws", state._replace(enforcing=saw)
    elif _free(world, state):
        clear = state.enforcing == SAW_NOTHING
        after = _marked(_withdrawn(world, state), waiting, clear=clear)
        yield "enforcement withdraws, and relies on its look", after


def _free(world: World, state: State) -> bool:
    return not state.held or not world.design.withdrawal_waits


def _withdrawn(world: World, state: State) -> State:
    if state.row == PENDING and not state.held and world.suppressed(state):
        return state.with_row(SUPPRESSED)
    return state


def _under_way(world: World, state: State) -> bool:
    design = world.design
    return (
        (state.row == SENDING and design.looks_for_sending)
        or (state.row == IN_DOUBT and state.fresh and design.looks_for_fresh_doubts)
        or (state.row == PENDING and design.looks_for_pending and world.suppressed(state))
    )


def _marked(state: State, waiting: list[int], *, clear: bool) -> State:
    if clear:
        for number in waiting:
            state = state.with_text(number, state.texts[number]._replace(enforced=True))
    return state._replace(enforcing=BETWEEN)


def recovery(world: World, state: State) -> Iterator[Step]:
    """The start of the campaign, the sweeper, and the resolver.

    The sweeper takes a worker for lost whose connection is gone, or whose lease is over; the
    worker may be alive all the same, so here it may be wrong at any time.
    """
    design = world.design
    if state.row == PLANNED:
        yield Step("the campaign starts", state.with_row(PENDING))
    if state.row == SENDING and design.sweeps:
        swept = state.with_row(IN_DOUBT, fresh=True)
        if not design.sweeper_doubts:
            swept = state.with_row(PENDING).raised()
        yield Step("the sweeper takes the row", swept)
    if state.row == IN_DOUBT and not state.accepted and design.resends_doubts:
        again = state.with_row(PENDING).raised()
        yield Step("the resolver does not find the text at Twilio", again)
    if state.row == IN_DOUBT and not state.fresh and design.gives_up:
        yield Step("the doubt is given up", state.with_row(UNKNOWN))
    if state.row in {IN_DOUBT, UNKNOWN} and state.accepted:
        yield Step("the resolver finds the text at Twilio", state.with_row(SENT))


def twilio(world: World, state: State) -> Iterator[Step]:
    """Requests that nobody waits for any more, and status callbacks."""
    if state.flying:
        fewer = state._replace(flying=state.flying - 1)
        taken, breaks = accept(world, fewer)
        yield Step("a request that nobody waits for is accepted", taken, breaks=breaks)
        yield Step("a request that nobody waits for is lost or refused", fewer)
    if state.accepted and state.row in _OPEN and not state.held:
        yield Step("a status callback comes", state.with_row(SENT))


def time(world: World, state: State) -> Iterator[Step]:
    """The horizon, for a doubt, and with it every licence's time to begin."""
    if state.row != IN_DOUBT or not state.fresh:
        return
    windows, label = state.windows, "the horizon passes"
    if any(run.at == WRITING for run in state.runs):
        if not windows.zombie:
            return
        windows = windows._replace(zombie=windows.zombie - 1)
        label += ", a run stands still before its first byte"
    if state.flying or any(run.at == ASKED for run in state.runs):
        if not windows.slow_network:
            return
        windows = windows._replace(slow_network=windows.slow_network - 1)
        label += ", a request is still on the network"
    late = state._replace(fresh=False, windows=windows)
    for index, run in enumerate(late.runs):
        if run.at == LICENSED:
            late = late.with_run(index, run._replace(late=True))
    yield Step(label, late, fault=windows != state.windows)


def postgres(world: World, state: State) -> Iterator[Step]:
    """Restarts, which break every connection; and what no restart may do: to forget."""
    restarted = restart(world, state)
    if restarted != state:
        yield Step("Postgres restarts", restarted, fault=True)
    if not state.windows.lossy or state.held:
        return
    windows = state.windows._replace(lossy=state.windows.lossy - 1)
    older = state._replace(windows=windows)
    if state.row not in {PLANNED, PENDING}:
        forgotten = older.with_row(PENDING)
        yield Step("Postgres forgets what became of the row", forgotten, fault=True)
    for number, text in enumerate(state.texts):
        if text.stored:
            lost = older.with_text(number, text._replace(stored=False))
            yield Step(f"Postgres forgets text {number + 1}", lost, fault=True)


def at_rest(world: World, state: State) -> bool:
    """Nothing is left to do: the row has its end, every STOP is stored and enforced."""
    waiting = {PLANNED, PENDING} if world.scenario.pump_works else set()
    return (
        state.row not in {SENDING, IN_DOUBT, *waiting}
        and all(run.at == IDLE for run in state.runs)
        and all(state.texts[stop].stored and state.texts[stop].enforced for stop, _ in world.stops)
    )
