"""One storm from start to end."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import sender
from sender.api import Client
from sender.local.demo.conducting import Stage
from sender.local.demo.ending import wait_for_the_end
from sender.local.demo.provider import Provider
from sender.local.demo.provider_log import ProviderLog
from sender.local.demo.scenario import Scenario
from sender.local.demo.view import NoView
from sender.runtime import Runtime
from sender.storage import audit
from sender.storage.tenants import DEFAULT_TENANT
from sender.suppression import RedisSets, connect_sync
from tests.acceptance.rig import NUMBER
from tests.faults.rig import FaultySystem, faulty_system, until
from tests.faults.storm.aftermath import Aftermath, Evidence, count_lines, look_back
from tests.faults.storm.disasters import Disasters
from tests.faults.storm.fleet import PAUSE, Fleet
from tests.faults.storm.forecast import Forecast

#: Between two looks at everything.
TICK = 0.1
#: How often somebody is made to say STOP, how many at a time are, and how many in all.
AIM_EVERY, AIMED, SAY_STOP = 0.25, 2, 0.25
#: A campaign that takes longer than this hangs.
LONGEST = 600.0
#: The pace once nobody has to die any more, the slowest before, and how often it is set.
FAST, SLOWEST, SET_PACE_EVERY = 1_000.0, 5.0, 2.0
#: What a death takes, replacement included, beside the pause between two.
DEATH_TAKES = 0.8


def weather(folder: Path, forecast: Forecast) -> Aftermath:
    """Run a storm in a folder of its own; everything is gone when this returns."""
    programs = forecast.substitutes.programs
    with faulty_system(folder, programs=programs) as system:
        return Storm(system=system, forecast=forecast).run()


@dataclass(kw_only=True)
class Storm:
    """A storm under way."""

    system: FaultySystem
    forecast: Forecast
    doubted: set[UUID] = field(default_factory=set)
    _said: set[int] = field(default_factory=set)
    _aim_at: float = 0.0
    _pace_at: float = 0.0

    def __post_init__(self) -> None:
        chance: Random = self.forecast.chance
        self.fleet = Fleet(
            system=self.system,
            chance=chance,
            app=self.forecast.substitutes.programs.celery_app,
            kills=self.forecast.kills,
        )
        self.disasters = Disasters(system=self.system, chance=chance)
        self.deck = self.disasters.deck() if self.forecast.disasters else []
        self._disasters = len(self.deck)
        port = int(self.system.simulator.url.rpartition(":")[2])
        self.stage = Stage(
            stack=self.system.stack,
            settings=self.system.stack.plan.settings,
            provider=Provider(port=port),
            db=self.system.db,
            view=NoView(),
            scenario=Scenario(
                opted_out=(),
                lost_from_redis=(),
                blocked=(),
                texts_before=(),
                texts=(),
                rules=(),
            ),
        )

    def run(self) -> Aftermath:
        """Everything, in order."""
        campaign = self._prepare()
        self._last_through(campaign)
        self.disasters.end()
        self.system.simulator.ask("PATCH", "config", {"faults": {}})
        if self.forecast.to_the_end:
            wait_for_the_end(self.stage)
        self.fleet.end()
        self.system.stack.check()
        for words in self.fleet.last_words:
            print(words)  # noqa: T201  # a worker that ends by itself is worth a look
        return look_back(self._evidence(campaign))

    def _prepare(self) -> sender.Campaign:
        """The first STOPs, the workers, and the campaign; part of the Redis set is lost."""
        forecast, simulator = self.forecast, self.system.simulator
        simulator.ask("PATCH", "config", forecast.behaviour)
        self.stage.provider.follow(forecast.rules)
        if forecast.substitutes.prepare:
            forecast.substitutes.prepare(self.system.stack.plan.database_url)
        for person in forecast.stopped_before:
            self._stop(person)
        self.fleet.look()
        until(self._all_enforced, "the first STOPs")
        self._said |= {int(rule.to) for rule in forecast.rules}
        runtime = Runtime(settings=self.stage.settings, parts=forecast.substitutes.parts)
        client = Client(runtime.api())
        self.system.exits.callback(client.close)
        client.set_pace(NUMBER, SLOWEST)
        audience = sender.from_iterable(forecast.rows)
        campaign = client.create_campaign(
            name="storm", sender=NUMBER, body="Storm", audience=audience, region="US"
        )
        until(self._first_is_up, "the first worker", seconds=60)
        self.disasters.freeze_consumer()  # or it would notice
        self._lose_from_redis()
        self._set_the_pace(campaign)
        return campaign.enqueue(scrub=False)  # which the frozen consumer would have to do

    def _first_is_up(self) -> bool:
        self.fleet.look()
        return bool(self.fleet.live)

    def _all_enforced(self) -> bool:
        stored = self.system.value("SELECT count(*) FROM enforcement WHERE enforced_at IS NOT NULL")
        return bool(stored == len(self.forecast.stopped_before))

    def _lose_from_redis(self) -> None:
        lost = [(DEFAULT_TENANT, 0, one) for one in self.forecast.lost_from_redis]
        with connect_sync(self.system.servers.redis.url) as redis:
            RedisSets(redis).write(add=(), remove=lost)

    def _last_through(self, campaign: sender.Campaign) -> None:
        """Until the campaign has ended and all have died that must."""
        give_up_at = time.monotonic() + LONGEST
        while not self._has_ended(campaign):
            assert time.monotonic() < give_up_at, f"the campaign hangs: {self._standing(campaign)}"
            self.fleet.look()
            self.disasters.look()
            self._befall()
            self._aim(campaign)
            self._watch()
            self._set_the_pace(campaign)
            time.sleep(TICK)

    def _set_the_pace(self, campaign: sender.Campaign) -> None:
        """So slow that the campaign outlasts the deaths that are left; fast after them."""
        if time.monotonic() < self._pace_at:
            return
        self._pace_at = time.monotonic() + SET_PACE_EVERY
        self.system.tried(
            "UPDATE sender SET segments_per_second = :pace", pace=self._pace(campaign)
        )

    def _pace(self, campaign: sender.Campaign) -> float:
        if self.fleet.is_calm:
            return FAST
        found = self.system.tried(
            "SELECT count(*) AS n FROM message WHERE campaign_id = :id AND state = 'pending'",
            id=campaign.id,
        )
        pending = found[0].n if found else self.forecast.people
        deaths = self.forecast.kills - self.fleet.killed + 1
        return max(SLOWEST, float(pending) / deaths / (PAUSE + DEATH_TAKES))

    def _has_ended(self, campaign: sender.Campaign) -> bool:
        found = self.system.tried("SELECT state FROM campaign WHERE id = :id", id=campaign.id)
        return bool(found) and found[0].state == "COMPLETED"

    def _standing(self, campaign: sender.Campaign) -> str:
        return f"{self.system.states(campaign)}, {self.fleet.died}, {self.disasters.happened}"

    def _befall(self) -> None:
        """Disasters are spread evenly over the deaths."""
        deaths_left = max(0, self.forecast.kills - self.fleet.killed)
        while len(self.deck) > self._disasters * deaths_left / (self.forecast.kills + 1):
            self.disasters.garble_hints()
            self.deck.pop()()

    def _aim(self, campaign: sender.Campaign) -> None:
        """Have people say STOP who are in a worker's hands now, or will be next."""
        share = len(self._said) / self.forecast.people
        if time.monotonic() < self._aim_at or share > SAY_STOP:
            return
        self._aim_at = time.monotonic() + AIM_EVERY
        for state in ("sending", "pending"):
            found = self.system.tried(
                "SELECT recipient FROM message WHERE campaign_id = :id AND state = :state "
                "ORDER BY id LIMIT 40",
                id=campaign.id,
                state=state,
            )
            fresh = [row.recipient for row in found if row.recipient not in self._said]
            for person in self.forecast.chance.sample(fresh, min(AIMED, len(fresh))):
                self._stop(person)

    def _stop(self, person: int) -> None:
        self._said.add(person)
        self.stage.provider.text_in(person, "STOP")

    def _watch(self) -> None:
        found = self.system.tried("SELECT id FROM message WHERE state = 'in_doubt'")
        self.doubted |= {row.id for row in found}

    def _evidence(self, campaign: sender.Campaign) -> Evidence:
        tables = self.system.db.run(audit.read, campaign.id)
        logs = [*self.system.folder.glob("logs/*.log")]
        happened = {
            "workers killed": self.fleet.died["killed"],
            "workers dead at a place": self.fleet.died["at a place"],
            "workers frozen": self.fleet.died["frozen"],
            "workers that gave up": len(self.fleet.last_words),
            **self.disasters.happened,
        }
        entries = list(self.stage.provider.log())
        return Evidence(
            seed=self.forecast.seed,
            log=ProviderLog.from_entries(entries),
            hopeful=ProviderLog.from_entries(map(_as_if_heard, entries)),
            tables=tables,
            file_rows=len(self.forecast.rows),
            doubted=frozenset(self.doubted),
            happened=happened,
            lines=count_lines(logs),
        )


def _as_if_heard(entry: dict[str, Any]) -> dict[str, Any]:
    """A status callback that was posted may have been counted, whoever died before its answer."""
    is_posted = entry["kind"] == "status" and entry["attempts"]
    return {**entry, "acknowledged": True} if is_posted else entry
