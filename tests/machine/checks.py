"""What must hold after every rule."""

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from sender.domain.message import TRANSITIONS, State
from tests.machine.world import World

_ROWS = text("""
    SELECT id, campaign_id, recipient, state, gen, reason, sid, guarded_at FROM message
    WHERE campaign_id = ANY (:campaigns)
""")
_ENFORCED = text("""
    SELECT event_id FROM enforcement WHERE event_id = ANY (:events) AND enforced_at IS NOT NULL
""")
_KEPT = text("""
    SELECT i.sid FROM inbound i JOIN consent_event e ON e.source_id = i.sid
    WHERE i.sid = ANY (:sids) AND e.direction = 'opt_out'
""")
_STOPPED = text("""
    SELECT recipient FROM suppression WHERE recipient = ANY (:people) AND reason = 'stop'
""")


class Checks:
    """Compares what the tables say with what happened, and with what they said before."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._before: dict[UUID, Row[Any]] = {}

    def __call__(self) -> None:
        """Look at everything.

        Raises:
            AssertionError: a promise is broken.
        """
        world = self._world
        stops = [one for one in world.texts if one.event_id is not None]
        with world.bench.db.transaction() as tx:
            rows = tx.execute(_ROWS, {"campaigns": world.ids}).all()
            events = [one.event_id for one in stops]
            enforced = set(tx.execute(_ENFORCED, {"events": events}).scalars())
            kept = set(tx.execute(_KEPT, {"sids": [one.sid for one in stops]}).scalars())
            stopped = set(tx.execute(_STOPPED, {"people": list(world.people)}).scalars())
        self._check_enforcement(enforced)
        assert {one.sid for one in stops} == kept, "a stored STOP is not kept"
        assert stopped == self._suppressed(), "the list is not what the texts amount to"
        self._check_rows(rows)
        self._check_sums(rows)
        assert set(world.wire.counts().values()) <= {1}, "sent twice"

    def _check_enforcement(self, enforced: set[int]) -> None:
        """When an opt-out is marked as enforced nothing is under way to that person any more."""
        world = self._world
        for stop in world.texts:
            if stop.event_id not in enforced or stop.enforced:
                continue
            stop.enforced = True
            if world.in_force(stop):
                licensed = [one for worker in world.workers for one in worker.licences]
                open_to = {one.recipient for one in (*world.under_way, *licensed)}
                assert stop.recipient not in open_to, "enforced while a request may come"

    def _suppressed(self) -> set[int]:
        """Whoever sent a STOP that no later START lifts, as far as times are known."""
        world = self._world
        return {
            stop.recipient
            for stop in world.texts
            if stop.keyword == "STOP" and (world.in_force(stop) or not stop.dated)
        }

    def _check_rows(self, rows: Sequence[Row[Any]]) -> None:
        for row in rows:
            before = self._before.get(row.id)
            if before is not None and before != row:
                _check_move(before, row)
            self._before[row.id] = row
            if not TRANSITIONS[State(row.state)]:
                assert row.reason, f"{row.state} without a reason"
            if taken := self._world.wire.sent_to(row.id):
                assert row.guarded_at is not None, "sent without a guard"
                assert row.state != "pending", "accepted, and pending again"
                assert row.sid in {None, taken[0].sid}, "another message's SID"

    def _check_sums(self, rows: Sequence[Row[Any]]) -> None:
        counts = Counter(row.campaign_id for row in rows)
        expected = {one.id: len(one.people) for one in self._world.campaigns}
        assert counts == expected, "a message is missing, or there twice"


def _check_move(before: Row[Any], after: Row[Any]) -> None:
    assert after.gen >= before.gen, "a generation went back"
    if after.state == before.state:
        return
    was, now = State(before.state), State(after.state)
    assert now in TRANSITIONS[was], f"{was} became {now}"
    if State.PENDING in {was, now} and State.SENDING in {was, now}:
        assert after.gen > before.gen, "guarded or put back under the same generation"
