"""STOP, START and HELP, in whatever words, applied once: what a person texts to our senders."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sender import causes
from sender.batching import each_alone
from sender.domain.consent import (
    NewConsentEvent,
    ReasonClass,
    Suppression,
)
from sender.domain.inbound import InboundText
from sender.domain.incident import Because
from sender.domain.keywords import Keyword
from sender.domain.phone import digits
from sender.domain.replies import ReplyEvent
from sender.enforcement import Enforcement
from sender.errors import NotFound
from sender.inbound_facts import OPT_OUTS, Facts, answer_to, events_of, meaning, row_of
from sender.storage import consent, forwards, inbound, incidents, pools, replies, tenants
from sender.storage.database import AsyncDatabase, Transaction, is_away
from sender.storage.inbound import Kept
from sender.storage.pools import Addressed
from sender.storage.tenants import Tenant

#: What a person wrote in their own words: a tenant who wants to read it gets it.
_FORWARDED = frozenset({Keyword.NONE, Keyword.REVIEW, Keyword.FREE_TEXT})


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What an inbound message led to."""

    keyword: Keyword
    #: The opt-outs to be enforced before the webhook is answered; empty if it is none.
    event_ids: tuple[int, ...] = ()
    #: The person's suppressions now, for the Redis set; empty if nothing was added.
    suppressions: Sequence[Suppression] = ()
    #: What the webhook is answered with; empty for nothing.
    reply: str = ""


#: What becomes of a text, or why nothing does.
Answer = Applied | NotFound


@dataclass(frozen=True, kw_only=True)
class _Caller:
    """An inbound message, and whose it is."""

    #: Among those it came with.
    place: int
    text: InboundText
    tenant: Tenant
    recipient: int | None

    @property
    def names(self) -> set[object]:
        """What no two texts share that may be worked on side by side."""
        return {self.text.sid} if self.recipient is None else {self.text.sid, self.recipient}


@dataclass(frozen=True, kw_only=True)
class Inbound:
    """Applies inbound messages, by webhook or pulled from the provider's log."""

    enforcement: Enforcement

    def apply(self, tx: Transaction, text: InboundText) -> Applied:
        """Keep the message and act on what it says, in the caller's transaction.

        Doing it again with the same MessageSid changes nothing and gives the same answer, so a
        webhook that is repeated waits for the same enforcement.

        Raises:
            NotFound: no tenant has this AccountSid.
        """
        (answer,) = self.apply_all(tx, [text])
        if isinstance(answer, NotFound):
            raise answer
        return answer

    def apply_all(self, tx: Transaction, texts: Sequence[InboundText]) -> list[Answer]:
        """The same for many, each person's in their order.

        A hundred people's texts cost hardly more statements than one.
        """
        callers = _callers(tx, texts)
        # Before anything is read that an answer depends on.
        people = [(one.tenant.id, one.recipient) for one in callers if one.recipient is not None]
        consent.lock_people(tx, people)
        unknown = NotFound("no tenant has the AccountSid of this webhook")
        answers: list[Answer] = [unknown] * len(texts)
        for wave in _waves(callers):
            for caller, applied in zip(wave, self._apply(tx, wave), strict=True):
                answers[caller.place] = applied
        return answers

    async def receive_each(
        self, db: AsyncDatabase, texts: Sequence[InboundText]
    ) -> Sequence[Applied | Exception]:
        """What becomes of texts that came together, once it is committed; a bad one fails alone.

        Raises:
            DatabaseError: the database cannot be worked with now, whatever the texts.
        """

        async def work(part: Sequence[InboundText]) -> Sequence[Answer]:
            return await db.run(self.apply_all, part)

        return await each_alone(work, texts, is_common=is_away)

    def _apply(self, tx: Transaction, wave: Sequence[_Caller]) -> list[Applied]:
        """What becomes of one tenant's texts, none of which depends on another."""
        heard = _facts(tx, wave)
        answers = [answer_to(facts) for facts in heard]
        pairs = zip(heard, answers, strict=True)
        inbound.store(tx, [row_of(facts, answer) for facts, answer in pairs if facts.is_to_keep])
        for facts in heard:
            if facts.kept is None:
                _tell(tx, facts)
        event_ids = self._act(tx, heard)
        after = _suppressions(tx, [facts for facts in heard if facts.keyword in OPT_OUTS])
        return [
            Applied(
                keyword=facts.keyword,
                event_ids=tuple(event_ids.get(facts.text.sid, ())),
                suppressions=after.get(facts.recipient, ()),
                reply=answer,
            )
            for facts, answer in zip(heard, answers, strict=True)
        ]

    def _act(self, tx: Transaction, heard: Sequence[Facts]) -> Mapping[str, Sequence[int]]:
        """Store what these say about consent; the opt-outs to be enforced, by MessageSid."""
        stops: list[NewConsentEvent] = []
        others: list[NewConsentEvent] = []
        for facts in heard:
            reason = OPT_OUTS.get(facts.keyword)
            is_stop = reason is not None and reason is not ReasonClass.REVIEW
            (stops if is_stop else others).extend(events_of(facts))
        event_ids: dict[str, list[int]] = {}
        for event, id_ in zip(stops, self.enforcement.opt_out_all(tx, stops), strict=True):
            event_ids.setdefault(event.source_id, []).append(id_)
        consent.append_all(tx, others)
        if stops:
            causes.retrace_all(
                tx,
                tenant_id=stops[0].tenant_id,
                recipients=list(dict.fromkeys(event.recipient for event in stops)),
                because=Because.STOP_RECEIVED,
            )
        return event_ids


def _callers(tx: Transaction, texts: Sequence[InboundText]) -> list[_Caller]:
    """Those texts that are a tenant's."""
    accounts = {sid: tenants.by_account(tx, sid) for sid in {one.account_sid for one in texts}}
    return [
        _Caller(place=place, text=one, tenant=tenant, recipient=_recipient(one.from_))
        for place, one in enumerate(texts)
        if (tenant := accounts[one.account_sid]) is not None
    ]


def _waves(callers: Sequence[_Caller]) -> Iterator[list[_Caller]]:
    """One tenant's texts at a time, each person once: what a text means depends on those before."""
    while callers:
        wave: list[_Caller] = []
        later: list[_Caller] = []
        seen: set[object] = set()
        for one in callers:
            waits = one.tenant.id != callers[0].tenant.id or not seen.isdisjoint(one.names)
            (later if waits else wave).append(one)
            seen |= one.names
        yield wave
        callers = later


def _facts(tx: Transaction, wave: Sequence[_Caller]) -> list[Facts]:
    tenant = wave[0].tenant
    people = [one.recipient for one in wave if one.recipient is not None]
    active = consent.suppressions_of_many(tx, tenant_id=tenant.id, recipients=people)
    kept = inbound.kept(tx, [one.text.sid for one in wave])
    addressed = {
        (to, service): pools.addressed(tx, tenant.id, number=to, service=service)
        for to, service in dict.fromkeys((one.text.to, one.text.service_sid) for one in wave)
    }
    texts = {one: replies.texts_of(tx, one.sender_ids) for one in set(addressed.values())}
    return [
        _fact(
            one,
            addressed=(to := addressed[one.text.to, one.text.service_sid]),
            before=frozenset(s.reason for s in active.get(one.recipient or 0, ())),
            kept=kept.get(one.text.sid),
            texts=texts[to],
        )
        for one in wave
    ]


def _fact(
    caller: _Caller,
    *,
    addressed: Addressed,
    before: frozenset[ReasonClass],
    kept: Kept | None,
    texts: Mapping[ReplyEvent, str],
) -> Facts:
    text = caller.text
    if kept is not None and kept.pulled and text.opt_out_type is not None:
        kept = None  # only now it is known what the provider made of it
    return Facts(
        text=text,
        tenant=caller.tenant,
        addressed=addressed,
        recipient=caller.recipient,
        # A repeated webhook keeps its first meaning: the person's state may have changed.
        keyword=Keyword(kept.keyword) if kept else meaning(text, before),
        kept=kept,
        before=before,
        replies=texts,
    )


def _tell(tx: Transaction, facts: Facts) -> None:
    """Have somebody read what came for the first time, and needs that."""
    text = facts.text
    if facts.keyword in _FORWARDED:
        forwards.request(tx, text.sid)
    if not facts.addressed.scopes or facts.recipient is None:
        incidents.raise_alarm(tx, "inbound_unattributed", {"sid": text.sid, "to": text.to})


def _suppressions(
    tx: Transaction, heard: Sequence[Facts]
) -> Mapping[int | None, Sequence[Suppression]]:
    """What is enforced now for the people of one tenant's texts."""
    people = [one.recipient for one in heard if one.recipient is not None]
    if not people:
        return {}
    found = consent.suppressions_of_many(tx, tenant_id=heard[0].tenant.id, recipients=people)
    return dict[int | None, Sequence[Suppression]](found.items())


def _recipient(address: str) -> int | None:
    try:
        return digits(address)
    except ValueError:
        return None
