"""The end of an example: from now on all goes well, and everything must come to an end."""

from typing import TYPE_CHECKING

from sender.config import LEASE
from sender.storage.slices import SliceTable

if TYPE_CHECKING:
    from tests.machine.machine import SendMachine

#: In each everybody has a turn; a row needs three at most (guard broken, throttled, sent).
ROUNDS = 6
#: From this one on no more is learnt of what is in doubt.
GIVE_UP = 2
_OLD = """
    UPDATE doubt SET since = since - interval '49 hours' WHERE message_id IN
        (SELECT id FROM message WHERE campaign_id = ANY (:ids))
"""
#: No move leads on from another state but on the provider's later word.
_OPEN = """
    SELECT count(*) FROM message
    WHERE campaign_id = ANY (:ids) AND state IN ('pending', 'sending', 'in_doubt')
"""
_STATES = "SELECT id, state FROM campaign WHERE id = ANY (:ids)"


def bring_to_an_end(machine: "SendMachine") -> None:
    """Let everybody do their work until nothing is left.

    Raises:
        AssertionError: something waits for ever, or ends without a reason.
    """
    world = machine.world
    for number in range(ROUNDS):
        _steer(machine)
        _work(machine)
        _enforce(machine)
        if number == GIVE_UP:
            world.bench.execute(_OLD, ids=world.ids)
        _recover(machine)
        machine.checks()
        if not world.bench.value(_OPEN, ids=world.ids) and number >= 1:
            break
    else:
        raise AssertionError("a message waits for ever")
    states = {row.state for row in world.bench.execute(_STATES, ids=world.ids)}
    assert states <= {"COMPLETED", "CANCELED"}, "a campaign never ends"
    assert all(one.enforced for one in world.texts if one.event_id), "a STOP is never enforced"


def _steer(machine: "SendMachine") -> None:
    world = machine.world
    machine.release()
    verbs = {"DRAFT": "enqueue", "PAUSED": "resume"}
    for row in world.bench.execute(_STATES, ids=world.ids):
        if row.state in verbs:
            machine.steer(world.ids.index(row.id), verbs[row.state])


def _work(machine: "SendMachine") -> None:
    for who, worker in enumerate(machine.world.workers):
        machine.come_back(who)
        if worker.undo:
            machine.undo(who)
        if worker.licences or worker.late:
            machine.begin(who, 1)
        for number in range(len(machine.world.campaigns)) if who == 0 else ():
            machine.send(who, number)
            if worker.refused:
                machine.explain(who)
        while worker.waits_for:
            machine.answer(who, "accepted", 1)
        if worker.answers:
            machine.settle(who, 1)


def _enforce(machine: "SendMachine") -> None:
    for number, one in enumerate(machine.world.texts):
        if not one.dated:
            machine.date(number)
    machine.consume()
    machine.acknowledge()


def _recover(machine: "SendMachine") -> None:
    if machine.world.campaigns:
        machine.time_passes(arrive=False)
        machine.sweep()
        machine.resolve()
        for slice_id in machine.world.slices:
            _close(machine, slice_id)
        machine.close()


def _close(machine: "SendMachine", slice_id: int) -> None:
    """A run over the slice that finds nothing to send, and gives it back."""
    db, owner = machine.bench.db, machine.world.workers[0].id
    machine.bench.execute("UPDATE slice SET due_at = NULL WHERE id = :id", id=slice_id)
    if work := db.run(SliceTable().lease, slice_id, owner=owner, lease=LEASE):
        db.run(SliceTable().close, slice_id, span=work.span, owner=owner, rest=LEASE)
