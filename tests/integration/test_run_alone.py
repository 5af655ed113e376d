"""Statements that are a transaction of their own: committed for certain, and leaving nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import text

from sender.storage.database import AsyncDatabase, Database, DatabaseError, Transaction

INSERT = text("INSERT INTO alone (id) SELECT unnest(CAST(:ids AS integer[])) RETURNING id")


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[AsyncDatabase]:
    """Over one connection, which everything therefore shares, with a table of its own."""
    db = AsyncDatabase.connect(database_url, pool_size=1)
    await db.run(_execute, "CREATE TABLE alone (id integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    yield db
    await db.run(_execute, "DROP TABLE alone")
    await db.close()


def _execute(tx: Transaction, statement: str) -> None:
    tx.execute(text(statement))


def _insert(tx: Transaction, *ids: int) -> list[int]:
    return list(tx.execute(INSERT, {"ids": list(ids)}).scalars())


def _insert_and_break(tx: Transaction, *ids: int) -> None:
    _insert(tx, *ids)
    raise ZeroDivisionError


def _sleep(tx: Transaction, begun: asyncio.Event) -> None:
    begun.set()
    tx.execute(text("SELECT pg_sleep(30)"))


async def _cancelled(run: Callable[..., Coroutine[Any, Any, None]]) -> None:
    """One that is cancelled in its statement, and another that waits for its connection."""
    begun = asyncio.Event()
    stuck = asyncio.create_task(run(_sleep, begun))
    await begun.wait()
    in_line = asyncio.create_task(run(_sleep, begun))
    await asyncio.sleep(0)
    for task in (in_line, stuck):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def _ids(db: AsyncDatabase) -> list[int]:
    return await db.run(lambda tx: list(tx.execute(text("SELECT id FROM alone")).scalars()))


async def test_what_is_refused_at_its_commit_raises(db: AsyncDatabase) -> None:
    """Postgres sends a statement's rows before it commits; they are not taken for the commit."""
    with pytest.raises(DatabaseError):
        await db.run_alone(_insert, 1, 1)
    assert await _ids(db) == []


@pytest.mark.parametrize("end", ["well", "refused", "broken", "cancelled", "cancelled transaction"])
async def test_transactions_after_it_are_transactions(db: AsyncDatabase, end: str) -> None:
    """However a single statement ends, whoever has its connection next can roll back."""
    match end:
        case "well":
            await db.run_alone(_insert, 1)
        case "refused":
            with pytest.raises(DatabaseError):
                await db.run_alone(_insert, 1, 1)
        case "broken":
            with pytest.raises(ZeroDivisionError):
                await db.run_alone(_insert_and_break, 1)
        case "cancelled":
            await _cancelled(db.run_alone)
        case "cancelled transaction":
            await _cancelled(db.run)
    before = await _ids(db)
    with pytest.raises(ZeroDivisionError):
        await db.run(_insert_and_break, 2)
    assert await _ids(db) == before
    await db.run_alone(_insert, 3)
    assert await _ids(db) == [*before, 3]


def test_the_same_without_an_event_loop(database_url: str) -> None:
    """What was executed stays, whatever follows it; a transaction takes it along."""
    db = Database.connect(database_url)
    db.run(_execute, "CREATE TABLE alone (id integer)")
    for run, kept in ((db.run, []), (db.run_alone, [1])):
        with pytest.raises(ZeroDivisionError):
            run(_insert_and_break, 1)
        assert db.run(lambda tx: list(tx.execute(text("SELECT id FROM alone")).scalars())) == kept
    db.run(_execute, "DROP TABLE alone")
    db.close()
