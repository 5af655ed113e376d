"""``sender webhooks …`` against the simulator: what is shown, changed, and left alone."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from simulator_rig import CONFIG, NUMBER, POOL, SERVICE, Rig, simulated
from typer.testing import CliRunner

from sender.cli import app
from sender.domain.webhook_setup import Verdict
from sender.errors import ConfigurationError, ProviderRefused
from sender.gateway import EVENT_TYPES
from sender.gateway.urls import OVERRIDES
from tests.bench import Bench

Result = Any  # typer names no class for it
Say = Callable[..., Awaitable[Result]]
BASE = "https://sms.example.com/hooks"
INBOUND, FALLBACK = f"{BASE}/twilio/inbound{OVERRIDES}", f"{BASE}/twilio/fallback{OVERRIDES}"
EVENTS = f"{BASE}/twilio/events/{CONFIG.account_sid}"
FOREIGN = "https://chat.example.org/sms"
INSTALL = ("webhooks", "install")
CODE = "72345"
ON = {"SENDER_EVENT_STREAMS": "true"}


@dataclass(frozen=True)
class Twilio:
    """The account at the provider, past our program."""

    rig: Rig

    async def set_number(self, number: str, **settings: str) -> None:
        """Set what a number has called."""
        found = await asyncio.to_thread(self._number, number)
        await asyncio.to_thread(found.update, **settings)

    async def number(self, number: str) -> tuple[str, str, str]:
        """What a number has called, main and fallback, and its application."""
        found = await asyncio.to_thread(self._number, number)
        return found.sms_url, found.sms_fallback_url, found.sms_application_sid

    def _number(self, number: str) -> Any:
        (found,) = self.rig.client.incoming_phone_numbers.list(phone_number=number)
        return found

    async def set_service(self, **settings: Any) -> None:
        """Set what the service has called."""
        self.rig.client.messaging.base_url = self.rig.url
        service = self.rig.client.messaging.v1.services(SERVICE)
        await asyncio.to_thread(service.update, **settings)

    async def code(self) -> tuple[str, str]:
        """What the short code has called, main and fallback."""
        (found,) = await asyncio.to_thread(self.rig.client.short_codes.list, short_code=CODE)
        return found.sms_url, found.sms_fallback_url

    async def service(self) -> tuple[str, str, str]:
        """What the service has called, main and fallback, and its status callback."""
        self.rig.client.messaging.base_url = self.rig.url
        found = await asyncio.to_thread(self.rig.client.messaging.v1.services(SERVICE).fetch)
        return found.inbound_request_url, found.fallback_url, found.status_callback


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    """The simulated account, which posts nothing by itself."""
    async with simulated(inbound_url="", numbers=(NUMBER, CODE)) as rig:
        yield Twilio(rig)


@pytest.fixture
def say(bench: Bench, twilio: Twilio) -> Say:
    """Runs ``sender`` with these words, against the bench's database and the simulator."""
    settings = {
        "DATABASE_URL": bench.url,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "TWILIO_ACCOUNT_SID": CONFIG.account_sid,
        "TWILIO_AUTH_TOKEN": CONFIG.auth_token,
        "TWILIO_API_BASE_URL": twilio.rig.url,
        "PUBLIC_BASE_URL": BASE,
        "COLUMNS": "200",
    }

    async def run(*words: str, **variables: str) -> Result:
        runner = CliRunner(env={**settings, **variables})
        result = await asyncio.to_thread(runner.invoke, app, words)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def _found(result: Result) -> dict[str, dict[str, Any]]:
    return {one["sender"]: one for one in json.loads(result.stdout)["senders"]}


class TestShow:
    """The URLs to configure."""

    async def test_the_exact_urls(self, bench: Bench, say: Say) -> None:
        """All three, each whole on its line, and where they go for each sender."""
        for sender in (NUMBER, SERVICE, "72345"):
            bench.sender_id(sender)
        shown = (await say("webhooks", "show")).stdout
        lines = [line.strip() for line in shown.splitlines()]
        assert INBOUND in lines
        assert FALLBACK in lines
        assert f"{BASE}/twilio/status/{{message id}}{OVERRIDES}" in lines
        assert all(
            any(line.startswith(one) for line in lines) for one in (NUMBER, SERVICE, "72345")
        )
        told = json.loads((await say("webhooks", "show", "--json")).stdout)
        assert (told["inbound"], told["fallback"]) == (INBOUND, FALLBACK)
        assert set(told["senders"]) == {NUMBER, SERVICE, "72345"}

    @pytest.mark.parametrize("taken", ["", "true"])
    async def test_event_streams(self, say: Say, taken: str) -> None:
        """Their URL has the account and no overrides; the events to subscribe to, if wanted."""
        shown = (await say("webhooks", "show", SENDER_EVENT_STREAMS=taken)).stdout
        assert EVENTS in [line.strip() for line in shown.splitlines()]
        assert all((one in shown) == bool(taken) for one in EVENT_TYPES)
        told = json.loads((await say("webhooks", "show", "--json")).stdout)
        assert (told["events"], told["event_types"]) == (EVENTS, EVENT_TYPES)

    async def test_nobody_is_asked(self, say: Say) -> None:
        """It shows the URLs without Twilio's account, and before there are senders."""
        quiet = {"TWILIO_API_BASE_URL": "http://127.0.0.1:1", "TWILIO_AUTH_TOKEN": ""}
        assert INBOUND in (await say("webhooks", "show", **quiet)).stdout

    @pytest.mark.parametrize("base", ["", f"{BASE}#rc=5"])
    async def test_without_a_public_url(self, say: Say, base: str) -> None:
        """There is nothing to call."""
        with pytest.raises(ConfigurationError):
            await say("webhooks", "show", PUBLIC_BASE_URL=base)


class TestInstall:
    """Having Twilio call us."""

    async def test_a_dry_run_first(self, bench: Bench, say: Say, twilio: Twilio) -> None:
        """Without ``--yes`` it says what is there and what would change, and changes nothing."""
        bench.sender_id(NUMBER)
        said = await say(*INSTALL)
        assert said.exit_code == 0
        assert {"nothing", INBOUND, FALLBACK} <= set(said.stdout.split())
        assert "--yes" in said.stdout
        assert await twilio.number(NUMBER) == ("", "", "")

    async def test_a_number(self, bench: Bench, say: Say, twilio: Twilio) -> None:
        """Both URLs are set, and nothing else; the second time there is nothing to do."""
        bench.sender_id(NUMBER)
        await twilio.set_number(NUMBER, voice_url=FOREIGN, status_callback=FOREIGN)
        assert (await say(*INSTALL, "--yes")).exit_code == 0
        assert await twilio.number(NUMBER) == (INBOUND, FALLBACK, "")
        found = await asyncio.to_thread(twilio._number, NUMBER)
        assert (found.voice_url, found.status_callback) == (FOREIGN, FOREIGN)
        again = await say(*INSTALL, "--yes", "--json")
        assert _found(again)[NUMBER]["verdict"] == Verdict.RIGHT

    async def test_somebody_elses(self, bench: Bench, say: Say, twilio: Twilio) -> None:
        """Another program's URL is replaced only with ``--replace``, whichever of the two it is."""
        bench.sender_id(NUMBER)
        await twilio.set_number(NUMBER, sms_fallback_url=FOREIGN)
        for words in (INSTALL, (*INSTALL, "--yes")):
            said = await say(*words)
            assert said.exit_code == 1
            assert FOREIGN in said.stdout
            assert await twilio.number(NUMBER) == ("", FOREIGN, "")
        assert (await say(*INSTALL, "--yes", "--replace")).exit_code == 0
        assert await twilio.number(NUMBER) == (INBOUND, FALLBACK, "")

    async def test_an_application(self, bench: Bench, say: Say, twilio: Twilio) -> None:
        """An application's URLs go before the number's: it is taken off, but not without asking."""
        bench.sender_id(NUMBER)
        application = "AP" + "1" * 32
        await twilio.set_number(
            NUMBER, sms_url=INBOUND, sms_fallback_url=FALLBACK, sms_application_sid=application
        )
        assert (await say(*INSTALL, "--yes")).exit_code == 1
        assert (await twilio.number(NUMBER))[2] == application
        assert (await say(*INSTALL, "--yes", "--replace")).exit_code == 0
        assert await twilio.number(NUMBER) == (INBOUND, FALLBACK, "")

    async def test_a_service(self, bench: Bench, say: Say, twilio: Twilio) -> None:
        """A service that is called itself has its URLs set, and its status callback left alone."""
        bench.sender_id(SERVICE)
        await twilio.set_service(use_inbound_webhook_on_number="false", status_callback=FOREIGN)
        assert (await say(*INSTALL, "--yes")).exit_code == 0
        assert await twilio.service() == (INBOUND, FALLBACK, FOREIGN)
        assert await twilio.number(POOL[0]) == ("", "", "")

    async def test_a_service_of_its_numbers(self, bench: Bench, say: Say, twilio: Twilio) -> None:
        """Where the numbers' own URLs are called, those are set, and the service left as it is."""
        bench.sender_id(SERVICE)
        found = _found(await say(*INSTALL, "--yes", "--json"))
        assert {one: found[one]["verdict"] for one in found} == {
            SERVICE: Verdict.NUMBERS,
            **dict.fromkeys(POOL, Verdict.CHANGE),
        }
        for number in POOL:
            assert await twilio.number(number) == (INBOUND, FALLBACK, "")
        assert await twilio.service() == (None, None, None)

    async def test_chosen_ones(self, bench: Bench, say: Say, twilio: Twilio) -> None:
        """Senders that are named are set, entered or not, and no others."""
        bench.sender_id(NUMBER)
        assert (await say(*INSTALL, "--yes", "--sender", POOL[1])).exit_code == 0
        assert await twilio.number(POOL[1]) == (INBOUND, FALLBACK, "")
        assert await twilio.number(NUMBER) == ("", "", "")

    async def test_a_short_code(self, bench: Bench, say: Say, twilio: Twilio) -> None:
        """Both URLs are set, on it alone; the second time there is nothing to do."""
        bench.sender_id(CODE)
        assert (await say(*INSTALL)).exit_code == 0
        assert await twilio.code() == ("", "")
        assert (await say(*INSTALL, "--yes")).exit_code == 0
        assert await twilio.code() == (INBOUND, FALLBACK)
        again = await say(*INSTALL, "--yes", "--json")
        assert _found(again)[CODE]["verdict"] == Verdict.RIGHT

    async def test_a_pool_with_a_short_code(self, bench: Bench, say: Say, twilio: Twilio) -> None:
        """A service's codes are called at their own URLs like its numbers."""
        service = "MG" + "2" * 32
        bench.sender_id(service)
        async with simulated(inbound_url="", services={service: (NUMBER, CODE)}) as rig:
            said = await say(*INSTALL, "--yes", "--json", TWILIO_API_BASE_URL=rig.url)
            assert set(_found(said)) == {service, NUMBER, CODE}
            assert await Twilio(rig).code() == (INBOUND, FALLBACK)

    async def test_what_cannot_be_set(self, bench: Bench, say: Say) -> None:
        """What the account does not have is said to be left; nobody can reply to a name."""
        bench.sender_id("ACME")
        assert (await say(*INSTALL, "--json")).exit_code == 0
        others = ("+15559990000", "99999", "MG" + "9" * 32, "ACME", "whatsapp:+1")
        words = [word for one in others for word in ("--sender", one)]
        assert (await say(*INSTALL, *words)).exit_code == 1
        said = await say(*INSTALL, "--json", *words)
        verdicts = [one["verdict"] for one in _found(said).values()]
        assert verdicts == [*[Verdict.MISSING] * 3, Verdict.ONE_WAY, Verdict.BY_HAND]

    async def test_without_credentials(self, bench: Bench, say: Say) -> None:
        """Who signs in needs what to sign in with."""
        bench.sender_id(NUMBER)
        with pytest.raises(ConfigurationError, match="TWILIO_AUTH_TOKEN"):
            await say(*INSTALL, TWILIO_AUTH_TOKEN="")

    async def test_a_refused_account(self, bench: Bench, say: Say) -> None:
        """Wrong credentials are an error, not an empty answer."""
        bench.sender_id(NUMBER)
        with pytest.raises(ProviderRefused):
            await say(*INSTALL, TWILIO_AUTH_TOKEN="wrong")

    async def test_texts_arrive_where_it_was_installed(
        self, bench: Bench, say: Say, twilio: Twilio
    ) -> None:
        """After it a text is posted there, signed, and to the fallback once that has failed."""
        bench.sender_id(NUMBER)
        there = twilio.rig.application
        base = twilio.rig.callback.partition("/status")[0]
        assert (await say(*INSTALL, "--yes", PUBLIC_BASE_URL=base)).exit_code == 0
        there.answers = [500] * 6
        answer = await twilio.rig.text_in("STOP")
        assert [one["status"] for one in answer["attempts"]] == [500] * 6 + [200]
        paths = [one.path for one in there.received]
        assert paths == ["/twilio/inbound"] * 6 + ["/twilio/fallback"]
        last = there.received[-1].params
        assert (last["ErrorCode"], last["ErrorUrl"]) == ("11200", f"{base}/twilio/inbound")
        assert last["Body"] == "STOP"


class TestEventStreams:
    """Having Twilio post events to us, where the webhook app takes them."""

    async def _subscribed(self, rig: Rig) -> tuple[list[Any], set[str], int]:
        """The sinks, the types that are subscribed to, and how many subscriptions there are."""
        rig.client.events.base_url = rig.url
        events = rig.client.events.v1
        sinks = await asyncio.to_thread(events.sinks.list)
        found = await asyncio.to_thread(events.subscriptions.list)
        types = set()
        for one in found:
            subscribed = events.subscriptions(one.sid).subscribed_events
            types |= {event.type for event in await asyncio.to_thread(subscribed.list)}
        return sinks, types, len(found)

    async def test_a_sink_and_its_subscription(
        self, bench: Bench, say: Say, twilio: Twilio
    ) -> None:
        """Said first, made with ``--yes``, and right from then on."""
        said = await say(*INSTALL, **ON)
        assert said.exit_code == 0
        assert EVENTS in said.stdout
        assert await self._subscribed(twilio.rig) == ([], set(), 0)
        for verdict in (Verdict.CHANGE, Verdict.RIGHT):
            done = await say(*INSTALL, "--yes", "--json", **ON)
            assert done.exit_code == 0
            assert json.loads(done.stdout)["events"]["verdict"] == verdict
            sinks, types, count = await self._subscribed(twilio.rig)
            assert [one.sink_configuration for one in sinks] == [
                {"destination": EVENTS, "method": "POST", "batch_events": True}
            ]
            assert (types, count) == (set(EVENT_TYPES), 1)

    async def test_what_is_missing_is_added(self, say: Say, twilio: Twilio) -> None:
        """To the sink and the subscription that are there; other sinks are left alone."""
        rig = twilio.rig
        rig.client.events.base_url = rig.url
        events, sinks = rig.client.events.v1, []
        for url in (FOREIGN, EVENTS):
            to = {"destination": url, "method": "POST"}
            sinks.append(await asyncio.to_thread(events.sinks.create, "x", to, "webhook"))
        first = [{"type": next(iter(EVENT_TYPES)), "schema_version": 6}]
        await asyncio.to_thread(events.subscriptions.create, "x", sinks[1].sid, first)
        done = await say(*INSTALL, "--yes", **ON)
        assert (done.exit_code, "event streams: changed" in done.stdout) == (0, True)
        found, types, count = await self._subscribed(rig)
        assert (len(found), types, count) == (2, set(EVENT_TYPES), 1)

    async def test_not_where_nobody_wants_them(
        self, bench: Bench, say: Say, twilio: Twilio
    ) -> None:
        """They cost extra: not unless the app takes them, nor where senders are named."""
        bench.sender_id(NUMBER)
        assert json.loads((await say(*INSTALL, "--yes", "--json")).stdout)["events"] is None
        await say(*INSTALL, "--yes", "--sender", NUMBER, **ON)
        assert await self._subscribed(twilio.rig) == ([], set(), 0)
