"""How rows leave ``sending``: what settlement decided, written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause

from sender.domain.message import VERDICT_NOT_SENT, State
from sender.storage.database import Transaction
from sender.storage.id_range import ASKED, PLACE, PLACED, WITHIN, array, texts
from sender.storage.id_range import of as ids_of
from sender.storage.month_tables import MonthTables, on


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way out of ``sending``: what settlement decided. Rows of a batch may share one."""

    state: State
    reason: str
    provider_status: str | None = None
    provider_code: int | None = None
    #: For a row that goes back to pending: how long it rests.
    rest: timedelta = timedelta()


@dataclass(frozen=True, kw_only=True)
class Move:
    """One row's, keyed by its generation."""

    message_id: UUID
    gen: int
    way: Way
    sid: str | None = None


_BY_ID = attrgetter("message_id.int")


class Oddity(StrEnum):
    """What an answer says against what was known before it: somebody must look."""

    #: The provider took a message that a person had found not sent.
    CONTRADICTS_VERDICT = "answer_contradicts_verdict"
    #: The provider took it as another message than the one it has told of: there may be two.
    SECOND_SID = "answer_second_sid"


#: SQL that is true of a row ``m`` that a person found "not sent": it gives way to the provider.
FOUND_NOT_SENT = f"(m.state = 'failed' AND m.reason = '{VERDICT_NOT_SENT}')"

#: Rows as their guards left them, which all go one way. It joins nothing, and so locks them in the
#: order of their ids.
_ALIKE = f"""
    UPDATE message m
    SET state = CAST(:state AS text), reason = :reason, provider_status = :status,
        provider_code = :code, sid = coalesce(m.sid, (CAST(:sids AS text[]))[{PLACE}]),
        gen = CASE CAST(:state AS text) WHEN 'pending' THEN m.gen + 1 ELSE m.gen END,
        owner = CASE CAST(:state AS text) WHEN 'pending' THEN NULL ELSE m.owner END,
        next_at = now() + CAST(:rest AS interval),
        lease_until = NULL, changed_at = clock_timestamp()
    WHERE {ASKED} AND m.gen = (CAST(:gens AS integer[]))[{PLACE}] AND m.state = 'sending'
      AND (m.sid IS NULL  -- as nearly all, and then its place need not be found once more
           OR (m.sid <> (CAST(:sids AS text[]))[{PLACE}]) IS NOT TRUE)
"""  # noqa: S608  # built from constants only

#: What settlement decided for the row in ``asked.place``. Rows that go one way share its
#: description, by its number.
_MOVE = """
    SELECT (CAST(:sids AS text[]))[asked.place] AS sid,
           (CAST(:states AS text[]))[number] AS state,
           (CAST(:reasons AS text[]))[number] AS reason,
           (CAST(:statuses AS text[]))[number] AS status,
           (CAST(:codes AS integer[]))[number] AS code,
           make_interval(secs => (CAST(:rests AS double precision[]))[number]) AS rest
    FROM (SELECT (CAST(:numbers AS integer[]))[asked.place] AS number OFFSET 0) AS way
"""

#: Any row, whatever became of it meanwhile; one that moved already does so no further.
_ANY = f"""
    WITH moves AS (
        SELECT m.id, move.*, m.state IN ('sending', 'in_doubt') OR {FOUND_NOT_SENT} AS yields,
               CASE WHEN m.sid <> move.sid THEN '{Oddity.SECOND_SID}'
                    WHEN {FOUND_NOT_SENT} THEN '{Oddity.CONTRADICTS_VERDICT}' END AS oddity
        FROM message m {PLACED} CROSS JOIN LATERAL ({_MOVE}) AS move
        WHERE {ASKED} AND m.gen = (CAST(:gens AS integer[]))[asked.place]
          AND (m.state = 'sending'
               OR (m.state = 'in_doubt' AND move.state <> 'pending'
                   AND (m.state, m.reason, m.provider_code)
                       IS DISTINCT FROM (move.state, move.reason, move.code))
               OR (move.sid IS NOT NULL AND m.sid IS DISTINCT FROM move.sid))
        ORDER BY m.id FOR UPDATE OF m
    ), moved AS (
        UPDATE message m
        SET state = CASE WHEN moves.yields THEN moves.state ELSE m.state END,
            reason = CASE WHEN moves.yields THEN moves.reason ELSE m.reason END,
            gen = m.gen + CASE WHEN moves.state = 'pending' THEN 1 ELSE 0 END,
            owner = CASE WHEN moves.state = 'pending' THEN NULL ELSE m.owner END,
            sid = coalesce(m.sid, moves.sid),
            provider_status = CASE WHEN moves.yields THEN moves.status
                                   ELSE coalesce(m.provider_status, moves.status) END,
            provider_code = CASE WHEN moves.yields THEN moves.code ELSE m.provider_code END,
            lease_until = NULL,
            next_at = now() + moves.rest,
            changed_at = clock_timestamp()
        FROM moves WHERE m.id = moves.id AND {WITHIN}
        RETURNING m.id, moves.oddity, moves.sid
    ), alarmed AS (
        INSERT INTO alarm (kind, detail)
        SELECT oddity, jsonb_build_object('message_id', id, 'sid', sid) FROM moved
        WHERE oddity IS NOT NULL
    )
    SELECT count(*) FROM moved
"""  # noqa: S608  # built from constants only


def settle(tx: Transaction, months: MonthTables, moves: Sequence[Move]) -> int:
    """Move rows out of ``sending`` as settlement decided, in one statement.

    A row the sweeper meanwhile put in doubt accepts definite evidence, never ``pending``; one
    that a person then found not sent accepts that it was; one that a callback settled first
    only learns its SID. What is odd about that is an alarm.

    Returns:
        How many rows took something from it.
    """
    moves = sorted(moves, key=_BY_ID)
    values = {**_rows(moves), **_ways(moves)}
    return int(tx.execute(_on_month(months, _ANY, values), values).scalar_one())


def settle_alone(tx: Transaction, months: MonthTables, moves: Sequence[Move]) -> int:
    """The same for less, and not in a transaction with anything else.

    Most batches are as their guards left them and go one way, nearly whole: that part takes one
    statement that looks at nothing else. The others of a batch are settled as above, and so is all
    of it once more if a row was not as expected: each statement is whole by itself, and leaves
    alone what moved already. One transaction must not hold both: their rows are not locked in one
    order.
    """
    by_way = _by_way(sorted(moves, key=_BY_ID))
    alike = max(by_way, key=len, default=[])
    if len(alike) * 2 <= len(moves):  # rows that were refused for now each rest as long as they do
        return settle(tx, months, moves) if moves else 0
    values = {**_rows(alike), **_way(alike[0].way)}
    settled = tx.execute(_on_month(months, _ALIKE, values), values).rowcount
    if settled < len(alike):
        return settled + settle(tx, months, moves)
    others = [move for group in by_way if group is not alike for move in group]
    return settled + settle(tx, months, others) if others else settled


def _by_way(moves: Sequence[Move]) -> list[list[Move]]:
    groups: dict[int, list[Move]] = {}
    for move in moves:
        groups.setdefault(id(move.way), []).append(move)
    return list(groups.values())


def _on_month(months: MonthTables, statement: str, values: Mapping[str, Any]) -> TextClause:
    return on(months.table(values["lowest"], values["highest"]), statement)


def _rows(moves: Sequence[Move]) -> dict[str, str | None]:
    """Values for rows, which are in the order of their ids."""
    return {
        **ids_of([move.message_id for move in moves]),
        "gens": array(move.gen for move in moves),
        "sids": texts(move.sid for move in moves),
    }


def _way(way: Way) -> dict[str, Any]:
    """Values for the way that all rows go."""
    return {
        "state": way.state.value,
        "reason": way.reason,
        "status": way.provider_status,
        "code": way.provider_code,
        "rest": way.rest,
    }


def _ways(moves: Sequence[Move]) -> dict[str, str]:
    """Values for the ways that rows go, and which of them each goes."""
    ways = {id(move.way): move.way for move in moves}
    numbers = {key: number for number, key in enumerate(ways, start=1)}
    described = ways.values()
    return {
        "numbers": array(numbers[id(move.way)] for move in moves),
        "states": texts(way.state for way in described),
        "reasons": texts(way.reason for way in described),
        "statuses": texts(way.provider_status for way in described),
        "codes": array(way.provider_code for way in described),
        "rests": array(way.rest.total_seconds() for way in described),
    }
