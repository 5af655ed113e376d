"""The bare sender: our fastest loop that only POSTs. What it is faster than the system is overhead.

The gateway, the SDK's client under it and the transport are the worker's; there is no queue, no
database and no Redis. Each process waits for orders on its standard input, one a line, posts what
each asks for with a constant number of requests in flight, and answers with a line of JSON.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import IO, Any
from uuid import UUID

from benchmarks import people
from benchmarks.plan import body
from benchmarks.rig import ACCOUNT, NUMBER, TOKEN
from sender.config import SEND_DEADLINE
from sender.domain.message import OutboundText
from sender.domain.outcome import Accepted
from sender.gateway import Credentials, TwilioGateway
from sender.send_clock import send_clock

_VALIDITY = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Posted:
    """What all processes together did."""

    messages: int
    #: Of them, how many the provider did not accept.
    refused: int
    began_at: float
    ended_at: float

    @property
    def seconds(self) -> float:
        """From the first request to the last answer."""
        return self.ended_at - self.began_at


@dataclass(frozen=True)
class Bare:
    """Running processes of the bare sender."""

    _processes: Sequence["subprocess.Popen[str]"] = field(repr=False)

    @property
    def pids(self) -> list[int]:
        """For `cpu.Usage`."""
        return [process.pid for process in self._processes]

    def post(self, first: int, size: int, *, callbacks: str, concurrency: int) -> Posted:
        """Text whoever of a run of recipients is not suppressed, each process its share.

        Args:
            first: the first of the run.
            size: how many there are.
            callbacks: where status callbacks go.
            concurrency: requests in flight in each process.
        """
        share = size // len(self._processes)
        for n, process in enumerate(self._processes):
            mine = share if n < len(self._processes) - 1 else size - n * share
            order = {"first": first + n * share, "size": mine, "body": body(first)}
            wanted = {**order, "callbacks": callbacks, "concurrency": concurrency}
            _pipe(process.stdin).write(json.dumps(wanted) + "\n")
            _pipe(process.stdin).flush()
        told: list[dict[str, Any]] = [
            json.loads(_pipe(process.stdout).readline()) for process in self._processes
        ]
        return Posted(
            messages=sum(one["messages"] for one in told),
            refused=sum(one["refused"] for one in told),
            began_at=min(one["began_at"] for one in told),
            ended_at=max(one["ended_at"] for one in told),
        )


@contextmanager
def running_bare(*, provider: str, processes: int) -> Iterator[Bare]:
    """Processes that wait for orders; they end with this one, as their input does."""
    argv = [sys.executable, "-m", "benchmarks.bare", provider]
    with ExitStack() as stack:
        started = []
        for _ in range(processes):
            process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            stack.enter_context(process)
            stack.callback(process.terminate)
            started.append(process)
        yield Bare(started)


def _pipe(found: IO[str] | None) -> IO[str]:
    assert found is not None
    return found


async def _serve(provider: str) -> None:
    async with AsyncExitStack() as stack:
        gateways: dict[str, TwilioGateway] = {}
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            callbacks = order.pop("callbacks")
            if callbacks not in gateways:
                gateways[callbacks] = await stack.enter_async_context(
                    TwilioGateway.open(
                        Credentials.from_auth_token(ACCOUNT, TOKEN),
                        status_callback_base=callbacks,
                        base_url=provider,
                    )
                )
            print(json.dumps(await _post(gateways[callbacks], **order)), flush=True)


async def _post(
    gateway: TwilioGateway, *, first: int, size: int, body: str, concurrency: int
) -> dict[str, float]:
    texts = iter([_text(index, body) for index in people.unsuppressed(first, size)])
    messages = refused = 0

    async def one_after_the_other() -> None:
        nonlocal messages, refused
        for text in texts:
            deadline = send_clock() + SEND_DEADLINE.total_seconds()
            hand_off = await gateway.send(text, deadline=deadline, connect_by=deadline)
            messages += 1
            refused += not isinstance(hand_off.outcome, Accepted)

    began_at = time.time()
    await asyncio.gather(*(one_after_the_other() for _ in range(concurrency)))
    return {
        "messages": messages,
        "refused": refused,
        "began_at": began_at,
        "ended_at": time.time(),
    }


def _text(index: int, body: str) -> OutboundText:
    return OutboundText(
        message_id=UUID(int=index),
        sender=NUMBER,
        recipient=people.number(index),
        body=body,
        validity=_VALIDITY,
    )


def main() -> None:
    """Be one process of the bare sender."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("provider", help="its URL")
    asyncio.run(_serve(parser.parse_args().provider))


if __name__ == "__main__":
    main()
