"""The Lua scripts beside this file, run by hash; their KEYS and ARGV are documented in each."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import NoScriptError

#: What a script takes as an argument; Redis sees its decimal digits.
Argument = str | int | float


@dataclass(frozen=True, kw_only=True)
class Script:
    """A Lua script and the hash a server knows it by."""

    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """The script in ``{name}.lua``, read from the package when it is first used."""
    text = resources.files(__package__ or "").joinpath(f"{name}.lua").read_text(encoding="utf-8")
    # Redis names a script by its SHA-1; nothing secret is protected by it.
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Script(text=text, sha=digest)


def run(redis: Redis, name: str, keys: Sequence[str], args: Sequence[Argument]) -> Any:
    """Run a script and return its reply; a server that does not know it yet is given its text.

    NOSCRIPT means that nothing was executed, so running it again takes nothing twice.
    """
    wanted = script(name)
    try:
        return redis.evalsha(wanted.sha, len(keys), *keys, *args)
    except NoScriptError:
        return redis.eval(wanted.text, len(keys), *keys, *args)


async def run_async(
    redis: AsyncRedis, name: str, keys: Sequence[str], args: Sequence[Argument]
) -> Any:
    """The same as `run`, for asyncio."""
    wanted = script(name)
    try:
        return await redis.evalsha(wanted.sha, len(keys), *keys, *args)
    except NoScriptError:
        return await redis.eval(wanted.text, len(keys), *keys, *args)
