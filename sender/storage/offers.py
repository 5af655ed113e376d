"""The queue: whose slice is next when not all can be worked on at once.

Thread room is shared first between tenants by their weights, then between a tenant's campaigns by
theirs. What is in play counts: whoever has the fewest slices in play for its weight is next. Where
that is alike (so many wait that each has one or none), whoever was served longest ago for its
weight is next, and a newcomer before all: so nobody starves, and nobody gains from being many.
Whoever is alone gets everything.

Transactional slices are a class of their own. As many as threads are reserved for them in the
fleet (and one in any case) go before anything else; more of them share the other threads with
bulk slices, first in their own tenant's share, so that a tenant which calls everything
transactional delays itself. At a sender they take the places first.
"""

from datetime import timedelta

from sender.storage.holds import HELD, HELD_AMONG_MANY
from sender.storage.workers import OWNER_LIVES

#: An offer that nobody took for this long got lost on the way: Celery over Redis loses messages.
OFFER_EXPIRES = timedelta(seconds=15)
#: Segments a second that one slice feeds, so that a sender has no more slices in play than its
#: pace needs: a process's 64 requests in flight make this much when an answer takes 2.5 s, which
#: is ten times what Twilio takes. A slow sender therefore costs one thread and not the fleet.
FED_BY_A_SLICE = 25.0

#: What the statements below ask of the fleet.
FLEET = {"expires": OFFER_EXPIRES, "fed_by_a_slice": FED_BY_A_SLICE}

_IN_TIME = "c.deadline_at > now() AND (f.rests_until IS NULL OR f.rests_until <= now())"
#: SQL that is true while a running campaign ``c`` of sender ``f`` may send: what refuses a window
#: of it as a whole refuses the slice already, or its runs would come to nothing again and again.
MAY_GO = f"({_IN_TIME} AND NOT {HELD})"

#: SQL that is true of a slice ``s`` that a live worker works on.
_LEASED = f"(s.leased_until > now() AND {OWNER_LIVES.format(owner='s.owner')})"
#: In the words of the index ``slice_in_play``: a campaign of millions has thousands of others.
_TOUCHED = "s.done_at IS NULL AND (s.owner IS NOT NULL OR s.offered_at IS NOT NULL)"

#: SQL that is true of a slice ``s`` of the running campaign ``c`` that could be worked on, and is
#: not.
_WAITS = """
    s.campaign_id = c.id AND s.done_at IS NULL AND (s.due_at IS NULL OR s.due_at <= now())
    AND s.id NOT IN (SELECT id FROM in_play)
"""

#: SQL to put after ``WITH``: the running campaigns; the slices in play (leased, or offered and not
#: lost yet), also by sender; ``room`` has the fleet's threads and who has them. ``waited`` is how
#: long ago somebody was served, for its weight.
_FLEET = f"""
    running AS MATERIALIZED (
        SELECT c.id, c.tenant_id, c.sender_id, c.transactional, c.weight,
               t.weight AS tenant_weight, f.rests_until,
               coalesce(c.weight * extract(epoch FROM now() - c.served_at)::double precision,
                        'Infinity') AS waited,
               coalesce(t.weight * extract(epoch FROM now() - t.served_at)::double precision,
                        'Infinity') AS tenant_waited,
               ceil(f.segments_per_second / :fed_by_a_slice) AS places,
               {_IN_TIME} AND NOT {HELD_AMONG_MANY} AS may_go
        FROM campaign c JOIN sender f ON f.id = c.sender_id JOIN tenant t ON t.id = c.tenant_id
        WHERE c.state = 'RUNNING'
    ),
    in_play AS MATERIALIZED (
        SELECT s.id, c.id AS campaign_id, c.sender_id, c.tenant_id, c.transactional
        FROM slice s JOIN running c ON c.id = s.campaign_id
        WHERE {_TOUCHED} AND (
            {_LEASED}
            -- An offer from before the sender's rest was refused during it, or will be.
            OR s.owner IS NULL AND c.may_go
               AND s.offered_at > greatest(now() - :expires, c.rests_until))
    ),
    at_sender AS (
        SELECT sender_id, count(*) AS slices,
               count(*) FILTER (WHERE transactional) AS transactional
        FROM in_play GROUP BY sender_id
    ),
    busy AS (
        SELECT count(*) FILTER (WHERE transactional) AS transactional,
               count(*) FILTER (WHERE NOT transactional) AS bulk
        FROM in_play
    ),
    fleet AS (
        SELECT coalesce(sum(w.slices), 0) AS total, coalesce(sum(w.reserved), 0) AS reserved
        FROM worker w WHERE {OWNER_LIVES.format(owner="w.id")}
    ),
    room AS (
        SELECT total, reserved, transactional, bulk, total - transactional - bulk AS left,
               -- Transactional slices that go before anything else.
               least(total - transactional - bulk, greatest(reserved, 1) - transactional)
                   AS for_first,
               -- Threads that nobody has and anybody may have.
               total - reserved - bulk - greatest(0, transactional - reserved) AS for_all
        FROM fleet, busy
    )
"""  # noqa: S608  # built from constants only

#: Marks as offered what there is room for, and notes who was served. Of a campaign no more slices
#: are looked at than its sender or the fleet could take: ``placed`` has them with their ``place``
#: at their sender, of which its pace needs ``places``; ``turns`` those that have one.
OFFER = f"""
    WITH {_FLEET},
    waiting AS (
        SELECT next.id, c.id AS campaign_id, c.tenant_id, c.sender_id, c.transactional,
               c.tenant_weight, c.waited, c.tenant_waited, c.places,
               (coalesce(own.slices, 0) + row_number() OVER (PARTITION BY c.id ORDER BY next.id)
                   - 1) / c.weight AS share
        FROM running c
        LEFT JOIN (SELECT campaign_id, count(*) AS slices FROM in_play GROUP BY campaign_id) own
          ON own.campaign_id = c.id
        CROSS JOIN LATERAL (
            SELECT s.id FROM slice s WHERE {_WAITS}
            ORDER BY s.id LIMIT greatest(0, least(c.places, (SELECT room.left FROM room)))
        ) AS next
        WHERE c.may_go
    ),
    placed AS (
        SELECT w.*,
               coalesce(CASE WHEN w.transactional THEN own.transactional ELSE own.slices END, 0)
                   + row_number() OVER (PARTITION BY w.sender_id ORDER BY
                                        NOT w.transactional, w.share, w.waited DESC, random())
                   AS place
        FROM waiting w LEFT JOIN at_sender own ON own.sender_id = w.sender_id
    ),
    turns AS (
        SELECT p.*, coalesce(own.slices, 0) AS in_play,
               coalesce(own.transactional, 0) AS transactional_in_play,
               row_number() OVER (PARTITION BY p.tenant_id ORDER BY
                                  NOT p.transactional, p.share, p.waited DESC, random()) - 1 AS turn
        FROM placed p
        LEFT JOIN (
            SELECT tenant_id, count(*) AS slices,
                   count(*) FILTER (WHERE transactional) AS transactional
            FROM in_play GROUP BY tenant_id
        ) own ON own.tenant_id = p.tenant_id
        WHERE p.place <= p.places
    ),
    first AS MATERIALIZED (
        SELECT id, campaign_id, tenant_id, transactional FROM turns WHERE transactional
        ORDER BY (transactional_in_play + turn) / tenant_weight, tenant_waited DESC, random()
        LIMIT greatest(0, (SELECT room.for_first FROM room))
    ),
    others AS (
        SELECT id, campaign_id, tenant_id, transactional FROM turns
        WHERE id NOT IN (SELECT id FROM first)
        ORDER BY (in_play + turn) / tenant_weight, tenant_waited DESC, random()
        LIMIT greatest(0, (
            SELECT room.total - room.reserved - room.bulk - greatest(
                0, room.transactional + (SELECT count(*) FROM first) - room.reserved)
            FROM room))
    ),
    offered AS MATERIALIZED (SELECT * FROM first UNION ALL SELECT * FROM others),
    -- By arrays, or Postgres would read all campaigns and slices for the few that are offered.
    -- Whoever is locked (a campaign that is being paused) is not waited for.
    campaigns AS (
        UPDATE campaign SET served_at = now() WHERE id = ANY (ARRAY(
            SELECT id FROM campaign WHERE id = ANY (ARRAY(SELECT campaign_id FROM offered))
            FOR NO KEY UPDATE SKIP LOCKED))
    ),
    tenants AS (
        UPDATE tenant SET served_at = now() WHERE id = ANY (ARRAY(
            SELECT id FROM tenant WHERE id = ANY (ARRAY(SELECT tenant_id FROM offered))
            FOR NO KEY UPDATE SKIP LOCKED))
    )
    -- Looked at again under its lock: a late hint may have been followed meanwhile.
    UPDATE slice s SET offered_at = now(), owner = NULL, leased_until = NULL
    FROM offered WHERE s.id = ANY (ARRAY(SELECT id FROM offered)) AND s.id = offered.id
      AND s.done_at IS NULL
      AND (s.due_at IS NULL OR s.due_at <= now()) AND (s.owner IS NULL OR NOT {_LEASED})
    RETURNING s.id, offered.transactional
"""  # noqa: S608  # built from constants only


def _waiting(condition: str) -> str:
    """SQL for the campaigns ``c`` like this that could be worked on, at their sender ``own``."""
    return f"""
        SELECT FROM running c LEFT JOIN at_sender own ON own.sender_id = c.sender_id
        WHERE c.may_go AND {condition} AND EXISTS (SELECT FROM slice s WHERE {_WAITS})
    """  # noqa: S608  # built from constants only


def _more_wait(condition: str, threads: str) -> str:
    """SQL that is true while more campaigns like this wait than there are such free threads.

    Some are free for a moment whenever a run has ended; that is nothing for the hundredth in line.
    """
    free = f"greatest(0, (SELECT room.{threads} FROM room))"  # noqa: S608  # a constant
    return f"""
        (SELECT count(*) FROM ({_waiting(condition)} LIMIT {free} + 1) AS line) > {free}
    """  # noqa: S608  # built from constants only


_FIRST_ELSEWHERE = """
    c.transactional AND c.sender_id <> :sender_id AND coalesce(own.transactional, 0) < c.places
"""
_BULK_ELSEWHERE = """
    NOT c.transactional AND c.sender_id <> :sender_id AND coalesce(own.slices, 0) < c.places
"""
_ANY_HERE = """
    (c.transactional OR NOT me.transactional) AND c.sender_id = :sender_id AND c.id <> :campaign_id
"""
_FIRST_HERE = """
    c.transactional AND c.sender_id = :sender_id AND c.id <> :campaign_id
    AND coalesce(own.transactional, 0) < c.places
"""

#: Who could work if a run over a campaign ended now. Costs one look at each running campaign.
OTHERS_WAIT = f"""
    WITH {_FLEET},
    me AS (
        SELECT c.transactional, ceil(f.segments_per_second / :fed_by_a_slice) AS places,
               coalesce(here.slices, 0) AS slices_here,
               coalesce(here.transactional, 0) AS first_here
        FROM campaign c JOIN sender f ON f.id = c.sender_id
        LEFT JOIN at_sender here ON here.sender_id = c.sender_id
        WHERE c.id = :campaign_id
    )
    SELECT EXISTS ({_waiting(_ANY_HERE)}) AS same_sender,
           {_more_wait(_FIRST_ELSEWHERE, "left")}
               -- A reserved thread is of no use to a bulk slice.
               OR (NOT me.transactional OR room.transactional > room.reserved)
                  AND {_more_wait(_BULK_ELSEWHERE, "for_all")} AS other_senders,
           NOT me.transactional AND (
               me.first_here > 0 AND me.slices_here > me.places
               OR me.slices_here >= me.places AND EXISTS ({_waiting(_FIRST_HERE)})
               OR room.left <= 0 AND room.transactional < greatest(room.reserved, 1)
                  AND EXISTS ({_waiting(f"({_FIRST_HERE} OR {_FIRST_ELSEWHERE})")})
           ) AS transactional,
           EXISTS (SELECT FROM campaign c JOIN daily_cap d ON (d.level, d.subject) IN (
               ('tenant', c.tenant_id), ('sender', c.sender_id))
               WHERE c.id = :campaign_id) AS capped
    FROM room, me
"""  # noqa: S608  # built from constants only

#: Whether the fleet's bulk slices leave the reserved threads alone.
BULK_HAS_ROOM = f"""
    SELECT (SELECT count(*) FROM slice s JOIN campaign c ON c.id = s.campaign_id
            WHERE {_TOUCHED} AND {_LEASED} AND c.state = 'RUNNING' AND NOT c.transactional)
         < (SELECT coalesce(sum(w.slices - w.reserved), 0) FROM worker w
            WHERE {OWNER_LIVES.format(owner="w.id")})
"""  # noqa: S608  # built from constants only
