"""Two tenants that text the same people: neither sees, changes or signs for the other."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

import sender
from sender.config import Settings
from sender.credentials import new_key
from sender.errors import ConfigurationError, NotFound
from sender.mirroring import Mirror
from sender.runtime import Runtime
from sender.suppression import RedisSets, connect_sync
from tests.bench import (
    ACCOUNT,
    ANNA,
    BERT,
    OTHER_ACCOUNT,
    OTHER_SENDER,
    SENDER,
    SERVICE,
    Bench,
    new_sid,
)
from tests.browser import BASE, TOKEN, Browser, running
from workers.webhooks import create_app

THEIR_TOKEN = "6" * 32
THEIRS = "theirs"
OTHER_SERVICE = "MG" + "6" * 32
STOP = {
    "MessageSid": new_sid(1),
    "AccountSid": ACCOUNT,
    "From": f"+{ANNA}",
    "To": SENDER,
    "Body": "Stop",
}
THEIR_STOP = STOP | {"AccountSid": OTHER_ACCOUNT, "To": OTHER_SENDER, "MessageSid": new_sid(2)}


@pytest.fixture
def settings(bench: Bench, redis_url: str) -> Settings:
    """The operator's settings; the default tenant is ``mine``."""
    return Settings.from_variables(
        {
            "DATABASE_URL": bench.url,
            "REDIS_URL": redis_url,
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "PUBLIC_BASE_URL": BASE,
            "SENDER_SECRET_KEY": new_key(),
        }
    )


@pytest.fixture
def their_id(settings: Settings, bench: Bench) -> int:
    """A second tenant with its own account, token and sender."""
    tenancy = Runtime(settings=settings).tenancy()
    tenant = tenancy.add(THEIRS, account_sid=OTHER_ACCOUNT)
    tenancy.store_secrets(THEIRS, {"auth_token": THEIR_TOKEN})
    tenancy.db.close()
    bench.campaign(sender=OTHER_SENDER, tenant_id=tenant.id, run=False)
    bench.sender_id(SENDER)
    return tenant.id


@pytest.fixture
async def twilio(settings: Settings, their_id: int) -> AsyncIterator[Browser]:
    """Twilio, calling the app for both."""
    async with running(create_app(settings=lambda: settings)) as browser:
        yield browser


def _suppressed(bench: Bench) -> set[int]:
    return {row.tenant_id for row in bench.execute("SELECT tenant_id FROM suppression")}


def _alarms(bench: Bench) -> list[str]:
    return [row.kind for row in bench.execute("SELECT kind FROM alarm ORDER BY id")]


class TestWebhooks:
    """Each account's webhooks are checked with its own token."""

    async def test_each_has_its_own_token(
        self, bench: Bench, twilio: Browser, their_id: int
    ) -> None:
        """A STOP to a tenant, signed with that tenant's token, is on that tenant's list only."""
        answer = await twilio.post("/twilio/inbound", THEIR_STOP, token=THEIR_TOKEN)
        assert answer.status == 200
        assert _suppressed(bench) == {their_id}

    @pytest.mark.parametrize(
        ("form", "token"), [(STOP, THEIR_TOKEN), (THEIR_STOP, TOKEN)], ids=["mine", "theirs"]
    )
    async def test_no_tenant_signs_for_the_other(
        self, bench: Bench, twilio: Browser, form: dict[str, str], token: str
    ) -> None:
        """A webhook in one tenant's name that the other signed is refused, and leaves nothing."""
        answer = await twilio.post("/twilio/inbound", form, token=token)
        assert answer.status == 403
        assert _suppressed(bench) == set()
        assert bench.value("SELECT count(*) FROM inbound") == 0

    async def test_a_number_of_the_others(
        self, bench: Bench, twilio: Browser, their_id: int
    ) -> None:
        """A STOP that names the other's number counts for the account that signed it, alarmed."""
        form = THEIR_STOP | {"To": SENDER}
        assert (await twilio.post("/twilio/inbound", form, token=THEIR_TOKEN)).status == 200
        assert _suppressed(bench) == {their_id}
        assert _alarms(bench) == ["inbound_unattributed"]

    async def test_a_callback_for_the_others_message(
        self, bench: Bench, twilio: Browser, their_id: int
    ) -> None:
        """A callback that one tenant signed and that names the other's message does nothing."""
        mine = _under_way(bench)
        for status, code in (("delivered", ""), ("failed", "21610")):
            form = _status(status, ErrorCode=code, AccountSid=OTHER_ACCOUNT)
            answer = await twilio.post(f"/twilio/status/{mine}", form, token=THEIR_TOKEN)
            assert answer.status == 404
        assert bench.message(mine).state == "sending"
        assert _suppressed(bench) == set()
        assert _alarms(bench) == ["callback_foreign_account"] * 2

    async def test_a_callback_in_the_others_name(self, bench: Bench, twilio: Browser) -> None:
        """A callback in the owner's name, signed by the other, is refused."""
        mine = _under_way(bench)
        answer = await twilio.post(
            f"/twilio/status/{mine}", _status("delivered"), token=THEIR_TOKEN
        )
        assert answer.status == 403
        assert bench.message(mine).state == "sending"

    async def test_a_key_that_is_gone(
        self, settings: Settings, their_id: int, bench: Bench
    ) -> None:
        """Whose secrets cannot be read is answered 503; the others' webhooks go on."""
        changed = settings.model_copy(
            update={"secret_key": Settings.model_fields["secret_key"].default}
        )
        async with running(create_app(settings=lambda: changed)) as twilio:
            theirs = await twilio.post("/twilio/inbound", THEIR_STOP, token=THEIR_TOKEN)
            mine = await twilio.post("/twilio/inbound", STOP)
        assert (theirs.status, mine.status) == (503, 200)
        assert their_id not in _suppressed(bench)

    async def test_nobodys_account(self, twilio: Browser) -> None:
        """A webhook for an account that nobody has, signed by nobody, is refused."""
        form = STOP | {"AccountSid": "AC" + "9" * 32}
        assert (await twilio.post("/twilio/inbound", form, token="7" * 32)).status == 403


def _under_way(bench: Bench) -> UUID:
    return bench.guard_all(bench.campaign(ANNA))[ANNA].message_id


def _status(status: str, **fields: str) -> dict[str, str]:
    plain = {
        "AccountSid": ACCOUNT,
        "MessageSid": new_sid(1),
        "MessageStatus": status,
        "To": f"+{ANNA}",
        "From": SENDER,
    }
    return {name: value for name, value in (plain | fields).items() if value}


class TestApi:
    """One client, one tenant."""

    @pytest.fixture
    def mine(self, settings: Settings, their_id: int) -> sender.Client:
        """The default tenant's client."""
        return sender.connect(settings)

    @pytest.fixture(params=["its own connections", "shared connections"])
    def theirs(
        self, settings: Settings, mine: sender.Client, request: pytest.FixtureRequest
    ) -> sender.Client:
        """The other's."""
        if request.param == "shared connections":
            return mine.for_tenant(THEIRS)
        return sender.connect(settings, tenant=THEIRS)

    @pytest.fixture(autouse=True)
    def _closed(self, mine: sender.Client, theirs: sender.Client) -> object:
        yield
        mine.close()
        theirs.close()

    def test_lists_are_apart(self, mine: sender.Client, theirs: sender.Client) -> None:
        """What one suppresses is not the other's to see, to lift or to export."""
        number = f"+{ANNA}"
        mine.suppression.add(number, author="ann", evidence="letter")
        assert theirs.suppression.check(number) == []
        assert theirs.suppression.history(number) == []
        assert list(theirs.suppression.entries()) == []
        lift = sender.Lift(author="eve", reason="mine", evidence="none")
        assert theirs.suppression.lift(number, lift) == []
        assert len(mine.suppression.check(number)) == 1

    def test_batches_and_erasure_are_apart(
        self, mine: sender.Client, theirs: sender.Client, tmp_path: Path
    ) -> None:
        """Nobody sees or undoes the other's imports, nor erases what the other keeps."""
        path = tmp_path / "list.csv"
        path.write_text(f"phone,note\n+{ANNA},asked\n")
        batch = mine.suppression.import_list(mine.suppression.open(path), author="ann").batch_id
        assert theirs.suppression.batches() == []
        with pytest.raises(NotFound):
            theirs.suppression.undo_import(batch or 0, author="eve", reason="x")
        assert theirs.suppression.erase(f"+{ANNA}", author="eve").evidence == 0
        assert mine.suppression.history(f"+{ANNA}")[0].evidence == {"evidence": "asked"}
        # The same file is new to the other.
        theirs.suppression.import_list(theirs.suppression.open(path), author="eve")

    def test_campaigns_and_senders_are_apart(
        self, bench: Bench, mine: sender.Client, theirs: sender.Client
    ) -> None:
        """Nobody sees or steers the other's campaigns, nor uses or changes its senders."""
        campaign = bench.campaign(ANNA)
        for act in ("progress", "pause", "resume", "cancel", "rejects", "enqueue"):
            with pytest.raises(NotFound):
                getattr(theirs.campaign(campaign), act)()
        with pytest.raises(NotFound):
            list(theirs.campaign(campaign).results())
        with pytest.raises(ConfigurationError, match="another tenant"):
            theirs.set_pace(SENDER, 5)
        with pytest.raises(NotFound):
            theirs.release(SENDER, author="eve")
        assert mine.campaign(campaign).progress().states == {"pending": 1}

    def test_a_tenant_there_is_not(self, settings: Settings) -> None:
        """A name that nobody has is refused, with the way to see those there are."""
        with pytest.raises(NotFound, match="tenants list"):
            sender.connect(settings, tenant="nobody")

    def test_another_there_is_not(self, mine: sender.Client) -> None:
        """The same where connections are shared; the client that was asked works on."""
        with pytest.raises(NotFound, match="tenants list"):
            mine.for_tenant("nobody")
        assert mine.suppression.batches() == []

    def test_many_share_few_connections(self, bench: Bench, mine: sender.Client) -> None:
        """A service that works for many tenants holds as many connections as for one."""
        clients = [mine.for_tenant(THEIRS) for _ in range(20)]
        before = _sessions(bench)
        for client in clients:
            client.suppression.batches()
        assert _sessions(bench) <= before + 1


def _sessions(bench: Bench) -> int:
    ((count,),) = bench.execute("SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL")
    return int(count)


class TestSending:
    """The guard, and the sets it shares Redis with."""

    def test_a_stop_to_one_leaves_the_other_alone(self, bench: Bench, their_id: int) -> None:
        """Who opted out of one tenant is still texted by the other, and the other way round."""
        mine = bench.campaign(ANNA, BERT)
        theirs = bench.campaign(ANNA, BERT, sender=OTHER_SENDER, tenant_id=their_id)
        bench.opt_out(ANNA)
        bench.opt_out(BERT, tenant_id=their_id)
        assert list(bench.guard_all(mine)) == [BERT]
        assert list(bench.guard_all(theirs)) == [ANNA]

    def test_a_start_to_one_lifts_nothing_of_the_others(self, bench: Bench, their_id: int) -> None:
        """A START opens the list of the tenant it was sent to, and no other's."""
        bench.opt_out(ANNA)
        bench.opt_out(ANNA, tenant_id=their_id)
        bench.text("START", ANNA, sid="SM9", account_sid=OTHER_ACCOUNT, to=OTHER_SENDER)
        assert len(_suppressed(bench)) == 2  # its time is not known yet
        bench.execute(
            "INSERT INTO consent_time (source_id, provider_at) VALUES ('SM9', now() + '1 day')"
        )
        bench.opt_out(ANNA, tenant_id=their_id, source_id="fold", reason=sender.ReasonClass.MANUAL)
        reasons = bench.execute("SELECT tenant_id, reason FROM suppression ORDER BY 1")
        assert [tuple(row) for row in reasons] == [(1, "stop"), (their_id, "manual")]

    def test_the_sets_are_apart(self, bench: Bench, their_id: int, redis_url: str) -> None:
        """Each tenant's numbers stand in its own sets in Redis."""
        bench.opt_out(ANNA, tenant_id=their_id)
        with connect_sync(redis_url) as redis:
            sets = RedisSets(redis)
            Mirror(db=bench.db, sets=sets).repair(compare_counts=False)
            assert (sets.size(1, 0).members, sets.size(their_id, 0).members) == (0, 1)


class TestConfiguration:
    """What is refused before it can do harm."""

    @pytest.mark.parametrize(
        ("name", "account"), [("other", ACCOUNT), (THEIRS, "AC" + "9" * 32), ("x", "SK" + "1" * 32)]
    )
    def test_nothing_is_registered_twice(
        self, settings: Settings, their_id: int, name: str, account: str
    ) -> None:
        """A name or an account has one tenant, and an account is an account."""
        tenancy = Runtime(settings=settings).tenancy()
        with pytest.raises(ConfigurationError):
            tenancy.add(name, account_sid=account)
        tenancy.db.close()

    def test_a_number_in_the_others_service(self, settings: Settings, their_id: int) -> None:
        """A number cannot be put into a service with a number that is the other's."""
        tenancy = Runtime(settings=settings).tenancy()
        tenancy.put_in_service(THEIRS, number=OTHER_SENDER, service=SERVICE)
        for number, service in ((OTHER_SENDER, OTHER_SERVICE), (SENDER, SERVICE)):
            if number == SENDER:
                with pytest.raises(ConfigurationError, match="tenant's"):
                    tenancy.put_in_service(THEIRS, number=number, service=service)
            else:
                tenancy.put_in_service(THEIRS, number=number, service=service)
        tenancy.db.close()

    def test_a_number_that_left_its_service(self, bench: Bench) -> None:
        """What covers a service covers a number for good that was once in it, and nothing else."""
        bench.execute("UPDATE tenant SET stop_scope = 'sender'")
        bench.text("hello", sid="SM1", service_sid=SERVICE)
        bench.text("STOP", sid="SM2", service_sid=OTHER_SERVICE, to="+14155550009")
        bench.text("hello", sid="SM3", service_sid=OTHER_SERVICE)  # it moved
        assert bench.guard_all(bench.campaign(ANNA, sender=SENDER)) == {}
        assert list(bench.guard_all(bench.campaign(ANNA, sender=SERVICE))) == [ANNA]
