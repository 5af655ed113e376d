"""An inbound message with what is known around it: its meaning, its answer, its consent events."""

from collections.abc import Mapping
from dataclasses import dataclass

from sender.domain.consent import (
    ALL_SENDERS,
    CLOSED_BY_START,
    Direction,
    NewConsentEvent,
    ReasonClass,
)
from sender.domain.inbound import InboundText
from sender.domain.keywords import Keyword, classify, is_provider_keyword
from sender.domain.phone import SenderKind, sender_kind
from sender.domain.replies import CONFIRM_WITHIN, Heard, ReplyEvent, reply
from sender.storage.inbound import InboundRow, Kept
from sender.storage.pools import Addressed
from sender.storage.tenants import Tenant
from sender.storage.texts import storable, storable_texts

#: What opts a person out, and the class of suppression it leads to.
OPT_OUTS = {
    Keyword.STOP: ReasonClass.STOP,
    Keyword.FREE_TEXT: ReasonClass.FREE_TEXT,
    Keyword.REVIEW: ReasonClass.REVIEW,
}


@dataclass(frozen=True, kw_only=True)
class Facts:
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
    #: What the senders answer, where somebody has set any texts.
    replies: Mapping[ReplyEvent, str]

    @property
    def is_to_keep(self) -> bool:
        """Whether it is new, or tells more than what was pulled."""
        return self.kept is None or (self.kept.pulled and not self.text.pulled)


def events_of(facts: Facts) -> list[NewConsentEvent]:
    """What a text says about its person's consent."""
    reason, recipient = OPT_OUTS.get(facts.keyword), facts.recipient
    if recipient is None:
        return []
    if reason is not None:
        return [_opt_out(facts, recipient, at, reason) for at in _scopes_of_opt_out(facts)]
    if facts.keyword is Keyword.START:
        return [_opt_in(facts, recipient, scope) for scope in _scopes_of_opt_in(facts)]
    return []


def meaning(text: InboundText, before: frozenset[ReasonClass]) -> Keyword:
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


def answer_to(facts: Facts) -> str:
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
    return reply(heard, facts.replies)


def row_of(facts: Facts, answer: str) -> InboundRow:
    """The message as it is kept, with how it was read and answered."""
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


def _scopes_of_opt_out(facts: Facts) -> tuple[int, ...]:
    """All the tenant's senders, or those the person answered: the number with its services."""
    narrow = facts.tenant.stop_scope == "sender" and facts.addressed.scopes
    return facts.addressed.scopes if narrow else (ALL_SENDERS,)


def _scopes_of_opt_in(facts: Facts) -> tuple[int, ...]:
    """What the person answered to opens again: the senders as a whole, and this one.

    Where opt-outs are kept per sender, a START opens the whole only if it went, like the opt-out
    that closed it, to an address we do not know.
    """
    narrow = facts.tenant.stop_scope == "sender" and facts.addressed.scopes
    return facts.addressed.scopes if narrow else (ALL_SENDERS, *facts.addressed.scopes)


def _opt_out(facts: Facts, recipient: int, scope: int, reason: ReasonClass) -> NewConsentEvent:
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


def _opt_in(facts: Facts, recipient: int, scope: int) -> NewConsentEvent:
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
