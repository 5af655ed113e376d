"""STOP, START and HELP, applied once: what a person texts to one of our senders."""

from collections.abc import Sequence
from dataclasses import dataclass

from sender.domain.consent import (
    ALL_SENDERS,
    Direction,
    NewConsentEvent,
    ReasonClass,
    Suppression,
)
from sender.domain.inbound import InboundText
from sender.domain.keywords import Keyword, classify
from sender.domain.phone import digits
from sender.enforcement import Enforcement
from sender.errors import NotFound
from sender.storage import consent, inbound, incidents, senders
from sender.storage.database import Transaction
from sender.storage.inbound import InboundRow
from sender.storage.senders import SenderRow, Tenant
from sender.storage.texts import storable


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What an inbound message led to."""

    keyword: Keyword
    #: The opt-out to be enforced before the webhook is answered; ``None`` if it is none.
    event_id: int | None
    #: The person's suppressions now, for the Redis set; empty if nothing changed.
    suppressions: Sequence[Suppression]


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """An inbound message with whom and what it concerns."""

    text: InboundText
    tenant: Tenant
    sender: SenderRow | None
    recipient: int | None
    keyword: Keyword


@dataclass(frozen=True, kw_only=True)
class Inbound:
    """Applies inbound messages, by webhook or pulled from the provider's log."""

    enforcement: Enforcement

    def apply(self, tx: Transaction, text: InboundText) -> Applied:
        """Keep the message and act on its keyword, in the caller's transaction.

        Doing it again with the same MessageSid changes nothing and gives the same answer, so a
        webhook that is repeated waits for the same enforcement.

        Raises:
            NotFound: no tenant has this AccountSid.
        """
        facts = self._facts(tx, text)
        is_new = inbound.store(tx, _row(facts))
        if is_new and (facts.sender is None or facts.recipient is None):
            incidents.raise_alarm(tx, "inbound_unattributed", {"sid": text.sid, "to": text.to})
        if facts.recipient is None:
            return Applied(keyword=facts.keyword, event_id=None, suppressions=())
        event_id = self._act(tx, facts, facts.recipient)
        active = consent.suppressions_of(tx, tenant_id=facts.tenant.id, recipient=facts.recipient)
        return Applied(
            keyword=facts.keyword,
            event_id=event_id,
            suppressions=active if event_id is not None else (),
        )

    def _facts(self, tx: Transaction, text: InboundText) -> _Facts:
        tenant = senders.tenant_by_account(tx, text.account_sid)
        if tenant is None:
            raise NotFound("no tenant has the AccountSid of this webhook")
        recipient = _recipient(text.from_)
        keyword = classify(text.body, text.opt_out_type)
        if keyword is Keyword.YES:
            # A repeated webhook keeps its first meaning: the person's state may have changed.
            kept = inbound.keyword_of(tx, text.sid)
            keyword = Keyword(kept) if kept else self._meaning_of_yes(tx, tenant, recipient)
        sender = self._sender(tx, tenant, text)
        return _Facts(text=text, tenant=tenant, sender=sender, recipient=recipient, keyword=keyword)

    def _sender(self, tx: Transaction, tenant: Tenant, text: InboundText) -> SenderRow | None:
        """Whom the person answered: the Messaging Service, if the number is in one.

        That the number is in it is noted for good: the service's suppressions cover it.
        """
        number = senders.find(tx, text.to)
        service = senders.find(tx, text.service_sid) if text.service_sid else None
        if number is not None and service is not None:
            senders.add_scope(tx, sender_id=number.id, service_id=service.id)
        found = service or number
        return found if found is not None and found.tenant_id == tenant.id else None

    def _meaning_of_yes(self, tx: Transaction, tenant: Tenant, recipient: int | None) -> Keyword:
        """YES opts in only who is opted out; else it is an answer to whatever was asked."""
        if recipient is None:
            return Keyword.NONE
        opted_out = inbound.opted_out_by_keyword(tx, tenant_id=tenant.id, recipient=recipient)
        return Keyword.START if opted_out else Keyword.NONE

    def _act(self, tx: Transaction, facts: _Facts, recipient: int) -> int | None:
        if facts.keyword is Keyword.STOP:
            event_id = self.enforcement.opt_out(tx, _stop(facts, recipient))
            incidents.retrace_races(tx, tenant_id=facts.tenant.id, recipient=recipient)
            return event_id
        if facts.keyword is Keyword.START:
            for scope in self._scopes_of_start(tx, facts):
                consent.append(tx, _start(facts, recipient, scope))
        return None

    def _scopes_of_start(self, tx: Transaction, facts: _Facts) -> list[int]:
        """What the person answered to opens again: the tenant's senders as a whole, this one."""
        own = senders.scopes_of(tx, facts.sender.id) if facts.sender else ()
        whole = [] if facts.tenant.stop_scope == "sender" else [ALL_SENDERS]
        return [*whole, *own]


def _recipient(address: str) -> int | None:
    try:
        return digits(address)
    except ValueError:
        return None


def _row(facts: _Facts) -> InboundRow:
    return InboundRow(
        sid=facts.text.sid,
        tenant_id=facts.tenant.id,
        sender_id=facts.sender.id if facts.sender else None,
        recipient=facts.recipient,
        keyword=facts.keyword.value,
        body=storable(facts.text.body),
        raw={storable(name): storable(value) for name, value in facts.text.raw.items()},
    )


def _stop(facts: _Facts, recipient: int) -> NewConsentEvent:
    narrow = facts.tenant.stop_scope == "sender" and facts.sender is not None
    return NewConsentEvent(
        tenant_id=facts.tenant.id,
        recipient=recipient,
        scope=facts.sender.id if narrow and facts.sender else ALL_SENDERS,
        direction=Direction.OPT_OUT,
        reason=ReasonClass.STOP,
        source="inbound",
        source_id=facts.text.sid,
        provider_at=None,  # webhooks carry no time; the consumer asks for it
    )


def _start(facts: _Facts, recipient: int, scope: int) -> NewConsentEvent:
    return NewConsentEvent(
        tenant_id=facts.tenant.id,
        recipient=recipient,
        scope=scope,
        direction=Direction.OPT_IN,
        reason=None,
        source="inbound",
        source_id=facts.text.sid,
        provider_at=None,
    )
