"""A worker's sign of life: an advisory lock, held on a connection of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog

from sender.errors import MarkUnavailable
from sender.high_water import HighWater
from sender.storage import workers
from sender.storage.database import AsyncDatabase, DatabaseError, Session, Transaction, told
from sender.storage.workers import NewWorker

log = structlog.get_logger(__name__)

#: How often the lock's connection is tried, and how soon a lost one is replaced.
CHECK_EVERY = timedelta(seconds=1)
#: How long an answer may take on that connection. A connection can break without a word (a
#: firewall that forgot it): then no answer comes, ever.
PATIENCE = timedelta(seconds=5)


class Gate(Protocol):
    """What lets work begin; `sender.permits.Permits` is one."""

    def open(self) -> None:
        """Work may begin."""

    def close(self) -> None:
        """Nothing new may begin; what is under way may be finished."""


@asynccontextmanager
async def living(
    db: AsyncDatabase,
    worker: NewWorker,
    *,
    gate: Gate,
    patience: timedelta = PATIENCE,
    water: HighWater | None = None,
) -> AsyncIterator[int]:
    """Register a worker and hold its lock while the block runs; yields its id.

    A lost connection is replaced. Meanwhile the sweeper may call this worker's rows in doubt,
    which costs certainty, never a second text: their outcomes are still accepted. So that this
    stays a few seconds' rows, the gate is closed while the lock is not known to be held.

    Args:
        db: where the worker is registered.
        worker: what is registered.
        gate: opened once the lock is held, in a database that is not older than known.
        patience: how long Postgres's answer about the lock is waited for.
        water: what is known of the database; looked at whenever the lock is.
    """
    worker_id = await db.run(workers.register, worker)
    keeper = _Keeper(
        db=db,
        water=water or HighWater(),
        entry=partial(workers.enter, worker_id=worker_id, worker=worker),
        worker_id=worker_id,
        gate=gate,
        patience=patience.total_seconds(),
    )
    keeping = asyncio.create_task(keeper.keep())
    try:
        await _until_held(keeping, keeper.held)
        yield worker_id
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await keeper.water.close()


async def _until_held(keeping: asyncio.Task[None], held: asyncio.Event) -> None:
    """Wait until the lock is held; raise what the keeper raised if it ended before that."""
    holding = asyncio.create_task(held.wait())
    await asyncio.wait({keeping, holding}, return_when=asyncio.FIRST_COMPLETED)
    holding.cancel()
    if keeping.done():
        await keeping


class _Keeper:
    """Holds one worker's lock, again and again."""

    def __init__(
        self,
        *,
        db: AsyncDatabase,
        water: HighWater,
        entry: Callable[[Transaction], None],
        worker_id: int,
        gate: Gate,
        patience: float,
    ) -> None:
        self._db = db
        self.water = water
        self._entry = entry
        self._worker_id = worker_id
        self._gate = gate
        self._patience = patience
        self._closing: asyncio.TimerHandle | None = None
        #: What the last warning said of Redis or the disk; empty since they answered.
        self._asking_in_vain = ""
        #: Set once the lock was held for the first time.
        self.held = asyncio.Event()

    async def keep(self) -> None:
        """Hold the lock until cancelled.

        Raises:
            Exception: unexpected, and the lock was never held: the worker must not start.
        """
        while True:
            try:
                await self._hold()
            except (DatabaseError, OSError) as exc:  # a time-out is an OSError
                log.warning("worker_lock_lost", worker=self._worker_id, error=told(exc))
            except Exception as exc:
                if not self.held.is_set():
                    raise
                log.error("worker_lock_lost", worker=self._worker_id, error=told(exc))
            finally:
                self._gate.close()
            await asyncio.sleep(CHECK_EVERY.total_seconds())

    async def _hold(self) -> None:
        """Take the lock, and try its connection until that is lost."""
        async with self._db.session() as session:
            async with asyncio.timeout(self._patience):
                await session.run(workers.hold_lock, self._worker_id)
                await session.run(self._entry)
            compared = False
            while True:
                compared = await self._look(session, anew=not compared)
                self.held.set()
                await asyncio.sleep(CHECK_EVERY.total_seconds())

    async def _look(self, session: Session, *, anew: bool) -> bool:
        """Look at the database, which tries the connection too, and open or close the gate.

        Returns:
            Whether all could be asked.
        """
        try:
            async with asyncio.timeout(self._patience):
                may_work = await self.water.look(session, anew=anew)
        except MarkUnavailable as exc:
            if self._asking_in_vain != (why := str(exc)):
                log.warning("high_water_unknown", worker=self._worker_id, error=why)
            self._asking_in_vain = why
            self._gate.close()
            async with asyncio.timeout(self._patience):
                await session.ping()
            return False
        self._asking_in_vain = ""
        if may_work:
            self._seen()
        else:
            self._gate.close()
        return True

    def _seen(self) -> None:
        """The lock is held now; the gate closes by itself unless that is seen again in time.

        By a timer, because leaving a connection that does not answer takes the driver seconds.
        """
        if self._closing is not None:
            self._closing.cancel()
        loop, seconds = asyncio.get_running_loop(), CHECK_EVERY.total_seconds() + self._patience
        self._closing = loop.call_later(seconds, self._gate.close)
        self._gate.open()
