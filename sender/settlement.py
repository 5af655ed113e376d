"""Outcome → state: the one place where the provider's answer to a create becomes a row's state."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import assert_never
from uuid import UUID

from sender import feedback
from sender.domain.backoff import backoff
from sender.domain.consent import Suppression
from sender.domain.message import Guarded, State
from sender.domain.outcome import (
    Accepted,
    Ambiguous,
    NotBegun,
    OptedOut,
    Outcome,
    QueueFull,
    RefusalKind,
    Refused,
    Throttled,
)
from sender.domain.provider import HandOff
from sender.enforcement import BlockReport, Enforcement, SuppressionCache
from sender.storage.database import AsyncDatabase, Transaction
from sender.storage.messages import MessageTable
from sender.storage.settling import Move, Way

#: How long a throttled row rests at least when the provider did not say: long enough for its
#: concurrency to drain (its answers take well under a second), short enough not to be felt.
THROTTLE_REST = timedelta(seconds=2)
#: How long a row rests at least whose connection failed: a provider that is down is asked gently.
CONNECT_REST = timedelta(seconds=5)
#: Of a message id, how many values its random end is told apart by.
_CHANCES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Handed:
    """A guarded row and what came of handing it off."""

    guarded: Guarded
    hand_off: HandOff


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """Settles batches of hand-offs."""

    messages: MessageTable
    enforcement: Enforcement
    cache: SuppressionCache

    def decide(self, guarded: Guarded, outcome: Outcome) -> Way:  # noqa: PLR0911  # a table
        """What a row becomes. Total: every outcome has one answer, and it names its reason."""
        match outcome:
            case Accepted():
                return _way(State.SENT, "accepted", provider_status=outcome.provider_status)
            case OptedOut():
                return _way(State.SUPPRESSED, "provider_block", outcome.code)
            case Refused(kind=RefusalKind.HALT | RefusalKind.ACCOUNT):
                # Nothing is wrong with the recipient: the row waits behind the hold.
                return _way(State.PENDING, "refused", outcome.code)
            case Refused():
                return _way(State.FAILED, outcome.kind.value, outcome.code)
            case Throttled():
                rest = _rest(guarded, THROTTLE_REST) + (outcome.retry_after or timedelta())
                return _way(State.PENDING, "throttled", outcome.code, rest=rest)
            case QueueFull():
                return _way(State.PENDING, "queue_full", outcome.code, rest=outcome.retry_after)
            case NotBegun():
                return _way(State.PENDING, outcome.why, rest=_rest(guarded, CONNECT_REST))
            case Ambiguous():
                return _way(State.IN_DOUBT, outcome.why, outcome.code)
            case _:
                assert_never(outcome)

    async def settle(self, db: AsyncDatabase, batch: Sequence[Handed]) -> None:
        """Commit what became of a batch.

        Opt-outs go one by one in transactions of their own: they lock the person's consent
        before any message row.
        """
        blocked = [one for one in batch if isinstance(one.hand_off.outcome, OptedOut)]
        plain = [one for one in batch if not isinstance(one.hand_off.outcome, OptedOut)]
        moves = [self._move(one) for one in plain]
        refused = [
            (one.guarded.message_id, one.hand_off.outcome)
            for one in plain
            if isinstance(one.hand_off.outcome, Refused)
        ]
        if refused:
            await db.run(self._settle_refused, moves, refused)
        elif moves:
            await db.run_alone(self.messages.settle_alone, moves)
        active = [entry for one in blocked for entry in await db.run(self._settle_blocked, one)]
        if active:
            await self.cache.add(active)

    def _settle_refused(
        self, tx: Transaction, moves: Sequence[Move], refused: Sequence[tuple[UUID, Refused]]
    ) -> None:
        """With what refusals say beyond their messages."""
        self.messages.settle(tx, moves)
        feedback.learn_refusals(tx, refused)

    def _move(self, one: Handed) -> Move:
        guarded, outcome = one.guarded, one.hand_off.outcome
        return Move(
            message_id=guarded.message_id,
            gen=guarded.gen,
            way=self.decide(guarded, outcome),
            sid=outcome.sid if isinstance(outcome, Accepted) else None,
        )

    def _settle_blocked(self, tx: Transaction, one: Handed) -> list[Suppression]:
        move = self._move(one)
        began_at, offset = one.hand_off.began_at, one.hand_off.clock_offset or timedelta()
        report = BlockReport(
            message_id=one.guarded.message_id,
            code=move.way.provider_code or 0,
            door="create",
            began_at=began_at,
            provider_at=began_at + offset,
        )
        active = self.enforcement.record_block(tx, report)
        self.messages.settle(tx, [move])
        return active


@lru_cache(maxsize=256)  # rows that go the same share one
def _way(
    state: State,
    reason: str,
    provider_code: int | None = None,
    *,
    provider_status: str | None = None,
    rest: timedelta = timedelta(),
) -> Way:
    return Way(
        state=state,
        reason=reason,
        provider_status=provider_status,
        provider_code=provider_code,
        rest=rest,
    )


def _rest(guarded: Guarded, first: timedelta) -> timedelta:
    """A row's rest, by its history alone, so that whoever settles it comes to the same."""
    # It was guarded, and put back, once for every two generations; its id ends in random bits.
    attempts, chance = guarded.gen // 2, guarded.message_id.int % _CHANCES / _CHANCES
    return backoff(first, attempts=attempts, chance=chance)
