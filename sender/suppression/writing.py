"""Single changes to the set: what a STOP adds, what a START removes.

A write goes into the generation in force and, while a rebuild is under way, into the next one as
well. The set is a copy: whoever writes here has committed to Postgres before. A scope that was
never built here takes no writes; it is cold, and its rebuild will read the same fact from Postgres.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from sender.errors import SuppressionUnavailable
from sender.suppression.keys import pointer_key, require_number
from sender.suppression.scripts import Argument, run, run_async

#: Numbers in one script call. A call blocks the server for everybody: 500 take about a millisecond.
NUMBERS_A_CALL: Final = 500


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A recipient suppressed in a scope, as the set knows it."""

    #: Whose list it is on; 0 is the platform.
    tenant_id: int
    #: 0 for all senders of the tenant, else the sender's id.
    scope: int
    #: E.164 digits.
    recipient: int


class _Verb(StrEnum):
    """The set command a write runs."""

    ADD = "SADD"
    REMOVE = "SREM"


@dataclass(frozen=True, kw_only=True)
class _Call:
    """One run of write.lua."""

    pointer: str
    args: tuple[Argument, ...]


class SuppressionWriter:
    """Writes to the set, for processes that wait for Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def add(self, entries: Iterable[Entry]) -> None:
        """Suppress these; adding one twice is harmless.

        Raises:
            SuppressionUnavailable: Redis failed; some entries may have been written.
        """
        self._write(_Verb.ADD, entries)

    def remove(self, entries: Iterable[Entry]) -> None:
        """Suppress these no longer; removing one that is not there is harmless.

        Raises:
            SuppressionUnavailable: Redis failed; some entries may have been removed.
        """
        self._write(_Verb.REMOVE, entries)

    def _write(self, verb: _Verb, entries: Iterable[Entry]) -> None:
        with _translated():
            for call in _calls(verb, entries):
                run(self._redis, "write", [call.pointer], call.args)


class AsyncSuppressionWriter:
    """Writes to the set, for asyncio; the contract is `SuppressionWriter`'s."""

    def __init__(self, redis: AsyncRedis) -> None:
        self._redis = redis

    async def add(self, entries: Iterable[Entry]) -> None:
        """Suppress these, as `SuppressionWriter.add` does."""
        await self._write(_Verb.ADD, entries)

    async def remove(self, entries: Iterable[Entry]) -> None:
        """Suppress these no longer, as `SuppressionWriter.remove` does."""
        await self._write(_Verb.REMOVE, entries)

    async def _write(self, verb: _Verb, entries: Iterable[Entry]) -> None:
        with _translated():
            for call in _calls(verb, entries):
                await run_async(self._redis, "write", [call.pointer], call.args)


def _calls(verb: _Verb, entries: Iterable[Entry]) -> Iterator[_Call]:
    """The script calls that write these entries, one scope each."""
    by_pointer: defaultdict[str, list[int]] = defaultdict(list)
    for entry in entries:
        pointer = pointer_key(entry.tenant_id, entry.scope)
        by_pointer[pointer].append(require_number(entry.recipient))
    for pointer, numbers in by_pointer.items():
        for start in range(0, len(numbers), NUMBERS_A_CALL):
            yield _Call(pointer=pointer, args=(verb, *numbers[start : start + NUMBERS_A_CALL]))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as exc:
        raise SuppressionUnavailable(f"the suppression set was not written: {exc!r}") from exc
