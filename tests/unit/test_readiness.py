"""Readiness: crowds of questions take one connection."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import pytest

from sender.errors import SenderError
from sender.storage.database import AsyncDatabase
from workers.readiness import HOLDS, Readiness


@dataclass
class Asked:
    """A database that counts who asks."""

    usable: bool = True
    asked: int = 0

    async def run(self, _work: Callable[..., object]) -> None:
        """Answer after a while."""
        self.asked += 1
        await asyncio.sleep(0)
        if not self.usable:
            raise SenderError("not usable")


@pytest.mark.parametrize("usable", [True, False])
async def test_a_crowd_asks_once(usable: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """Whatever the answer is, all who ask within its time get it."""
    db, now = Asked(usable=usable), [0.0]
    readiness = Readiness(db=cast("AsyncDatabase", db), clock=lambda: now[0])
    assert await asyncio.gather(*(readiness.is_ready() for _ in range(100))) == [usable] * 100
    assert db.asked == 1
    db.usable = not usable
    now[0] += HOLDS.total_seconds()
    assert await readiness.is_ready() is not usable
    assert db.asked == 2
