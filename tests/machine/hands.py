"""The steps of a worker and of the provider, which several rules take."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import OperationalError

from sender.config import LEASE
from sender.domain.message import Guarded
from sender.domain.outcome import Accepted, NotBegun, Outcome
from sender.settlement import Handed
from sender.storage.database import Transaction
from sender.storage.messages import DueMessage
from tests.bench import hand_off
from tests.machine.wire import Licence
from tests.machine.world import Answer, Campaign, Worker, World, finish

_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True)
class Hands:
    """Each step is a commit, or none."""

    world: World

    def read(self, worker: Worker, campaign: Campaign) -> None:
        """Read what is due of a campaign."""
        due = self.world.bench.db.run(
            self.world.parts.messages.due,
            campaign_id=campaign.id,
            after=_FIRST,
            last=_LAST,
            limit=len(campaign.people),
        )
        worker.read = [(campaign, row) for row in due]

    def guard(self, worker: Worker, breaks: str = "") -> None:
        """Guard what was read; the connection may break ``before`` or ``after`` the commit.

        A worker whose guard broke undoes that before anything else.
        """
        if not worker.read or worker.undo:
            return
        read, worker.read = worker.read, []
        rows = [row for _, row in read]
        try:
            passed = self.world.bench.db.run(self._guard, worker, rows, breaks)
        except OperationalError:
            worker.undo = rows
            return
        by_id = {one.message_id: one for one in passed}
        worker.licences += [
            self._licence(campaign, row, by_id[row.id]) for campaign, row in read if row.id in by_id
        ]
        worker.refused = [row for row in rows if row.id not in by_id]

    def _guard(
        self, tx: Transaction, worker: Worker, rows: list[DueMessage], breaks: str
    ) -> list[Guarded]:
        passed = self.world.parts.messages.guard(tx, rows, owner=worker.id, lease=LEASE)
        if breaks == "after":
            tx.commit()
        if breaks:
            raise OperationalError("COMMIT", {}, Exception("the connection broke"))
        return passed

    def _licence(self, campaign: Campaign, row: DueMessage, guarded: Guarded) -> Licence:
        return Licence(
            guarded=guarded,
            recipient=row.recipient,
            sender=self.world.sender,
            body=campaign.body,
        )

    def begin(self, worker: Worker, *, connects: bool = True) -> None:
        """Write the requests, unless it is too late or there is no connection."""
        if not self.world.parts.looks_at_clock:
            worker.licences += worker.late
            worker.late = []
        for one in worker.late:
            worker.answers.append(Answer(one, NotBegun(why="too_late")))
        for one in worker.licences:
            if connects:
                assert not self.world.closed_to(one.recipient), "begun after the STOP"
                worker.waits_for.append(one)
            else:
                worker.answers.append(Answer(one, NotBegun(why="connect_refused")))
        worker.late, worker.licences = [], []

    def settle(self, worker: Worker) -> None:
        """Settle what was answered; it stays in memory."""
        batch = [
            Handed(
                guarded=one.licence.guarded,
                hand_off=hand_off(one.outcome),
            )
            for one in worker.answers
        ]
        finish(self.world.settlement.settle(self.world.inline, batch))

    def accept(self, licence: Licence) -> Outcome:
        """The provider takes a request."""
        assert not self.world.closed_to(licence.recipient), "accepted after the STOP"
        taken = self.world.wire.accept(licence)
        return Accepted(sid=taken.sid, provider_status="queued")
