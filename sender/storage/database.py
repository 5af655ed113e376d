"""Connections to Postgres, and the one place where a transaction begins and ends.

Storage functions are written once, against a synchronous connection. In an event loop SQLAlchemy
runs the same functions over psycopg's asynchronous driver, in a greenlet, so no thread is held.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

P = ParamSpec("P")
T = TypeVar("T")

#: An open transaction, READ COMMITTED: every statement sees what was committed before it began.
Transaction = Connection

#: Whatever keeps a transaction from being known as committed: Postgres away, a broken connection,
#: a refused statement. Callers that must go on without Postgres catch this and nothing of the
#: driver's.
DatabaseError = SQLAlchemyError

#: Deadlock and lock time-out: the whole transaction was rolled back and may simply run again.
_RETRYABLE_SQLSTATES = frozenset({"40P01", "55P03"})
_ATTEMPTS = 3
#: Classes of SQLSTATE: connection exception, operator intervention, out of resources.
_BROKEN = frozenset({"08", "57", "53"})
#: A server that is read-only for now (a standby, a full disk), and a session that it ended.
_PASSING_SQLSTATES = frozenset({"25006", "25P02", "25P03"})

#: Connections of an event loop that was told no other number.
POOL_SIZE = 10
#: How long a caller waits for a free connection: a webhook must be answered within seconds.
POOL_SECONDS = 5
_CONNECT = {"connect_timeout": 5}
#: In event loops nothing takes long; what does is stuck, and its caller must be told.
_SHORT_STATEMENTS = "-c statement_timeout=30s -c idle_in_transaction_session_timeout=60s"
#: What a session holds must be gone soon after its peer is. Without these a connection that broke
#: without a word stays open for hours: on our side it looks held, on the server's it is held.
_KEEPALIVES = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
_NOTICING = {
    **_CONNECT,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
    "options": _KEEPALIVES,
}
#: The same for event loops.
_ATTENTIVE = {
    **_NOTICING,
    "options": f"{_SHORT_STATEMENTS} {_KEEPALIVES}",
}


_TAKE_TURN = text("""
    SELECT pg_try_advisory_xact_lock(:key)
    FROM set_config('idle_in_transaction_session_timeout', :idle, true)
""")


@dataclass(frozen=True)
class Database:
    """Transactions for synchronous callers: the Python API, the consumer, the beat tasks."""

    engine: Engine

    @classmethod
    def connect(cls, url: str, *, pool_size: int = 5) -> "Database":
        """A lazily connecting database; nothing is opened before the first transaction."""
        return cls(
            create_engine(
                url,
                pool_size=pool_size,
                max_overflow=pool_size,
                pool_timeout=POOL_SECONDS,
                pool_pre_ping=True,
                pool_use_lifo=True,  # a connection plans a statement anew until it ran ten times
                connect_args=_NOTICING,
                hide_parameters=True,
                isolation_level="READ COMMITTED",
            )
        )

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One transaction: committed at the end of the block, rolled back on an exception."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        """One look at everything as it is now, however long it takes; nothing can be written."""
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self.engine.execution_options(**options).begin() as connection:
            yield connection

    def run(
        self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """``work`` in a transaction of its own, again after a deadlock."""
        return _past_deadlocks(self.engine.begin, work, *args, **kwargs)

    def run_alone(
        self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """``work`` whose every statement is whole by itself, again after a deadlock.

        Mostly it is one; each is a transaction of its own.
        """
        return _past_deadlocks(self._alone.connect, work, *args, **kwargs)

    @cached_property
    def _alone(self) -> Engine:
        return self.engine.execution_options(isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        """Close the pool."""
        self.engine.dispose()


@dataclass(frozen=True)
class AsyncDatabase:
    """Transactions for event loops: the pump and the webhook app."""

    engine: AsyncEngine

    @classmethod
    def connect(cls, url: str, *, pool_size: int = POOL_SIZE) -> "AsyncDatabase":
        """A lazily connecting database; nothing is opened before the first transaction."""
        return cls(
            create_async_engine(
                url,
                pool_size=pool_size,
                max_overflow=0,
                pool_timeout=POOL_SECONDS,
                pool_pre_ping=False,  # one more round trip per window; a dead one is retried
                pool_use_lifo=True,  # few warm ones: each has plans and caches of its own
                connect_args=_ATTENTIVE,
                hide_parameters=True,
                # Most work here is one statement; transactions are begun where they are asked for.
                isolation_level="AUTOCOMMIT",
                skip_autocommit_rollback=True,
            )
        )

    async def run(
        self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """``work`` in a transaction of its own, again after a deadlock.

        When this returns, the transaction is committed. When it raises, it may have been (a
        connection can break at COMMIT): the caller must not assume either.
        """
        # In one greenlet; `AsyncEngine.begin` takes four, and they cost more than the statements.
        begin = self._transactions.begin
        return await greenlet_spawn(partial(_past_deadlocks, begin, work, *args, **kwargs))

    async def run_alone(
        self, work: Callable[Concatenate[Transaction, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for work whose every statement is whole by itself: mostly it is one.

        One round trip instead of three (BEGIN, the statement, COMMIT). When this raises, the
        statement may have been committed, as above.
        """
        connect = self.engine.sync_engine.connect
        return await greenlet_spawn(partial(_past_deadlocks, connect, work, *args, **kwargs))

    @cached_property
    def _transactions(self) -> Engine:
        """To be used in a greenlet only."""
        return self.engine.sync_engine.execution_options(isolation_level="READ COMMITTED")

    @asynccontextmanager
    async def session(self) -> AsyncIterator["Session"]:
        """A connection of its own, outside the pool and any transaction; closed at the end."""
        engine = create_async_engine(
            self.engine.url, poolclass=NullPool, hide_parameters=True, connect_args=_ATTENTIVE
        )
        async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            yield Session(connection)

    async def close(self) -> None:
        """Close the pool."""
        await self.engine.dispose()


@dataclass(frozen=True)
class Session:
    """One connection, for what belongs to a session: advisory locks."""

    connection: AsyncConnection

    async def run(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """``work`` on this connection."""
        return await self.connection.run_sync(work, *args, **kwargs)

    async def ping(self) -> None:
        """Raise if the connection is gone."""
        await self.connection.execute(text("SELECT 1"))


def _past_deadlocks(
    opened: Callable[[], AbstractContextManager[Connection]],
    work: Callable[Concatenate[Transaction, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with opened() as connection:
                return work(connection, *args, **kwargs)
        except OperationalError as exc:
            if attempt == _ATTEMPTS or not _may_run_again(exc):
                raise
    raise AssertionError("unreachable")


def take_turn(tx: Transaction, key: int, *, lasting: timedelta) -> bool:
    """Whether the caller has the turn of this key: one at a time, for as long as ``tx`` is open.

    Postgres ends the session if nothing was done on it for ``lasting``: a frozen process answers
    keep-alives, and would keep everybody from what it has the turn for.
    """
    values = {"key": key, "idle": str(int(lasting.total_seconds() * 1000))}  # milliseconds
    return bool(tx.execute(_TAKE_TURN, values).scalar_one())


def is_passing(exc: DatabaseError) -> bool:
    """Whether the same work may succeed later: the server was away, not the data wrong."""
    passes = isinstance(exc, OperationalError | InterfaceError | PoolTimeout)
    return passes or _sqlstate(exc) in _PASSING_SQLSTATES


def is_away(exc: Exception) -> bool:
    """Whether an exception says that the database cannot be worked with now, whatever the work."""
    return isinstance(exc, DatabaseError) and is_passing(exc)


def is_refused(exc: DatabaseError) -> bool:
    """Whether the server answered, and its answer was no: not that it, or the way to it, broke."""
    code = _sqlstate(exc)
    return code is not None and code[:2] not in _BROKEN


def told(exc: BaseException) -> str:
    """What a log may say of an error: its class, and Postgres's code where there is one.

    Never its text: Postgres quotes the row in it ("Failing row contains …"), number and all.
    """
    name, code = type(exc).__name__, _sqlstate(exc)
    return f"{name} {code}" if code else name


def _may_run_again(exc: OperationalError) -> bool:
    return _sqlstate(exc) in _RETRYABLE_SQLSTATES


def _sqlstate(exc: BaseException) -> str | None:
    return getattr(getattr(exc, "orig", None), "sqlstate", None)
