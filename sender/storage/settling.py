"""How rows leave ``sending``: what settlement decided, written down."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

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


class Oddity(StrEnum):
    """What an answer says against what was known before it: somebody must look."""

    #: The provider took a message that a person had found not sent.
    CONTRADICTS_VERDICT = "answer_contradicts_verdict"
    #: The provider took it as another message than the one it has told of: there may be two.
    SECOND_SID = "answer_second_sid"


#: SQL that is true of a row ``m`` that a person found "not sent": it gives way to the provider.
FOUND_NOT_SENT = f"(m.state = 'failed' AND m.reason = '{VERDICT_NOT_SENT}')"

#: Rows that go one way share its description: most of a batch goes the same.
_WAYS = """
    json_to_recordset(CAST(:ways AS json))
        AS way (number integer, state text, reason text, status text, code integer,
                rest double precision)
"""

#: What nearly all of a batch are: as their guard left them.
_SENDING = f"""
    UPDATE message m
    SET state = way.state, reason = way.reason,
        gen = m.gen + CASE WHEN way.state = 'pending' THEN 1 ELSE 0 END,
        owner = CASE WHEN way.state = 'pending' THEN NULL ELSE m.owner END,
        sid = coalesce(m.sid, (CAST(:sids AS text[]))[{PLACE}]),
        provider_status = way.status, provider_code = way.code, lease_until = NULL,
        next_at = now() + make_interval(secs => way.rest), changed_at = clock_timestamp()
    FROM {_WAYS}
    WHERE {ASKED} AND m.gen = (CAST(:gens AS integer[]))[{PLACE}] AND m.state = 'sending'
      AND way.number = (CAST(:numbers AS integer[]))[{PLACE}]
      AND (m.sid <> (CAST(:sids AS text[]))[{PLACE}]) IS NOT TRUE
"""  # noqa: S608  # built from constants only

#: Any others, whatever became of them meanwhile. Those that moved already do so no further.
_ANY = f"""
    WITH moves AS (
        SELECT m.id, move.sid, way.*,
               m.state IN ('sending', 'in_doubt') OR {FOUND_NOT_SENT} AS yields,
               CASE WHEN m.sid <> move.sid THEN '{Oddity.SECOND_SID}'
                    WHEN {FOUND_NOT_SENT} THEN '{Oddity.CONTRADICTS_VERDICT}' END AS oddity
        FROM message m {PLACED}
        CROSS JOIN LATERAL (
            SELECT (CAST(:gens AS integer[]))[asked.place] AS gen,
                   (CAST(:sids AS text[]))[asked.place] AS sid,
                   (CAST(:numbers AS integer[]))[asked.place] AS number
        ) AS move
        JOIN {_WAYS} ON way.number = move.number
        WHERE {ASKED} AND m.gen = move.gen
          AND (m.state = 'sending'
               OR (m.state = 'in_doubt' AND way.state <> 'pending'
                   AND (m.state, m.reason, m.provider_code)
                       IS DISTINCT FROM (way.state, way.reason, way.code))
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
            next_at = now() + make_interval(secs => moves.rest),
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
    """Move rows out of ``sending`` as settlement decided, mostly in one statement.

    A row the sweeper meanwhile put in doubt accepts definite evidence, never ``pending``; one
    that a person then found not sent accepts that it was; one that a callback settled first
    only learns its SID. What is odd about that is an alarm.

    Returns:
        How many rows took something from it.
    """
    ids = ids_of([move.message_id for move in moves])
    ways = {id(move.way): move.way for move in moves}
    numbers = {key: number for number, key in enumerate(ways)}
    values = {
        **ids,
        "gens": array(move.gen for move in moves),
        "sids": texts(move.sid for move in moves),
        "numbers": array(numbers[id(move.way)] for move in moves),
        "ways": json.dumps([_written(*numbered) for numbered in enumerate(ways.values())]),
    }
    table = months.table(ids["lowest"], ids["highest"])
    settled = tx.execute(on(table, _SENDING), values).rowcount
    if settled == len(moves):
        return settled
    return settled + int(tx.execute(on(table, _ANY), values).scalar_one())


def _written(number: int, way: Way) -> dict[str, Any]:
    return {
        "number": number,
        "state": way.state,
        "reason": way.reason,
        "status": way.provider_status,
        "code": way.provider_code,
        "rest": way.rest.total_seconds(),
    }
