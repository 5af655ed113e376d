"""The rules: each is one commit of ours, one event at the provider, or one fault."""

import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RULE_MARKER,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from sender.closing import close_out
from sender.domain.outcome import (
    Ambiguous,
    OptedOut,
    Outcome,
    RefusalKind,
    Refused,
    Throttled,
)
from sender.errors import WrongState
from sender.receipts import Counted
from sender.storage import holds, sweeping
from sender.storage.holds import Hold, Level
from tests.machine.checks import Checks
from tests.machine.ending import bring_to_an_end
from tests.machine.hands import Hands
from tests.machine.world import Answer, Campaign, Parts, Text, World, finish

T = TypeVar("T")

#: What a create may be answered with that is not acceptance.
REFUSALS: dict[str, Outcome] = {
    "throttled": Throttled(code=20429, retry_after=None),
    "bad number": Refused(kind=RefusalKind.BAD_NUMBER, code=21211),
    "halt": Refused(kind=RefusalKind.HALT, code=20003),
    "opted out": OptedOut(code=21610),
}
#: Status callbacks, with the code that goes with them.
STATUSES = [
    ("queued", None),
    ("sent", None),
    ("delivered", None),
    ("undelivered", 30003),
    ("failed", 30008),
    ("failed", 21610),
]
_KEPT = """
    SELECT coalesce(array_agg(nullif(code, 0)), '{}') FROM receipt
    WHERE message_id = :id AND status = :status
"""
PICK = st.integers(0, 5)
#: Which of the two workers.
WORKER = st.integers(0, 1)


def chosen(items: Sequence[T], pick: int) -> T:
    """One of these."""
    return items[pick % len(items)]


class SendMachine(RuleBasedStateMachine):
    """The send path and the STOPs, step by step."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.world = World(parts)
        self.bench, self.parts = parts.bench, parts
        self.hands = Hands(self.world)
        self.checks = Checks(self.world)

    # What users do.

    @precondition(lambda self: len(self.world.campaigns) < 3)
    @rule(people=st.sampled_from([(0,), (1,), (0, 1)]), run=st.booleans())
    def create(self, *, people: tuple[int, ...], run: bool) -> None:
        """A campaign, started at once or not yet."""
        world = self.world
        body = f"Sale {len(world.campaigns)}"
        recipients = tuple(sorted({chosen(world.people, one) for one in people}))
        created = self.bench.campaign(*recipients, sender=world.sender, body=body, run=run)
        world.campaigns.append(Campaign(created, recipients, body))

    @precondition(lambda self: self.world.campaigns)
    @rule(pick=PICK, verb=st.sampled_from(["enqueue", "pause", "resume", "cancel"]))
    def steer(self, pick: int, verb: str) -> None:
        """A campaign is started, paused, resumed or canceled, where its state permits."""
        campaign = chosen(self.world.campaigns, pick)
        try:
            getattr(self.world.steering, verb)(campaign.id)
        except WrongState:
            return

    @precondition(lambda self: self.world.campaigns)
    @rule(pick=PICK)
    def hold(self, pick: int) -> None:
        """A campaign is held."""
        subject = chosen(self.world.campaigns, pick).id
        hold = Hold(level=Level.CAMPAIGN, subject=subject, reason="test", detail="")
        self.bench.db.run(holds.place, hold)

    @rule()
    def release(self) -> None:
        """Everything that is held is released."""
        for one in self.world.campaigns:
            self.bench.db.run(holds.release, Level.CAMPAIGN, one.id, author="test")
        self.bench.db.run(holds.release, Level.SENDER, self.world.sender_id, author="test")

    # What a worker does.

    @precondition(lambda self: self.world.campaigns)
    @rule(who=WORKER, pick=PICK)
    def read(self, who: int, pick: int) -> None:
        """A worker reads what is due, whether or not another one has, too."""
        self.hands.read(chosen(self.world.workers, who), chosen(self.world.campaigns, pick))

    @precondition(lambda self: any(worker.read for worker in self.world.workers))
    @rule(who=WORKER, breaks=st.sampled_from(["", "", "", "before", "after"]))
    def guard(self, who: int, breaks: str) -> None:
        """A worker guards what it has read; the connection may break before or after the commit."""
        self.hands.guard(chosen(self.world.workers, who), breaks)

    @precondition(lambda self: any(worker.undo for worker in self.world.workers))
    @rule(who=WORKER)
    def undo(self, who: int) -> None:
        """A worker puts back what its broken guard may have committed."""
        worker = chosen(self.world.workers, who)
        mine = {row.id: row.gen + 1 for row in worker.undo}
        worker.undo = []
        self.bench.db.run(self.parts.messages.put_back, mine, owner=worker.id, reason="guard_broke")

    @precondition(lambda self: any(worker.refused for worker in self.world.workers))
    @rule(who=WORKER)
    def explain(self, who: int) -> None:
        """A worker settles what its guard refused, if it is suppressed."""
        worker = chosen(self.world.workers, who)
        ids, worker.refused = [row.id for row in worker.refused], []
        self.bench.db.run(self.parts.messages.suppress, ids)

    @precondition(lambda self: any(one.licences or one.late for one in self.world.workers))
    @rule(who=WORKER, connects=st.integers(0, 4))
    def begin(self, who: int, connects: int) -> None:
        """A worker begins what it guarded, in time and with a connection, or does not."""
        self.hands.begin(chosen(self.world.workers, who), connects=connects > 0)

    @precondition(lambda self: self.world.campaigns)
    @rule(who=WORKER, pick=PICK)
    def send(self, who: int, pick: int) -> None:
        """A worker takes a window through all its steps, up to the request."""
        worker = chosen(self.world.workers, who)
        self.hands.read(worker, chosen(self.world.campaigns, pick))
        self.hands.guard(worker)
        self.hands.begin(worker)

    @precondition(lambda self: any(worker.answers for worker in self.world.workers))
    @rule(who=WORKER, heard=st.integers(0, 3))
    def settle(self, who: int, heard: int) -> None:
        """A worker settles its answers; if it hears nothing of the commit, it will again."""
        worker = chosen(self.world.workers, who)
        self.hands.settle(worker)
        if heard:
            worker.answers.clear()

    @rule(who=WORKER, kill=st.booleans())
    def lose(self, who: int, *, kill: bool) -> None:
        """A worker is killed, or only its session breaks and it finds a new one later."""
        worker = chosen(self.world.workers, who)
        if kill:
            self.world.flying += worker.waits_for
            worker.start()
        else:
            worker.unlock()

    @rule(who=WORKER)
    def come_back(self, who: int) -> None:
        """A worker's session is there again."""
        worker = chosen(self.world.workers, who)
        worker.unlock()
        worker.lock()

    # What happens on the network and at the provider.

    @precondition(lambda self: any(worker.waits_for for worker in self.world.workers))
    @rule(who=WORKER, says=st.sampled_from(["accepted", "accepted", *REFUSALS]), arrives=PICK)
    def answer(self, who: int, says: str, arrives: int) -> None:
        """The provider answers a request, and the answer may be lost."""
        worker = chosen(self.world.workers, who)
        if not worker.waits_for:
            return
        licence = worker.waits_for.pop(0)
        outcome = self.hands.accept(licence) if says == "accepted" else REFUSALS[says]
        if not arrives:
            outcome = Ambiguous(why="reset")
        worker.answers.append(Answer(licence, outcome))

    @precondition(lambda self: any(worker.waits_for for worker in self.world.workers))
    @rule(who=WORKER)
    def hear_nothing(self, who: int) -> None:
        """A worker gives up on an answer; its request is still on the network."""
        worker = chosen(self.world.workers, who)
        for licence in worker.waits_for:
            worker.answers.append(Answer(licence, Ambiguous(why="read_timeout")))
        self.world.flying += worker.waits_for
        worker.waits_for = []

    @precondition(lambda self: self.world.flying)
    @rule(arrives=st.booleans())
    def land(self, *, arrives: bool) -> None:
        """A request that nobody waits for is accepted, or lost."""
        licence = self.world.flying.pop(0)
        if arrives:
            self.hands.accept(licence)

    @precondition(lambda self: self.world.wire.accepted)
    @rule(pick=PICK, what=st.sampled_from(STATUSES), again=st.booleans())
    def call_back(self, pick: int, what: tuple[str, int | None], *, again: bool) -> None:
        """A status callback comes, in any order, perhaps twice in one batch."""
        receipt = chosen(self.world.wire.accepted, pick).receipt(*what)
        batch = [receipt, receipt] if again else [receipt]
        answers = finish(self.world.receipts.receive(self.world.inline, batch))
        assert all(isinstance(one, Counted) for one in answers)
        kept = self.bench.value(_KEPT, id=receipt.message_id, status=receipt.status)
        assert receipt.code in kept, "a callback left no record"

    # What the person does, and what becomes of it.

    @precondition(lambda self: len(self.world.texts) < 4)
    @rule(person=WORKER, keyword=st.sampled_from(["STOP", "STOP", "START"]), minute=PICK)
    def text(self, person: int, keyword: str, minute: int) -> None:
        """A text comes and is stored. Texts may come in another order than they were sent."""
        world = self.world
        sid = f"SM{world.people[0]:x}{len(world.texts):04x}"
        recipient = chosen(world.people, person)
        event_id = self.bench.text(keyword, recipient, sid=sid, to=world.sender)
        at = world.began + timedelta(minutes=minute)
        world.texts.append(Text(sid, keyword, recipient, at, event_id))

    @precondition(lambda self: self.world.texts)
    @rule(pick=PICK)
    def repeat(self, pick: int) -> None:
        """A webhook comes again, and means the same."""
        one = chosen(self.world.texts, pick)
        to = self.world.sender
        assert self.bench.text(one.keyword, one.recipient, sid=one.sid, to=to) == one.event_id

    @precondition(lambda self: self.world.texts)
    @rule(pick=PICK)
    def date(self, pick: int) -> None:
        """The consumer asks when a text was sent."""
        one = chosen(self.world.texts, pick)
        self.world.wire.told[one.sid] = one.at
        self.bench.execute("UPDATE inbound SET next_lookup = NULL WHERE sid = :s", s=one.sid)
        finish(self.world.times.fetch())
        one.dated = True

    @precondition(lambda self: self._open_stops())
    @rule(pick=PICK)
    def withdraw(self, pick: int) -> None:
        """The first half of a round of the webhook app."""
        self.bench.db.run(self.parts.enforcement.table.withdraw, [self._open_stop(pick)])

    @precondition(lambda self: self._open_stops())
    @rule(pick=PICK)
    def look(self, pick: int) -> None:
        """The second half, perhaps long after the first one or without it."""
        table, horizon = self.parts.enforcement.table, self.parts.enforcement.horizon
        self.bench.db.run(table.mark_enforced, [self._open_stop(pick)], horizon=horizon)

    @precondition(lambda self: any(one.event_id for one in self.world.texts))
    @rule()
    def consume(self) -> None:
        """A whole round of the consumer."""
        self.parts.enforcement.step(
            self.bench.db, [one.event_id for one in self.world.texts if one.event_id is not None]
        )

    @precondition(lambda self: any(one.event_id for one in self.world.texts))
    @rule()
    def acknowledge(self) -> None:
        """Webhooks are answered whose opt-outs are enforced."""
        stops = {one.event_id: one for one in self.world.texts if one.event_id is not None}
        waiting = self.bench.db.run(self.parts.enforcement.table.still_open, list(stops))
        for event_id in stops.keys() - waiting:
            stops[event_id].acknowledged = True

    def _open_stops(self) -> list[Text]:
        return [one for one in self.world.texts if one.event_id and not one.enforced]

    def _open_stop(self, pick: int) -> int:
        return chosen(self._open_stops(), pick).event_id or 0

    # What puts things right.

    @precondition(lambda self: self.world.campaigns)
    @rule()
    def sweep(self) -> None:
        """The sweeper looks for what a lost worker left."""
        self.bench.db.run(self.parts.abandon, self.world.slices)

    @precondition(lambda self: self.world.campaigns)
    @rule()
    def close(self) -> None:
        """The sweeper ends what is over."""
        for one in self.world.campaigns:
            close_out(self.bench.db, one.id)
        self.bench.db.run(sweeping.complete)

    @precondition(lambda self: self.world.campaigns)
    @rule()
    def resolve(self) -> None:
        """The resolver asks the provider about doubts."""
        self.bench.execute(
            "UPDATE doubt SET next_check = now() WHERE message_id IN "
            "(SELECT id FROM message WHERE campaign_id = ANY (:ids))",
            ids=self.world.ids,
        )
        finish(self.world.resolver.resolve())

    @precondition(lambda self: self.world.campaigns)
    @rule(arrive=st.booleans())
    def time_passes(self, *, arrive: bool) -> None:
        """More than the horizon and a lease; what is on the network arrives before, or is lost."""
        for worker in self.world.workers:
            for licence in worker.waits_for:
                worker.answers.append(Answer(licence, Ambiguous(why="read_timeout")))
        for licence in self.world.under_way if arrive else ():
            self.hands.accept(licence)
        self.world.flying = []
        for worker in self.world.workers:
            worker.waits_for = []
        self.world.time_passes()

    @invariant()
    def all_is_well(self) -> None:
        """Every promise holds."""
        self.checks()

    def teardown(self) -> None:
        """Come to an end, unless a rule failed or the example was given up."""
        try:
            if sys.exc_info()[0] is None:
                bring_to_an_end(self)
        finally:
            self.world.close()


def only(*rules: str, to_the_end: bool = False) -> type[SendMachine]:
    """The same machine with these rules alone: what is looked for is found sooner.

    The others are still there to be called, if its examples are brought to their end.
    """
    others = {
        name: _plain(name)
        for name, method in vars(SendMachine).items()
        if hasattr(method, RULE_MARKER) and name not in rules
    }
    if not to_the_end:
        others["teardown"] = lambda self: self.world.close()
    return type("NarrowMachine", (SendMachine,), others)


def _plain(name: str) -> Callable[..., None]:
    def call(self: SendMachine, *args: Any, **kwargs: Any) -> None:
        getattr(SendMachine, name)(self, *args, **kwargs)

    return call
