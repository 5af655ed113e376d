"""``POST …/Messages.json``: log, judge, let the script play, hold the answer, give it."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sender.simulator import answers
from sender.simulator.behaviour import FaultKind
from sender.simulator.inbound import PersonText, receive
from sender.simulator.judging import Verdict, judge
from sender.simulator.log import Entry
from sender.simulator.refusals import Refusal
from sender.simulator.script import Rule, When
from sender.simulator.simulator import Simulator
from sender.simulator.validation import Form

#: The server writes an answer after its handler has returned: a text that is to come after the
#: answer waits at least this long.
_ANSWER_FIRST_MS = 1.0


@dataclass(frozen=True)
class CreateMessage:
    """Answers create requests."""

    simulator: Simulator

    async def __call__(self, request: web.Request) -> web.Response:
        """Answer one request; it counts as arrived before its body is read.

        One that a script holds back on its way counts as arrived when it is let go.
        """
        arrived_at = time.time()
        form = answers.read_form(await request.read())
        rule = self.simulator.script.next_for(form.get("To", ""))
        if rule and rule.when is When.ON_THE_WAY:
            await self._travel(form, rule)
            arrived_at = time.time()
        entry = self._open_entry(arrived_at, form)
        self.simulator.in_flight += 1
        try:
            return await self._answer(request, form, entry)
        finally:
            self.simulator.in_flight -= 1
            entry["answered_at"] = time.time()
            self.simulator.log.touch(entry)

    async def _travel(self, form: Form, rule: Rule) -> None:
        """Be on the network for a while, as far as anybody can tell."""
        self._play(form, rule, When.ON_THE_WAY)
        await asyncio.sleep(rule.hold_ms / 1000)

    def _open_entry(self, arrived_at: float, form: Form) -> Entry:
        return self.simulator.log.open(
            "create",
            arrived_at=arrived_at,
            answered_at=None,
            **{"to": form.get("To"), "from": form.get("From")},
            messaging_service_sid=form.get("MessagingServiceSid"),
            body=form.get("Body"),
            status_callback=form.get("StatusCallback"),
            http_status=None,
            code=None,
            sid=None,
            accepted=False,
            fault=None,
            script=None,
        )

    async def _answer(self, request: web.Request, form: Form, entry: Entry) -> web.Response:
        if not self.simulator.account.authorizes(request.headers.get("Authorization", "")):
            refusal = Refusal.of(20003)
            self._record(entry, Verdict(refusal=refusal))
            return answers.refuse(self.simulator, refusal)
        rule = self.simulator.script.take(form.get("To", ""))
        if rule and rule.inbound:
            entry["script"] = rule.when
        self._play(form, rule, When.BEFORE_ANSWER)
        verdict = judge(self.simulator, form, rule)
        # The answer tells what was true now, not after the latency: initial status, no sender.
        created = verdict.row.as_json() if verdict.row else None
        self._record(entry, verdict)
        if verdict.refusal:
            self.simulator.alerts.note(verdict.refusal, form)
        self._play(form, rule, When.DURING)
        await self._hold(rule)
        response = await self._give(request, verdict, created)
        self._play(form, rule, When.AFTER)
        return response

    def _record(self, entry: Entry, verdict: Verdict) -> None:
        """Write the decision into the log before the answer: nobody can lose it by leaving."""
        entry["http_status"] = _status_of(verdict)
        entry["fault"] = verdict.fault
        if verdict.refusal:
            entry["code"] = verdict.refusal.code
        if verdict.row:
            entry["sid"] = verdict.row.sid
            entry["accepted"] = True
        self._count(verdict)
        self.simulator.log.touch(entry)

    def _count(self, verdict: Verdict) -> None:
        counts = self.simulator.log.counts
        if verdict.row:
            counts["accepted"] += 1
        if verdict.refusal:
            counts[f"refused_{verdict.refusal.code}"] += 1
        if verdict.fault:
            counts[f"fault_{verdict.fault}"] += 1

    async def _hold(self, rule: Rule | None) -> None:
        behaviour = self.simulator.behaviour
        milliseconds = behaviour.latency_ms + (rule.held_ms if rule else 0.0)
        if behaviour.latency_jitter_ms:
            share = self.simulator.chance.draw("latency", "")
            milliseconds += behaviour.latency_jitter_ms * share
        if milliseconds:
            await asyncio.sleep(milliseconds / 1000)

    async def _give(
        self, request: web.Request, verdict: Verdict, created: dict[str, Any] | None
    ) -> web.Response:
        if verdict.refusal:
            return answers.refuse(self.simulator, verdict.refusal)
        match verdict.fault:
            case None:
                return answers.answer(self.simulator, 201, created)
            case FaultKind.THROTTLE_429:
                return answers.refuse(self.simulator, Refusal.of(20429))
            case FaultKind.ERROR_503:
                return answers.unavailable(self.simulator)
            case FaultKind.ERROR_500_AFTER_ACCEPT:
                return answers.refuse(self.simulator, Refusal.of(20500))
            case FaultKind.HANG:
                await asyncio.sleep(self.simulator.behaviour.hang_seconds)
        return answers.hang_up(request)

    def _play(self, form: Form, rule: Rule | None, now: When) -> None:
        """Let the scripted person text in, if this is their moment."""
        if not (rule and rule.inbound and rule.when is now):
            return
        first_ms = max(rule.delay_ms, _ANSWER_FIRST_MS) if now is When.AFTER else rule.delay_ms
        self.simulator.later(first_ms, self._text_in, form, rule.inbound)
        for text in rule.then:
            self.simulator.later(first_ms + text.after_ms, self._text_in, form, text.inbound)

    def _text_in(self, form: Form, body: str) -> None:
        number = self.simulator.account.number_for(
            form.get("From", ""), form.get("MessagingServiceSid", ""), form["To"]
        )
        text = PersonText(sender=form["To"], to=number, body=body)
        receive(self.simulator, text, origin="script")


_FAULT_STATUS = {
    FaultKind.THROTTLE_429: 429,
    FaultKind.ERROR_503: 503,
    FaultKind.ERROR_500_AFTER_ACCEPT: 500,
}


def _status_of(verdict: Verdict) -> int | None:
    """The HTTP status the client will see; ``None`` when the connection is closed instead."""
    if verdict.refusal:
        return verdict.refusal.status
    return _FAULT_STATUS.get(verdict.fault) if verdict.fault else 201
