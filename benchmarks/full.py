"""The system's side of a round: a stored, scrubbed, held campaign is let go and watched to its end.

The clock runs from the first request's arrival at the provider to the commit of the last
settlement, as Postgres noted it; with status callbacks, to the commit of the last of those. Before
it starts everything is idle, statistics are as fresh as autovacuum makes them within a minute, and
a checkpoint is behind.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg

import sender
from benchmarks import people
from benchmarks.callbacks import STATUSES
from benchmarks.cpu import Usage
from benchmarks.measured import REDIS_ITSELF, Case, Measured, wire_faults
from benchmarks.plan import body
from benchmarks.provider import Manners
from benchmarks.rig import NUMBER, Bench, System
from sender.local.waiting import wait_until

_HOLD = "benchmark"
#: A scrub that finds nothing to read takes a second or two.
_SCRUBBED_WITHIN = timedelta(seconds=60)
#: Longer than any round, and than a million recipients take.
_DONE_WITHIN = timedelta(minutes=30)
#: Callbacks come a tenth of a second after the answer, or queue up where they are the slowest part.
_TOLD_WITHIN = timedelta(minutes=2)

#: What became of a campaign's messages. The end is the commit of the row versions there are now.
_ROWS = """
    SELECT count(*) FILTER (WHERE state IN ('sent', 'delivered')),
           count(*) FILTER (WHERE state = 'suppressed'),
           count(*) FILTER (WHERE state NOT IN ('sent', 'delivered', 'suppressed')),
           count(*) FILTER (WHERE state = 'delivered'), count(sid), count(DISTINCT sid),
           extract(epoch FROM max(pg_xact_commit_timestamp(xmin)))::float8
    FROM message WHERE campaign_id = %s
"""
_OPEN = "SELECT EXISTS (SELECT FROM slice WHERE campaign_id = %s AND done_at IS NULL)"
_SCRUBBING = """
    SELECT EXISTS (SELECT FROM hold WHERE level = 'campaign' AND subject = %s
                   AND reason <> %s AND released_at IS NULL)
"""


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """A campaign's messages as they stand."""

    accepted: int
    suppressed: int
    unsettled: int
    #: Of the accepted ones, those whose last status callback was applied.
    delivered: int
    with_sid: int
    sids: int
    #: Unix time of the last commit.
    ended_at: float


@dataclass(frozen=True, kw_only=True)
class Full:
    """Runs rounds on a running system."""

    bench: Bench
    system: System
    db: "psycopg.Connection[Any]"

    @classmethod
    @contextmanager
    def on(cls, bench: Bench, system: System) -> Iterator["Full"]:
        """With a connection of its own to watch by."""
        with psycopg.connect(bench.postgres_url, autocommit=True) as db:
            yield cls(bench=bench, system=system, db=db)

    def run(self, case: Case, first: int, size: int, manners: Manners) -> Measured:
        """Text a run of recipients."""
        return self.send(self._stored(first, size), case, first, size, manners)

    def send(
        self, campaign: sender.Campaign, case: Case, first: int, size: int, manners: Manners
    ) -> Measured:
        """Text the recipients of a campaign that is created and not enqueued."""
        kinds = {**self.bench.kinds, **self.system.kinds}
        self._prepare(campaign)
        self.bench.provider.reset(manners)
        before, redis = Usage.now(kinds), self.bench.redis_seconds()
        self._let_go(campaign.id)
        if manners.callbacks:
            wait_until(self._is_told, _TOLD_WITHIN, "the callbacks")
        used, served = Usage.now(kinds).since(before), self.bench.redis_seconds() - redis
        rows, report = self._rows(campaign.id), self.bench.provider.report()
        hits, messages = people.suppressed_among(first, size), report["answered"]
        return Measured(
            case=case,
            messages=messages,
            seconds=rows.ended_at - report["first_at"],
            cpu=Usage({**used.seconds, REDIS_ITSELF: served}).per_message(messages),
            void=(
                *wire_faults(report, expected=size - hits),
                *_row_faults(rows, report, hits=hits),
            ),
            provider=report,
        )

    def _stored(self, first: int, size: int) -> sender.Campaign:
        return self.system.client.create_campaign(
            name=f"from {first}",
            sender=NUMBER,
            body=body(first),
            audience=sender.from_iterable(people.numbers(range(first, first + size))),
        )

    def _prepare(self, campaign: sender.Campaign) -> None:
        """Have nothing missing but that it is let go."""
        self.system.client.holds.place(campaign=campaign.id, reason=_HOLD, author=_HOLD)
        campaign.enqueue()
        wait_until(
            lambda: not self._holds(_SCRUBBING, campaign.id, _HOLD), _SCRUBBED_WITHIN, "the scrub"
        )
        self.db.execute("ANALYZE message")
        self.db.execute("CHECKPOINT")

    def _let_go(self, campaign_id: int) -> None:
        self.system.client.holds.release(
            campaign=campaign_id, only=_HOLD, reason=_HOLD, author=_HOLD
        )
        wait_until(partial(self._is_done, campaign_id), _DONE_WITHIN, "the campaign")

    def _is_done(self, campaign_id: int) -> bool:
        self.system.stack.check()
        time.sleep(0.1)  # asked more often, it would be part of the load
        return not self._holds(_OPEN, campaign_id)

    def _is_told(self) -> bool:
        time.sleep(0.1)
        counts = self.bench.provider.progress()
        told = counts["acknowledged"] + counts["refused"] + counts["lost"]
        return told >= len(STATUSES) * counts["answered"]

    def _holds(self, question: str, *about: object) -> bool:
        row = self.db.execute(question.encode(), about).fetchone()
        assert row is not None
        return bool(row[0])

    def _rows(self, campaign_id: int) -> _Rows:
        row = self.db.execute(_ROWS, (campaign_id,)).fetchone()
        assert row is not None
        accepted, suppressed, unsettled, delivered, with_sid, sids, ended_at = row
        return _Rows(
            accepted=accepted,
            suppressed=suppressed,
            unsettled=unsettled,
            delivered=delivered,
            with_sid=with_sid,
            sids=sids,
            ended_at=ended_at,
        )


def _row_faults(rows: _Rows, report: Mapping[str, Any], *, hits: int) -> list[str]:
    faults = []
    if rows.unsettled:
        faults.append(f"{rows.unsettled} rows are not settled")
    if not rows.with_sid == rows.sids == report["answered"]:
        faults.append(f"{report['answered']} accepted, {rows.with_sid} rows with a SID")
    if rows.suppressed != hits:
        faults.append(f"{rows.suppressed} suppressed, not {hits}")
    told = report["answered"] if report["manners"]["callbacks"] else 0
    if rows.delivered != told:
        faults.append(f"{rows.delivered} delivered by their callbacks, not {told}")
    return faults
