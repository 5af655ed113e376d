"""Messages: the guard, and what else moves a row; how one leaves ``sending`` stands in `settling`.

Each statement names the states it may leave; a row that is elsewhere is left alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from typing import Self
from uuid import UUID

from sqlalchemy import TextClause, text

from sender.domain.high_water import Look
from sender.domain.message import Guarded, State
from sender.domain.provider import MessageRecord
from sender.domain.receipt import state_of
from sender.storage import settling
from sender.storage.database import Transaction
from sender.storage.high_water import STANDS, values_of
from sender.storage.holds import HELD
from sender.storage.id_range import ASKED, PLACE, PLACED, WITHIN, array, texts
from sender.storage.id_range import of as ids_of
from sender.storage.month_tables import MonthTables, on
from sender.storage.settling import FOUND_NOT_SENT, Move

#: How often a row is looked at again whose recipient waits for a review: the longest that a text
#: is late once the review was decided.
REVIEW_REST = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class DueMessage:
    """A pending row that may be sent now, as far as the campaign's plan goes."""

    id: UUID
    gen: int
    #: E.164 digits without the plus.
    recipient: int
    fields: Mapping[str, str]
    #: Whether earlier texts of the tenant showed that the number cannot be texted for now.
    is_known_bad: bool = False


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What later became known about a row: a status callback, or what Twilio's log says."""

    message_id: UUID
    reason: str
    sid: str
    provider_status: str
    provider_code: int | None

    @classmethod
    def from_record(cls, record: MessageRecord, message_id: UUID) -> Self:
        """What the provider's log proves about a message that was found in it."""
        state, reason = state_of(record.verdict)
        return cls(
            message_id=message_id,
            reason=reason if state is State.SUPPRESSED else "found_at_provider",
            sid=record.sid,
            provider_status=record.status,
            provider_code=record.error_code,
        )


#: The number's health is one look into a primary key a row; most find nothing. It is no EXISTS,
#: because the planner may answer one by reading the whole table into a hash.
_DUE = """
    SELECT m.id, m.gen, m.recipient, m.fields,
           coalesce((SELECT n.bad_until FROM number_health n
                     WHERE n.tenant_id = (SELECT tenant_id FROM campaign WHERE id = :campaign_id)
                       AND n.recipient = m.recipient) > now(), false) AS is_known_bad
    FROM message m
    WHERE m.id > :after AND m.id <= :last AND m.campaign_id = :campaign_id
      AND m.state = 'pending' AND (m.next_at IS NULL OR m.next_at <= now())
    ORDER BY m.id LIMIT :limit
"""

#: True for a suppression ``s`` that covers the row ``m`` of campaign ``c``, in any scope.
_COVERS = """
    s.recipient = m.recipient
    AND (s.tenant_id = 0
         OR s.tenant_id = c.tenant_id
            AND (s.scope = 0 OR s.scope IN (
                SELECT ss.scope FROM sender_scope ss WHERE ss.sender_id = c.sender_id)))
"""
#: ``OFFSET 0`` keeps it a look into an index for each row: as a join, Postgres would read the whole
#: list for a window, as long as it believes it to be short.
_SUPPRESSED = f"EXISTS (SELECT FROM suppression s WHERE {_COVERS} OFFSET 0)"


def guard_statement(*, suppressed: str = _SUPPRESSED) -> str:
    """The statement that commits "I am about to send", with its checks inside.

    It is built here once; the parameter exists so that a test can build one without the
    suppression check and show that the audit catches what then gets through.
    """
    return f"""
        UPDATE message m
        SET state = 'sending', reason = '', gen = m.gen + 1, owner = :owner,
            guarded_at = clock_timestamp(), changed_at = clock_timestamp(),
            lease_until = clock_timestamp() + :lease
        FROM campaign c
        WHERE {ASKED} AND m.gen = (CAST(:gens AS integer[]))[{PLACE}] AND m.state = 'pending'
          AND c.id = m.campaign_id AND c.state = 'RUNNING' AND c.deadline_at > now()
          AND NOT {HELD} AND NOT {suppressed} AND {STANDS}
        RETURNING {PLACE}, m.guarded_at
    """  # noqa: S608  # built from the constants above only


_PUT_BACK = text(f"""
    WITH own AS (
        SELECT m.id FROM message m {PLACED}
        WHERE {ASKED} AND m.gen = (CAST(:gens AS integer[]))[asked.place]
          AND m.state = 'sending' AND m.owner = :owner
        ORDER BY m.id FOR UPDATE OF m
    )
    UPDATE message m
    SET state = 'pending', reason = :reason, gen = m.gen + 1, owner = NULL, lease_until = NULL,
        next_at = now(), changed_at = now()
    FROM own WHERE m.id = own.id AND {WITHIN} AND m.state = 'sending'
""")  # noqa: S608  # built from a constant

#: A suppression that is final settles a row, with its reason; one that only waits for a person to
#: read what the recipient wrote (``review``) holds it.
_SUPPRESS = f"""
    WITH covered AS (
        SELECT m.id, (
            SELECT s.reason FROM suppression s WHERE {_COVERS}
            ORDER BY s.reason = 'review', s.since, s.reason LIMIT 1) AS reason
        FROM message m JOIN campaign c ON c.id = m.campaign_id
        WHERE {ASKED} AND m.state = 'pending' AND {_SUPPRESSED}
        ORDER BY m.id FOR UPDATE OF m
    )
    UPDATE message m
    SET state = CASE covered.reason WHEN 'review' THEN m.state ELSE 'suppressed' END,
        reason = covered.reason, changed_at = clock_timestamp(),
        next_at = CASE covered.reason WHEN 'review' THEN now() + :rest ELSE m.next_at END
    FROM covered WHERE m.id = covered.id AND {WITHIN} AND m.state = 'pending'
    RETURNING m.id
"""  # noqa: S608  # built from the constants above only

_REFUSE = text(f"""
    WITH unfit AS (
        SELECT m.id FROM message m
        WHERE m.id = ANY (CAST(:ids AS uuid[])) AND m.state = 'pending'
        ORDER BY m.id FOR UPDATE OF m
    )
    UPDATE message m SET state = 'failed', reason = :reason, changed_at = clock_timestamp()
    FROM unfit WHERE m.id = unfit.id AND {WITHIN} AND m.state = 'pending'
""")  # noqa: S608  # built from a constant

_LEARN = text(f"""
    UPDATE message m
    SET state = CASE WHEN moves THEN :state ELSE m.state END,
        reason = CASE WHEN moves THEN known.reason ELSE m.reason END,
        provider_status = CASE WHEN moves THEN known.status
                               ELSE coalesce(m.provider_status, known.status) END,
        provider_code = coalesce(known.code, m.provider_code),
        sid = coalesce(m.sid, known.sid),
        lease_until = CASE WHEN moves THEN NULL ELSE m.lease_until END,
        changed_at = CASE WHEN moves THEN clock_timestamp() ELSE m.changed_at END
    FROM (
        SELECT m.id, evidence.*,
               m.state = ANY (CAST(:sources AS text[])) OR {FOUND_NOT_SENT} AS moves
        FROM message m {PLACED}
        CROSS JOIN LATERAL (
            SELECT (CAST(:reasons AS text[]))[asked.place] AS reason,
                   (CAST(:statuses AS text[]))[asked.place] AS status,
                   (CAST(:codes AS integer[]))[asked.place] AS code,
                   (CAST(:sids AS text[]))[asked.place] AS sid
        ) AS evidence
        WHERE {ASKED} ORDER BY m.id FOR UPDATE OF m
    ) AS known
    WHERE m.id = known.id AND {WITHIN}
    RETURNING m.id, known.moves
""")  # noqa: S608  # built from a constant


class MessageTable:
    """The statements on ``message``; one instance serves every thread."""

    def __init__(self, *, guard: str | None = None) -> None:
        self._guard = guard or guard_statement()
        self._months = MonthTables()

    def due(
        self, tx: Transaction, *, campaign_id: int, after: UUID, last: UUID, limit: int
    ) -> list[DueMessage]:
        """At most ``limit`` pending rows of (after, last] whose time has come, in id order."""
        values = {"campaign_id": campaign_id, "after": after, "last": last, "limit": limit}
        found = tx.execute(on(self._months.table(last.hex, last.hex), _DUE), values)
        # By position: of all that is done for a row, its names took the most time.
        return [
            DueMessage(
                id=id_, gen=gen, recipient=recipient, fields=fields or {}, is_known_bad=is_known_bad
            )
            for id_, gen, recipient, fields, is_known_bad in found.all()
        ]

    def guard(
        self,
        tx: Transaction,
        rows: Sequence[DueMessage],
        *,
        owner: int,
        lease: timedelta,
        seen: Look | None = None,
    ) -> list[Guarded]:
        """Commit "I am about to send" for those of ``rows`` that nothing forbids.

        The last statement of its transaction. A row that is not returned must not be sent: it
        is suppressed, held, paused, past its deadline, or another worker's; or the database is
        older than it was ``seen``, or on a server that nobody has looked at since it started.
        """
        rows = sorted(rows, key=attrgetter("id.int"))
        ids = ids_of([row.id for row in rows])
        gens = array(row.gen for row in rows)
        values = {**ids, "gens": gens, "owner": owner, "lease": lease, **values_of(seen)}
        found = tx.execute(self._on_month(ids, self._guard), values)
        passed = [(rows[place - 1], at) for place, at in found.all()]
        return [Guarded(message_id=row.id, gen=row.gen + 1, guarded_at=at) for row, at in passed]

    def put_back(
        self, tx: Transaction, rows: Mapping[UUID, int], *, owner: int, reason: str
    ) -> None:
        """Back to pending: rows whose request was provably never begun, by id and generation."""
        rows = dict(sorted(rows.items()))
        values = {"gens": array(rows.values()), "owner": owner, "reason": reason}
        tx.execute(_PUT_BACK, {**ids_of(rows), **values})

    def settle(self, tx: Transaction, moves: Sequence[Move]) -> int:
        """Move rows out of ``sending`` as settlement decided; see `settling.settle`."""
        return settling.settle(tx, self._months, moves)

    def settle_alone(self, tx: Transaction, moves: Sequence[Move]) -> int:
        """The same, in no transaction with anything else; see `settling.settle_alone`."""
        return settling.settle_alone(tx, self._months, moves)

    def meet_month(self, tx: Transaction, message_id: UUID) -> None:
        """Learn where messages of an id's month lie: statements on them cost less then."""
        self._months.meet(tx, message_id.hex)

    def _on_month(self, ids: Mapping[str, str | None], statement: str) -> TextClause:
        return on(self._months.table(ids["lowest"], ids["highest"]), statement)

    def suppress(self, tx: Transaction, ids: Sequence[UUID]) -> set[UUID]:
        """Settle those pending rows that a suppression covers, with Postgres's reason.

        A row that only a review holds stays pending and rests. Returns the ids of both.
        """
        asked = ids_of(sorted(ids))
        found = tx.execute(self._on_month(asked, _SUPPRESS), {**asked, "rest": REVIEW_REST})
        return {row.id for row in found}

    def refuse(self, tx: Transaction, ids: Sequence[UUID], *, reason: str) -> None:
        """Fail pending rows that can never be sent as they are."""
        tx.execute(_REFUSE, {**ids_of(sorted(ids)), "reason": reason})

    def learn(
        self, tx: Transaction, known: Sequence[Evidence], state: State, sources: frozenset[State]
    ) -> dict[UUID, bool]:
        """Apply later evidence for ``state``, one piece a message; rows in ``sources`` move there.

        Returns:
            For each row that exists, whether it moved; a repetition moves none.
        """
        known = sorted(known, key=attrgetter("message_id.int"))
        found = tx.execute(
            _LEARN,
            {
                "state": state.value,
                "sources": [source.value for source in sources],
                **ids_of([one.message_id for one in known]),
                "reasons": texts(one.reason for one in known),
                "statuses": texts(one.provider_status for one in known),
                "codes": array(one.provider_code for one in known),
                "sids": texts(one.sid for one in known),
            },
        )
        return {row.id: row.moves for row in found}
