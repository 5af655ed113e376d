"""A Celery app whose workers note each message's way from its Redis lookup to its request.

The same worker with two collaborators wrapped: ``celery -A benchmarks.timed_worker worker``. Every
second what was noted is appended to a file of this process in ``BENCH_TIMES``.
"""

import asyncio
import os
import time
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from sender.config import Settings
from sender.domain.admission import Admission, Pace
from sender.domain.message import OutboundText
from sender.domain.provider import HandOff
from sender.parts import WorkerRuntime
from sender.runtime import Runtime
from sender.sending import Gateway, Gateways, Lookup
from workers.app import SenderApp, create_app

#: The folder's environment variable.
FOLDER = "BENCH_TIMES"
_EVERY = timedelta(seconds=1)


@dataclass(frozen=True)
class _Times:
    """What was noted and not written yet: recipients, Unix times of Redis's answer and the POST."""

    asked: dict[int, float] = field(default_factory=dict)
    begun: "array[float]" = field(default_factory=lambda: array("d"))

    async def write_out(self, path: Path) -> None:
        """Append what is noted to a file, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY.total_seconds())
            if self.begun:
                with path.open("ab") as file:
                    self.begun.tofile(file)
                del self.begun[:]


@dataclass(frozen=True)
class _TimedLookup:
    inner: Lookup
    times: _Times

    async def check(
        self,
        *,
        pace: Pace,
        scopes: Sequence[tuple[int, int]],
        recipients: Sequence[int],
        segments: Sequence[int],
    ) -> Admission:
        answer = await self.inner.check(
            pace=pace, scopes=scopes, recipients=recipients, segments=segments
        )
        # Who is asked about again, for want of tokens, waits from the last answer on.
        self.times.asked.update(dict.fromkeys(recipients, time.time()))
        return answer

    async def give_back(self, pace: Pace, *, segments: int) -> None:
        await self.inner.give_back(pace, segments=segments)

    async def pause(self, tenant_id: int, length: timedelta) -> None:
        await self.inner.pause(tenant_id, length)


@dataclass(frozen=True)
class _TimedGateway:
    inner: Gateway
    times: _Times

    async def send(self, text: OutboundText, *, deadline: float, connect_by: float) -> HandOff:
        hand_off = await self.inner.send(text, deadline=deadline, connect_by=connect_by)
        asked = self.times.asked.pop(text.recipient)
        self.times.begun.extend((text.recipient, asked, hand_off.began_at.timestamp()))
        return hand_off


@dataclass(frozen=True)
class _TimedGateways:
    inner: Gateways
    times: _Times

    async def of(self, tenant_id: int) -> Gateway:
        return _TimedGateway(await self.inner.of(tenant_id), self.times)


class TimedRuntime(Runtime):
    """Builds a worker that notes the times of its messages."""

    @asynccontextmanager
    async def worker(self, name: str) -> AsyncIterator[WorkerRuntime]:
        """The same use cases, the pump's two collaborators wrapped."""
        times = _Times()
        async with super().worker(name) as found:
            path = Path(os.environ[FOLDER]) / f"{os.getpid()}.times"
            writing = asyncio.create_task(times.write_out(path))
            lookup = _TimedLookup(found.pump.lookup, times)
            gateways = _TimedGateways(found.pump.gateways, times)
            try:
                yield replace(found, pump=replace(found.pump, lookup=lookup, gateways=gateways))
            finally:
                writing.cancel()


def _app() -> SenderApp:
    made = create_app()
    assert isinstance(made, SenderApp)
    made.sender_process.build = lambda: TimedRuntime(settings=Settings.from_environment())
    return made


app = _app()
