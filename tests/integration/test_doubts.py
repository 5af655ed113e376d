"""Messages nobody knows the outcome of: noted, looked up at Twilio, and given up on in the end."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sender.audience import from_iterable
from sender.campaigns import Campaigns, Plan
from sender.domain.consent import Suppression
from sender.domain.provider import MessageRecord
from sender.enforcement import Enforcement
from sender.errors import ProviderUnavailable
from sender.gateway.codes import callback_verdict
from sender.recovery import Resolver
from sender.storage import doubts
from sender.storage.database import AsyncDatabase
from sender.storage.enforcement import EnforcementTable
from tests.bench import ACCOUNT, ANNA, OTHER_SENDER, SENDER, SERVICE, TENANT, Bench, crowd, new_sid


@dataclass
class _Log:
    """Twilio's message log, or its absence."""

    records: list[MessageRecord] = field(default_factory=list)
    away: bool = False
    asked: list[tuple[int, datetime]] = field(default_factory=list)

    async def of(self, _tenant_id: int) -> "_Log":
        """Every tenant's log."""
        return self

    async def list_to(self, recipient: int, since: datetime) -> list[MessageRecord]:
        """What it holds."""
        self.asked.append((recipient, since))
        if self.away:
            raise ProviderUnavailable("away")
        return self.records


class _NoCache:
    """A Redis set nobody asks."""

    async def add(self, entries: Iterable[Suppression]) -> None:
        """Not kept."""


Entry = Callable[..., MessageRecord]


class TestDoubts:
    """Messages nobody knows the outcome of."""

    @pytest.fixture
    def doubted(self, bench: Bench) -> int:
        """A campaign whose only message is in doubt, and due to be looked into."""
        return self._doubt(bench)

    def _doubt(self, bench: Bench, **facts: Any) -> int:
        campaign = bench.campaign(ANNA, **facts)
        bench.guard_all(campaign)
        bench.put(campaign, "in_doubt", reason="read_timeout")
        bench.execute("UPDATE doubt SET next_check = now()")
        return campaign

    @pytest.fixture
    def entry(self, bench: Bench, doubted: int) -> Entry:
        """The record that the doubted message would have."""
        plain = {
            "sid": new_sid(1),
            "account_sid": ACCOUNT,
            "direction": "outbound-api",
            "from_": SENDER,
            "to": f"+{ANNA}",
            "body": "Sale today",
            "status": "sent",
            "error_code": None,
            "date_created": bench.row(doubted).guarded_at,
            "service_sid": None,
            "num_media": 0,
        }

        def record(**facts: Any) -> MessageRecord:
            told = plain | facts
            verdict = callback_verdict(told["status"], told["error_code"], toll_free=False)
            return MessageRecord(**told, verdict=verdict)

        return record

    def _resolver(self, bench: Bench, db: AsyncDatabase, log: _Log) -> Resolver:
        return Resolver(
            db=db,
            messages=bench.messages,
            enforcement=Enforcement(table=EnforcementTable(), horizon=timedelta(seconds=120)),
            cache=_NoCache(),
            providers=log,
        )

    def test_every_doubt_is_noted(self, bench: Bench, doubted: int) -> None:
        """Whatever puts a row in doubt, the resolver has it on its list, once."""
        assert bench.value("SELECT message_id FROM doubt") == bench.row(doubted).id
        bench.put(doubted, "in_doubt", reason="again")
        assert bench.value("SELECT count(*) FROM doubt") == 1

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            ("queued", "sent"),
            ("sent", "sent"),
            ("delivered", "delivered"),
            ("undelivered", "undelivered"),
            ("failed", "failed"),
            ("canceled", "canceled"),
        ],
    )
    async def test_found(  # one row of a table
        self,
        bench: Bench,
        loop_db: AsyncDatabase,
        doubted: int,
        entry: Entry,
        status: str,
        state: str,
    ) -> None:
        """A record with its sender, text and time proves the acceptance, and tells the state."""
        log = _Log([entry(status=status)])
        assert await self._resolver(bench, loop_db, log).resolve() == 1
        row = bench.row(doubted)
        assert (row.state, row.reason, row.sid) == (state, "found_at_provider", new_sid(1))
        ((recipient, since),) = log.asked
        assert recipient == ANNA
        assert since < row.guarded_at
        assert await self._resolver(bench, loop_db, _Log()).resolve() == 0
        assert bench.value("SELECT count(*) FROM doubt") == 0

    @pytest.mark.parametrize(
        "facts",
        [
            {"body": "Another text"},
            {"from_": OTHER_SENDER},
            {"date_created": datetime.now(UTC) + timedelta(hours=1)},
        ],
    )
    async def test_not_its_record(
        self,
        bench: Bench,
        loop_db: AsyncDatabase,
        doubted: int,
        entry: Entry,
        facts: dict[str, Any],
    ) -> None:
        """Another text, sender or time proves nothing."""
        assert await self._resolver(bench, loop_db, _Log([entry(**facts)])).resolve() == 0
        assert bench.row(doubted).state == "in_doubt"
        (doubt,) = bench.execute("SELECT looked_at, found FROM doubt")
        assert doubt.looked_at is not None
        assert doubt.found == "1 messages to them, this one not among them"

    async def test_another_messages_record(
        self, bench: Bench, loop_db: AsyncDatabase, doubted: int, entry: Entry
    ) -> None:
        """A record that is another message's of ours is not taken twice."""
        other = bench.campaign(ANNA)
        bench.put(other, "sent", sid=new_sid(1))
        assert await self._resolver(bench, loop_db, _Log([entry()])).resolve() == 0
        log = _Log([entry(), entry(sid=new_sid(2))])
        bench.execute("UPDATE doubt SET next_check = now()")
        assert await self._resolver(bench, loop_db, log).resolve() == 1
        assert bench.row(doubted).sid == new_sid(2)

    async def test_a_service_is_matched_by_its_sid(
        self, bench: Bench, loop_db: AsyncDatabase, entry: Entry
    ) -> None:
        """A Messaging Service's record is known by the service, whichever number it chose."""
        bench.execute("TRUNCATE doubt")
        campaign = self._doubt(bench, sender=SERVICE)
        log = _Log([entry(from_=OTHER_SENDER, service_sid=SERVICE)])
        assert await self._resolver(bench, loop_db, log).resolve() == 1
        assert bench.row(campaign).state == "sent"

    async def test_a_21610_in_the_record(
        self, bench: Bench, loop_db: AsyncDatabase, doubted: int, entry: Entry
    ) -> None:
        """A 21610 that only Twilio's record tells suppresses, with an incident, like any other."""
        log = _Log([entry(status="failed", error_code=21610)])
        assert await self._resolver(bench, loop_db, log).resolve() == 1
        row = bench.row(doubted)
        assert (row.state, row.reason, row.provider_code) == ("suppressed", "provider_block", 21610)
        assert bench.is_suppressed()
        assert bench.value("SELECT door FROM incident") == "callback"

    async def test_a_failure_in_the_record(
        self, bench: Bench, loop_db: AsyncDatabase, doubted: int, entry: Entry
    ) -> None:
        """What the log tells of number and sender counts like a callback's word."""
        log = _Log([entry(status="undelivered", error_code=30006)])
        assert await self._resolver(bench, loop_db, log).resolve() == 1
        assert bench.row(doubted).state == "undelivered"
        assert bench.value("SELECT bad_until > now() FROM number_health")
        bench.execute("DELETE FROM doubt")
        self._doubt(bench)
        log.records = [entry(status="failed", error_code=30034, sid=new_sid(2))]
        assert await self._resolver(bench, loop_db, log).resolve() == 1
        assert bench.value("SELECT reason FROM hold") == "refused_30034"

    def test_the_body_that_was_sent(self, bench: Bench) -> None:
        """The text is compared as it was sent to this person, with the row's fields filled in."""
        bench.sender_id()
        campaigns = Campaigns(db=bench.db, tenant_id=TENANT)
        audience = from_iterable([{"phone": f"+{ANNA}", "name": "Anna"}])
        plan = Plan(name="Spring", sender=SENDER, body="Hi {name}", audience=audience)
        campaign = campaigns.create(plan)
        campaigns.enqueue(campaign)
        bench.guard_all(campaign)
        bench.put(campaign, "in_doubt")
        bench.execute("UPDATE doubt SET next_check = now()")
        (doubt,) = bench.db.run(doubts.claim, limit=10)
        assert (doubt.body, doubt.fields) == ("Hi {name}", {"name": "Anna"})

    @pytest.mark.parametrize("guarded_ago", [None, timedelta(days=2)])
    async def test_what_a_restore_put_in_doubt(
        self, bench: Bench, loop_db: AsyncDatabase, entry: Entry, guarded_ago: timedelta | None
    ) -> None:
        """When it was sent nobody knows, since its campaign was created: any time may be it."""
        bench.execute("DELETE FROM doubt")
        campaign = bench.campaign(ANNA)
        guarded_at = guarded_ago and datetime.now(UTC) - guarded_ago
        bench.put(campaign, "in_doubt", reason="restored", guarded_at=guarded_at)
        bench.execute("UPDATE doubt SET next_check = now()")
        log = _Log([entry(status="delivered", date_created=datetime.now(UTC))])
        assert await self._resolver(bench, loop_db, log).resolve() == 1
        assert bench.row(campaign).state == "delivered"
        ((_, since),) = log.asked
        created_at = bench.value("SELECT created_at FROM campaign WHERE id = :id", id=campaign)
        assert since < created_at

    async def test_one_that_cannot_be_looked_into(
        self, bench: Bench, loop_db: AsyncDatabase, doubted: int, entry: Entry
    ) -> None:
        """Whatever is wrong with one doubt, the others are looked into."""
        broken = self._doubt(bench)
        bench.execute("UPDATE campaign SET body = 'Hi {name}' WHERE id = :id", id=broken)
        bench.execute(
            "UPDATE doubt SET next_check = now() - interval '1 hour' WHERE message_id = :id",
            id=bench.row(broken).id,
        )
        assert await self._resolver(bench, loop_db, _Log([entry()])).resolve() == 1
        assert (bench.row(broken).state, bench.row(doubted).state) == ("in_doubt", "sent")

    async def test_twilio_is_away(self, bench: Bench, loop_db: AsyncDatabase, doubted: int) -> None:
        """Without Twilio nothing is resolved, and it is asked again later."""
        resolver = self._resolver(bench, loop_db, _Log(away=True))
        assert await resolver.resolve() == 0
        assert bench.row(doubted).state == "in_doubt"
        assert bench.value("SELECT next_check > now() AND checks = 1 FROM doubt")
        assert bench.value("SELECT found FROM doubt") == "away"

    async def test_many_at_once(self, bench: Bench, loop_db: AsyncDatabase) -> None:
        """What is too old is given up in rounds, and what is resolved is forgotten in rounds."""
        many = crowd(doubts.AT_A_TIME + 5)
        campaign = bench.campaign(*many)
        bench.execute("UPDATE message SET state = 'in_doubt', reason = 'restored'")
        bench.execute("UPDATE doubt SET since = now() - interval '49 hours'")
        resolver = self._resolver(bench, loop_db, _Log())
        await resolver.resolve()
        assert set(bench.states(campaign).values()) == {"unknown"}
        bench.execute("UPDATE message SET state = 'sent'")
        await resolver.resolve()
        assert bench.value("SELECT count(*) FROM doubt") == 0

    async def test_a_miss_proves_nothing(
        self, bench: Bench, loop_db: AsyncDatabase, doubted: int
    ) -> None:
        """However often it is not found, it stays in doubt, and is unknown after 48 hours."""
        resolver = self._resolver(bench, loop_db, _Log())
        bench.execute("UPDATE doubt SET checks = 100")
        await resolver.resolve()
        assert bench.value("SELECT next_check - now() FROM doubt") > timedelta(minutes=50)
        bench.execute("UPDATE doubt SET since = now() - interval '49 hours'")
        await resolver.resolve()
        row = bench.row(doubted)
        assert (row.state, row.reason) == ("unknown", "read_timeout")
