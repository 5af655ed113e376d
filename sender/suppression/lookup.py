"""The check immediately before a send: who is suppressed, and how many may go now.

One round trip a window answers both. A hit is believed for now; "clear" and "cold" are never the
last word, which is the guard's in Postgres. Without Redis there is no pacing, so nothing is sent.
"""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from sender.domain.admission import Admission, Pace, Verdict
from sender.errors import PacingUnavailable
from sender.suppression.keys import pacing_key, pause_key, pointer_key, require_number
from sender.suppression.pacing import interval
from sender.suppression.scripts import Argument, run_async

#: Recipients a window may have. Larger batches are no faster and lengthen the time between the
#: answer and the request (99th percentile 34 to 103 ms at 400, 7 to 15 ms at 32).
LARGEST_WINDOW: Final = 64

#: How long a check may take in all. It is well under a millisecond; a server that needs a second
#: is as good as absent.
CHECK_TIMEOUT: Final = timedelta(seconds=1)


_VERDICTS: Final = {"S": Verdict.SUPPRESSED, "C": Verdict.CLEAR, "U": Verdict.COLD}


class SuppressionLookup:
    """Asks the suppression set and takes pacing tokens, in one call.

    The client should not repeat commands by itself (`connecting.connect_async` makes such a one): a
    repeated check takes its tokens twice, which costs speed and nothing else.
    """

    def __init__(self, redis: Redis, *, timeout: timedelta = CHECK_TIMEOUT) -> None:
        self._redis = redis
        self._timeout = timeout.total_seconds()

    async def check(
        self,
        *,
        pace: Pace,
        scopes: Sequence[tuple[int, int]],
        recipients: Sequence[int],
        segments: Sequence[int],
    ) -> Admission:
        """Ask for one window.

        Args:
            pace: the sender and how fast it may go.
            scopes: every ``(tenant, scope)`` whose suppressions cover this window.
            recipients: E.164 digits as integers, at most `LARGEST_WINDOW`.
            segments: what each recipient's message will take.

        Returns:
            A verdict for each, and how many of those not suppressed may go. Suppressed recipients
            take no tokens; cold ones do; while the tenant's account is paused nobody does.

        Raises:
            PacingUnavailable: Redis failed or was too slow. Send nothing.
            ValueError: a malformed window.
        """
        _require_window(scopes, recipients, segments)
        if not recipients:
            return Admission(verdicts=(), admitted=0, wait=timedelta())
        keys = [pacing_key(pace.tenant_id, pace.sender_id), pause_key(pace.tenant_id)]
        keys += [pointer_key(tenant_id, scope) for tenant_id, scope in scopes]
        window = json.dumps((list(recipients), list(segments)))
        args: list[Argument] = [interval(pace), pace.burst, window]
        verdicts, admitted, wait, paused = await self._run("lookup", keys, args)
        return Admission(
            verdicts=tuple(map(_VERDICTS.__getitem__, _text(verdicts))),
            admitted=admitted,
            wait=timedelta(microseconds=wait),
            paused=bool(paused),
        )

    async def give_back(self, pace: Pace, *, segments: int) -> None:
        """Return the tokens of messages that were admitted and then did not go.

        Raises:
            PacingUnavailable: Redis failed; the tokens come back by the passing of time anyway.
        """
        keys = [pacing_key(pace.tenant_id, pace.sender_id)]
        await self._run("give_back", keys, [segments * interval(pace)])

    async def pause(self, tenant_id: int, length: timedelta) -> None:
        """Have no worker begin anything of a tenant's account for so long; never shortens a pause.

        Raises:
            PacingUnavailable: Redis failed; the account goes on being asked, and refusing.
        """
        milliseconds = max(1, round(length / timedelta(milliseconds=1)))
        await self._run("pause", [pause_key(tenant_id)], [milliseconds])

    async def _run(self, name: str, keys: list[str], args: list[Argument]) -> Any:
        try:
            async with asyncio.timeout(self._timeout):
                return await run_async(self._redis, name, keys, args)
        except (RedisError, OSError) as exc:  # TimeoutError is an OSError
            raise PacingUnavailable(f"Redis did not answer the {name}: {exc!r}") from exc


def _require_window(
    scopes: Sequence[tuple[int, int]], recipients: Sequence[int], segments: Sequence[int]
) -> None:
    """Refuse what the script would answer wrongly or not at all."""
    if not scopes:
        # No scope would mean "clear" for everybody.
        raise ValueError("a window needs at least one scope to be checked in")
    if len(recipients) > LARGEST_WINDOW:
        raise ValueError(f"a window has at most {LARGEST_WINDOW} recipients: {len(recipients)}")
    if len(recipients) != len(segments):
        raise ValueError(f"{len(recipients)} recipients but {len(segments)} segment counts")
    if min(segments, default=1) < 1:
        raise ValueError("every message has at least one segment")
    if recipients:
        require_number(min(recipients))
        require_number(max(recipients))


def _text(reply: bytes | str) -> str:
    """The reply as text, whether or not the client decodes."""
    return reply.decode("ascii") if isinstance(reply, bytes) else reply
