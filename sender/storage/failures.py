"""How many of a campaign's messages failed with which code, after they were accepted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from sender.domain.campaign import MessageIds
from sender.domain.receipt import FailureCause
from sender.storage.database import Transaction

#: A campaign is judged anew when its filtered messages have grown by this much: the rate cannot
#: have risen by more since, and its rows are counted a few dozen times in all, not at every sweep.
GROWN = 1.1

_ADD = text("""
    INSERT INTO failure_count AS f (campaign_id, code, cause, messages)
    SELECT * FROM unnest(CAST(:campaigns AS bigint[]), CAST(:codes AS integer[]),
                         CAST(:causes AS text[]), CAST(:messages AS bigint[]))
         AS more (campaign_id, code, cause, messages)
    ORDER BY campaign_id, code
    ON CONFLICT (campaign_id, code) DO UPDATE SET messages = f.messages + EXCLUDED.messages
""")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What failures are counted by."""

    campaign_id: int
    #: The provider's code; 0 where it gave none.
    code: int
    cause: FailureCause


def add(tx: Transaction, counts: Mapping[Failure, int]) -> None:
    """Count failures, in the order of their rows."""
    columns = {
        "campaigns": [one.campaign_id for one in counts],
        "codes": [one.code for one in counts],
        "causes": [one.cause.value for one in counts],
        "messages": list(counts.values()),
    }
    tx.execute(_ADD, columns)


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A running campaign with enough filtered messages to be judged."""

    campaign_id: int
    created_at: datetime
    recipients: int
    filtered: int
    #: When a person last released it from a hold for this: what was sent before, they knew of.
    released_at: datetime | None


#: Campaigns without a hold for it. What was judged is judged again when it has grown.
_SUSPECTS = text("""
    SELECT c.id AS campaign_id, c.created_at, c.recipients, f.filtered,
           (SELECT max(h.released_at) FROM hold h
            WHERE h.level = 'campaign' AND h.subject = c.id AND h.reason = :cause) AS released_at
    FROM campaign c CROSS JOIN LATERAL (
        SELECT CAST(sum(messages) AS bigint) AS filtered, sum(judged) AS judged
        FROM failure_count WHERE campaign_id = c.id AND cause = :cause
    ) AS f
    WHERE c.state = 'RUNNING' AND f.filtered >= :least AND f.filtered > f.judged
      AND f.filtered >= f.judged * CAST(:grown AS double precision)
      AND NOT EXISTS (SELECT FROM hold h WHERE h.level = 'campaign' AND h.subject = c.id
                      AND h.reason = :cause AND h.released_at IS NULL)
    ORDER BY c.id
""")
_ITS_ROWS = "m.id BETWEEN :first AND :last AND m.campaign_id = :campaign_id"
_FILTERED_SINCE = text(f"""
    SELECT count(*) FROM message m
    WHERE {_ITS_ROWS} AND m.state IN ('failed', 'undelivered') AND m.reason = :cause
      AND m.guarded_at > :since
""")  # noqa: S608  # built from a constant
_ACCEPTED = text(f"""
    SELECT count(*) FROM (
        SELECT FROM message m
        WHERE {_ITS_ROWS} AND m.sid IS NOT NULL
          AND (CAST(:since AS timestamptz) IS NULL OR m.guarded_at > :since)
        LIMIT :enough) AS found
""")  # noqa: S608  # built from a constant
_JUDGED = text("""
    UPDATE failure_count SET judged = messages WHERE campaign_id = :campaign_id AND cause = :cause
""")
_FILTERED = FailureCause.FILTERED.value


def suspects(tx: Transaction, *, least: int) -> list[Suspect]:
    """Running campaigns with at least so many filtered messages, and more than when last judged."""
    rows = tx.execute(_SUSPECTS, {"cause": _FILTERED, "least": least, "grown": GROWN}).mappings()
    return [Suspect(**row) for row in rows]


def filtered_since(tx: Transaction, suspect: Suspect) -> int:
    """How many were filtered that were sent after its last release; reads all its rows then."""
    if suspect.released_at is None:
        return suspect.filtered
    return int(tx.execute(_FILTERED_SINCE, _values(suspect)).scalar_one())


def accepted_since(tx: Transaction, suspect: Suspect, *, enough: int) -> int:
    """How many the provider took after its last release; counting ends at ``enough``."""
    return int(tx.execute(_ACCEPTED, {**_values(suspect), "enough": enough}).scalar_one())


def judged(tx: Transaction, suspect: Suspect) -> None:
    """Have it left alone until its filtered messages have grown."""
    tx.execute(_JUDGED, {"campaign_id": suspect.campaign_id, "cause": _FILTERED})


def _values(suspect: Suspect) -> dict[str, object]:
    ids = MessageIds(created_at=suspect.created_at, campaign_id=suspect.campaign_id)
    first, last = ids.span(1, suspect.recipients)
    return {
        "campaign_id": suspect.campaign_id,
        "first": first,
        "last": last,
        "cause": _FILTERED,
        "since": suspect.released_at,
    }
