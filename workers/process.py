"""One Celery worker process: its event loop, shared by all its slices, and its use cases."""

from __future__ import annotations  # what they name is imported by workers only

import asyncio
import gc
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from os import getpid
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
import uvloop

from workers.coalescing import Coalescing
from workers.seats import Seats

if TYPE_CHECKING:
    from sender.parts import WorkerRuntime
    from sender.recovery import Kicker, Sweeper
    from sender.runtime import Runtime

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: Publishes the hint of a slice.
Hints = Callable[[int], None]

#: Objects that are made and not freed between two collections of each generation. A message makes
#: some hundred, and frees them without the collector's help: looking for cycles among them every
#: 700 took a sixth of a worker's time. What runs and connections leave waiting is a few megabytes.
COLLECT_EVERY = (25_000, 20, 20)
#: Seconds that the loop's thread is waited for: it comes round in some milliseconds.
_ENDS_WITHIN = 5.0


@dataclass
class WorkerProcess:
    """Opened when the worker starts, closed when it has drained.

    Celery's pool threads hand their slices to one event loop, so that a process has one limit
    of requests in flight and one pool of connections.
    """

    #: Builds the runtime from the settings; called once, in the worker.
    build: Callable[[], Runtime]
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None
    _runtime: Runtime | None = None
    _worker: WorkerRuntime | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    #: For bulk slices; as many as the settings say, once it is open.
    _seats: Seats = field(default_factory=lambda: Seats(1))
    _offers: Coalescing = field(default_factory=Coalescing)
    _kicker: Kicker | None = None
    _sweeper: Sweeper | None = None

    def on_init(self, **_: Any) -> None:
        """Start the loop and open everything.

        Raises:
            SenderError: a setting is wrong, or the database may not be worked on.
            DatabaseError: it cannot be reached.
        """
        self._runtime = self.build()

        from sender import logs  # noqa: PLC0415  # loaded by now

        settings = self._runtime.settings
        logs.configure(settings.log_level)
        self._seats = Seats(settings.slices - settings.reserved_slices)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="send", daemon=True)
        self._thread.start()
        try:
            self._worker = self._run(self._open())
        except BaseException:
            self._end_loop()
            raise
        collect_rarely()

    async def _open(self) -> WorkerRuntime:
        if self._runtime is None:
            raise RuntimeError("the worker was not initialised")
        name = f"{socket.gethostname()}:{getpid()}"
        return await self._stack.enter_async_context(self._runtime.worker(name))

    def on_shutting_down(self, **_: Any) -> None:
        """SIGTERM: slices end at their next window; what is in flight is settled."""
        if self._loop is not None and self._worker is not None:
            self._loop.call_soon_threadsafe(self._worker.stop)

    def on_shutdown(self, **_: Any) -> None:
        """Close everything, once Celery's tasks have ended; a second time is nothing."""
        if self._loop is not None:
            try:
                self._run(self._stack.aclose())
            finally:
                self._end_loop()

    def _end_loop(self) -> None:
        """End the loop's thread: one that wakes when Python is gone crashes the process."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_ENDS_WITHIN)
            self._loop = None

    @property
    def worker_id(self) -> int:
        """This process's id in Postgres."""
        return self._use_cases.pulse.worker_id

    def start_pulse(self, publish: Callable[[int], bool]) -> None:
        """Publish pulses from now on until the process is closed; see `Pulse.beat`."""
        self._run(self._start_pulse(publish))

    async def _start_pulse(self, publish: Callable[[int], bool]) -> None:
        beating = asyncio.create_task(self._use_cases.pulse.beat(publish))
        self._stack.callback(beating.cancel)

    def hear_pulse(self, worker_id: int) -> None:
        """A pulse was delivered."""
        with _told_briefly("pulse"):
            self._run(self._use_cases.pulse.hear(worker_id))

    def work(self, slice_id: int) -> bool:
        """Work on a bulk slice; whether there was anything to do, and room for it."""
        pump = self._use_cases.pump
        with _told_briefly("send_slice"), self._seats.taken() as seated:
            return (seated or self._run(pump.may_exceed(slice_id))) and self._run(
                pump.work(slice_id)
            )
        return False

    def work_transactional(self, slice_id: int) -> bool:
        """Work on a transactional slice; whether there was anything to do."""
        with _told_briefly("send_transactional"):
            return self._run(self._use_cases.pump.work(slice_id))
        return False

    def resolve(self) -> None:
        """Look into doubts, take back at Twilio what is wanted back, ask for missed callbacks."""
        try:
            with _told_briefly("resolve"):
                self._run(self._use_cases.resolver.resolve())
        finally:
            try:
                with _told_briefly("recall"):
                    self._run(self._use_cases.recaller.recall())
            finally:
                with _told_briefly("chase"):
                    self._run(self._use_cases.chaser.chase())

    def kick(self, publish: Hints, publish_transactional: Hints) -> None:
        """Start what is scheduled, and offer slices, as `offer` does."""
        with _told_briefly("kick"):
            self._kicker_over(publish, publish_transactional).kick()

    def offer(self, publish: Hints, publish_transactional: Hints) -> None:
        """Offer slices through the one or the other, which are the same at every call.

        Slices end together. A second offer beside one would get nothing: one follows it instead.
        """
        with _told_briefly("offer"):
            self._offers.ask(self._kicker_over(publish, publish_transactional).offer)

    def _kicker_over(self, publish: Hints, publish_transactional: Hints) -> Kicker:
        if self._kicker is None:
            self._kicker = self._built.kicker(publish, publish_transactional)
        return self._kicker

    def sweep(self) -> None:
        """Sweep what was abandoned."""
        if self._sweeper is None:
            self._sweeper = self._built.sweeper()
        with _told_briefly("sweep"):
            self._sweeper.sweep()

    @property
    def _built(self) -> Runtime:
        if self._runtime is None:
            raise RuntimeError("tasks run in a Celery worker only")
        return self._runtime

    @property
    def _use_cases(self) -> WorkerRuntime:
        if self._worker is None:
            raise RuntimeError("tasks run in a Celery worker only")
        return self._worker

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            raise RuntimeError("tasks run in a Celery worker only")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def collect_rarely() -> None:
    """Have the collector look at what is there now no more, and at new objects rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_EVERY)


@contextmanager
def _told_briefly(task: str) -> Iterator[None]:
    """Keep a database's error from Celery, which shows its text, with the row it quotes, to all.

    The next beat does the task again, and the kicker offers the slice again.
    """
    from sender.storage.database import DatabaseError, told  # noqa: PLC0415  # loaded by now

    try:
        yield
    except DatabaseError as exc:
        log.warning("task_failed", task=task, error=told(exc))
