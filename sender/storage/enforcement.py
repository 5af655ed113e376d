"""Opt-outs to be enforced: withdrawn rows, the look, and the mark that says it is in force."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from sender.storage import id_range
from sender.storage.database import Transaction
from sender.storage.id_range import WITHIN


@dataclass(frozen=True, kw_only=True)
class OptOut:
    """An opt-out whose enforcement is asked for, in the scope it covers."""

    event_id: int
    tenant_id: int
    recipient: int
    scope: int


_REQUEST = text("""
    INSERT INTO enforcement (event_id, tenant_id, recipient, scope)
    SELECT * FROM unnest(CAST(:events AS bigint[]), CAST(:tenants AS integer[]),
                         CAST(:recipients AS bigint[]), CAST(:scopes AS integer[]))
    ON CONFLICT (event_id) DO NOTHING
""")


def request_enforcement(tx: Transaction, opt_outs: Sequence[OptOut]) -> None:
    """Ask for opt-outs' enforcement; asking twice changes nothing."""
    values = {
        "events": [one.event_id for one in opt_outs],
        "tenants": [one.tenant_id for one in opt_outs],
        "recipients": [one.recipient for one in opt_outs],
        "scopes": [one.scope for one in opt_outs],
    }
    tx.execute(_REQUEST, values)


#: True for a row ``m`` of campaign ``c`` that the opt-out ``e`` covers; a platform-wide one
#: (tenant 0) covers every tenant's rows. Campaigns that have not
#: started are left out: the guard decides about them, so that a START in between counts.
IN_SCOPE = """
    m.recipient = e.recipient AND e.tenant_id IN (0, c.tenant_id)
    AND c.state NOT IN ('DRAFT', 'SCHEDULED')
    AND (e.scope = 0 OR EXISTS (SELECT FROM sender_scope ss
                                WHERE ss.sender_id = c.sender_id AND ss.scope = e.scope))
"""
#: True while the opt-out ``e`` is in force: no START has lifted it.
STILL_SUPPRESSED = """
    EXISTS (SELECT FROM suppression s
            WHERE s.recipient = e.recipient AND s.tenant_id = e.tenant_id AND s.scope = e.scope
              AND s.reason <> 'review')
"""

_WITHDRAW = text(f"""
    WITH asked AS (
        SELECT m.id, min(o.reason) AS reason
        FROM enforcement e
        JOIN consent_event o ON o.id = e.event_id
        JOIN message m ON m.recipient = e.recipient AND m.state = 'pending'
        JOIN campaign c ON c.id = m.campaign_id
        WHERE e.event_id = ANY (CAST(:ids AS bigint[])) AND {WITHIN}
          AND {IN_SCOPE} AND {STILL_SUPPRESSED}
        GROUP BY m.id
    ),
    withdrawn AS (
        SELECT m.id, asked.reason FROM message m JOIN asked ON asked.id = m.id
        WHERE {WITHIN} AND m.state = 'pending' ORDER BY m.id FOR UPDATE OF m
    )
    UPDATE message m
    SET state = 'suppressed', reason = withdrawn.reason, changed_at = clock_timestamp()
    FROM withdrawn WHERE m.id = withdrawn.id AND {WITHIN} AND m.state = 'pending'
""")  # noqa: S608  # built from the constants above only

#: A verdict does not end the wait for a doubt: who gave it may have been set to a shorter horizon.
_ENFORCED = text(f"""
    UPDATE enforcement e SET enforced_at = clock_timestamp()
    WHERE e.event_id = ANY (CAST(:ids AS bigint[])) AND e.enforced_at IS NULL
      AND NOT EXISTS (
        SELECT FROM message m JOIN campaign c ON c.id = m.campaign_id
        WHERE {WITHIN} AND {IN_SCOPE}
          AND (m.state = 'sending'
               OR (m.state = 'pending' AND {STILL_SUPPRESSED})
               OR (m.state = 'in_doubt' AND m.changed_at > now() - CAST(:horizon AS interval))
               OR (m.reason IN ('verdict_sent', 'verdict_not_sent') AND EXISTS (
                   SELECT FROM verdict v WHERE v.message_id = m.id
                     AND v.doubted_at > now() - CAST(:horizon AS interval)))))
""")  # noqa: S608  # built from the constants above only

#: SQL that is true where `all_open` finds any. In order, and so from the index: of an EXISTS the
#: planner believes that it meets one soon wherever it begins, and the open ones are the newest.
ANY_OPEN = """
    (SELECT event_id FROM enforcement WHERE enforced_at IS NULL ORDER BY event_id LIMIT 1)
    IS NOT NULL
"""
_OPEN = text("SELECT event_id FROM enforcement WHERE enforced_at IS NULL ORDER BY event_id")
_OPEN_OF = text("""
    SELECT event_id FROM enforcement
    WHERE enforced_at IS NULL AND event_id = ANY (CAST(:ids AS bigint[]))
""")


class EnforcementTable:
    """The statements that enforce opt-outs; each runs in a transaction of its own."""

    def withdraw(self, tx: Transaction, ids: Sequence[int]) -> int:
        """Suppress the pending rows these opt-outs cover; how many.

        It waits for a guard that holds such a row (no SKIP LOCKED): whoever is first decides.
        """
        return tx.execute(_WITHDRAW, {"ids": list(ids), **id_range.of_open(tx)}).rowcount

    def mark_enforced(self, tx: Transaction, ids: Sequence[int], *, horizon: timedelta) -> None:
        """Mark those opt-outs for which no request can be under way any more.

        One look, in a snapshot younger than the withdrawal: nothing pending, sending, or in
        doubt for less than ``horizon`` (a lost worker's request may still be on the network),
        whatever a person's verdict on it is.
        """
        among = id_range.of_open(tx, ended=horizon)
        tx.execute(_ENFORCED, {"ids": list(ids), "horizon": horizon, **among})

    def still_open(self, tx: Transaction, ids: Sequence[int]) -> frozenset[int]:
        """Those of ``ids`` that are not enforced yet."""
        return frozenset(row.event_id for row in tx.execute(_OPEN_OF, {"ids": list(ids)}))

    def all_open(self, tx: Transaction) -> list[int]:
        """Every opt-out that is stored and not enforced yet, oldest first."""
        return [row.event_id for row in tx.execute(_OPEN)]


_TIMES = text("""
    SELECT event_id, enforced_at FROM enforcement
    WHERE event_id = ANY (CAST(:ids AS bigint[])) AND enforced_at IS NOT NULL
""")


def times_of(tx: Transaction, event_ids: Sequence[int]) -> dict[int, datetime]:
    """When those of these opt-outs that are enforced were."""
    return {row.event_id: row.enforced_at for row in tx.execute(_TIMES, {"ids": list(event_ids)})}
