"""STOP, START and HELP, in whatever words, applied once: what a person texts to our senders."""

from collections.abc import Sequence
from dataclasses import dataclass

from sender import causes
from sender.domain.consent import (
    ALL_SENDERS,
    CLOSED_BY_START,
    Direction,
    NewConsentEvent,
    ReasonClass,
    Suppression,
)
from sender.domain.inbound import InboundText
from sender.domain.incident import Because
from sender.domain.keywords import Keyword, classify, is_provider_keyword
from sender.domain.phone import SenderKind, digits, sender_kind
from sender.domain.replies import CONFIRM_WITHIN, Heard, reply
from sender.enforcement import Enforcement
from sender.errors import NotFound
from sender.storage import consent, forwards, inbound, incidents, pools, replies, tenants
from sender.storage.database import Transaction
from sender.storage.inbound import InboundRow, Kept
from sender.storage.pools import Addressed
from sender.storage.tenants import Tenant
from sender.storage.texts import storable, storable_texts

#: What opts a person out, and the class of suppression it leads to.
_OPT_OUTS = {
    Keyword.STOP: ReasonClass.STOP,
    Keyword.FREE_TEXT: ReasonClass.FREE_TEXT,
    Keyword.REVIEW: ReasonClass.REVIEW,
}
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


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """An inbound message with whom and what it concerns."""

    text: InboundText
    tenant: Tenant
    addressed: Addressed
    recipient: int | None
    keyword: Keyword
    #: What was made of it when it came first; ``None`` for a new one.
    kept: Kept | None
    #: Why the person was suppressed before it.
    before: frozenset[ReasonClass]


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
        facts = self._facts(tx, text)
        answer = _answer(tx, facts)
        if facts.kept is None or (facts.kept.pulled and not text.pulled):
            inbound.store(tx, _row(facts, answer))
        if facts.kept is None and facts.keyword in _FORWARDED:
            forwards.request(tx, facts.text.sid)
        unknown = not facts.addressed.scopes or facts.recipient is None
        if facts.kept is None and unknown:
            incidents.raise_alarm(tx, "inbound_unattributed", {"sid": text.sid, "to": text.to})
        if facts.recipient is None:
            return Applied(keyword=facts.keyword)
        return self._act(tx, facts, facts.recipient, answer)

    def _facts(self, tx: Transaction, text: InboundText) -> _Facts:
        tenant = tenants.by_account(tx, text.account_sid)
        if tenant is None:
            raise NotFound("no tenant has the AccountSid of this webhook")
        recipient = _recipient(text.from_)
        if recipient is not None:  # before anything is read that the answer depends on
            consent.lock_person(tx, tenant_id=tenant.id, recipient=recipient)
        before = _reasons(tx, tenant, recipient)
        kept = inbound.kept(tx, text.sid)
        if kept is not None and kept.pulled and text.opt_out_type is not None:
            kept = None  # only now it is known what the provider made of it
        return _Facts(
            text=text,
            tenant=tenant,
            addressed=pools.addressed(tx, tenant.id, number=text.to, service=text.service_sid),
            recipient=recipient,
            # A repeated webhook keeps its first meaning: the person's state may have changed.
            keyword=Keyword(kept.keyword) if kept else _meaning(text, before),
            kept=kept,
            before=before,
        )

    def _act(self, tx: Transaction, facts: _Facts, recipient: int, answer: str) -> Applied:
        reason, event_ids = _OPT_OUTS.get(facts.keyword), []
        if reason is ReasonClass.REVIEW:
            for scope in _scopes_of_opt_out(facts):
                consent.append(tx, _opt_out(facts, recipient, scope, reason))
        elif reason is not None:
            for scope in _scopes_of_opt_out(facts):
                event = _opt_out(facts, recipient, scope, reason)
                event_ids.append(self.enforcement.opt_out(tx, event))
            because = Because.STOP_RECEIVED
            causes.retrace(tx, tenant_id=facts.tenant.id, recipient=recipient, because=because)
        elif facts.keyword is Keyword.START:
            for scope in _scopes_of_opt_in(facts):
                consent.append(tx, _opt_in(facts, recipient, scope))
        person = {"tenant_id": facts.tenant.id, "recipient": recipient}
        return Applied(
            keyword=facts.keyword,
            event_ids=tuple(event_ids),
            suppressions=consent.suppressions_of(tx, **person) if reason else (),
            reply=answer,
        )


def _recipient(address: str) -> int | None:
    try:
        return digits(address)
    except ValueError:
        return None


def _reasons(tx: Transaction, tenant: Tenant, recipient: int | None) -> frozenset[ReasonClass]:
    if recipient is None:
        return frozenset()
    active = consent.suppressions_of(tx, tenant_id=tenant.id, recipient=recipient)
    return frozenset(one.reason for one in active)


def _meaning(text: InboundText, before: frozenset[ReasonClass]) -> Keyword:
    """What the message says, given why the person is suppressed.

    YES opts in only who is opted out, else it answers whatever was asked; and never on a toll-free
    number, whose network takes START and UNSTOP for an opt-in and nothing else
    (support.twilio.com/hc/en-us/articles/360058144374). Nobody needs to read a doubtful text of a
    person who has opted out.
    """
    found = classify(text.body, text.opt_out_type)
    opted_out = bool(before & CLOSED_BY_START)
    if found is Keyword.START and _kind(text.to) is SenderKind.TOLL_FREE:
        return found if classify(text.body) is Keyword.START else Keyword.NONE
    if found is Keyword.YES:
        lifts = opted_out and _kind(text.to) is not SenderKind.TOLL_FREE
        return Keyword.START if lifts else Keyword.NONE
    if found is Keyword.REVIEW and opted_out:
        return Keyword.NONE
    return found


def _kind(address: str) -> SenderKind | None:
    try:
        return sender_kind(address)
    except ValueError:
        return None


def _answer(tx: Transaction, facts: _Facts) -> str:
    """The reply, decided once: a repeated webhook gets the same, until it would be too late."""
    if facts.kept is not None:
        return facts.kept.reply if facts.kept.age < CONFIRM_WITHIN else ""
    if facts.recipient is None:
        return ""
    heard = Heard(
        keyword=facts.keyword,
        kind=_kind(facts.text.to),
        typed_by_provider=facts.text.opt_out_type is not None,
        provider_keyword=is_provider_keyword(facts.text.body),
        before=facts.before,
    )
    return reply(heard, replies.texts_of(tx, facts.addressed.sender_ids))


def _row(facts: _Facts, answer: str) -> InboundRow:
    return InboundRow(
        sid=facts.text.sid,
        tenant_id=facts.tenant.id,
        sender_id=next(iter(facts.addressed.sender_ids), None),
        recipient=facts.recipient,
        keyword=facts.keyword.value,
        body=storable(facts.text.body),
        raw=storable_texts(facts.text.raw),
        reply=answer,
        pulled=facts.text.pulled,
    )


def _scopes_of_opt_out(facts: _Facts) -> tuple[int, ...]:
    """All the tenant's senders, or those the person answered: the number with its services."""
    narrow = facts.tenant.stop_scope == "sender" and facts.addressed.scopes
    return facts.addressed.scopes if narrow else (ALL_SENDERS,)


def _scopes_of_opt_in(facts: _Facts) -> tuple[int, ...]:
    """What the person answered to opens again: the senders as a whole, and this one.

    Where opt-outs are kept per sender, a START opens the whole only if it went, like the opt-out
    that closed it, to an address we do not know.
    """
    narrow = facts.tenant.stop_scope == "sender" and facts.addressed.scopes
    return facts.addressed.scopes if narrow else (ALL_SENDERS, *facts.addressed.scopes)


def _opt_out(facts: _Facts, recipient: int, scope: int, reason: ReasonClass) -> NewConsentEvent:
    return NewConsentEvent(
        tenant_id=facts.tenant.id,
        recipient=recipient,
        scope=scope,
        direction=Direction.OPT_OUT,
        reason=reason,
        source="inbound",
        source_id=facts.text.sid,
        provider_at=None,  # webhooks carry no time; the consumer asks for it
        evidence=_evidence(facts.text),
    )


def _opt_in(facts: _Facts, recipient: int, scope: int) -> NewConsentEvent:
    return NewConsentEvent(
        tenant_id=facts.tenant.id,
        recipient=recipient,
        scope=scope,
        direction=Direction.OPT_IN,
        reason=None,
        source="inbound",
        source_id=facts.text.sid,
        provider_at=None,
        evidence=_evidence(facts.text),
    )


def _evidence(text: InboundText) -> dict[str, str]:
    """What the person wrote, where, and what Twilio made of it."""
    found = {
        "text": text.body,
        "message_sid": text.sid,
        "sender": text.to,
        "service": text.service_sid or "",
        "channel": text.from_.partition(":")[0] if ":" in text.from_ else "sms",
        "opt_out_type": text.opt_out_type or "",
    }
    return {name: value for name, value in found.items() if value}
