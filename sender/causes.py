"""Decides why each 21610 happened from what is stored, and anew when more becomes known.

All of it in the caller's transaction, with the person's consent locked.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from sender.domain.consent import ALL_SENDERS, ConsentEvent
from sender.domain.incident import Because, Cause, Evidence, Trace, trace
from sender.storage import alerts, consent, enforcement, inbound, incidents, message_facts, senders
from sender.storage.alerts import AlertKind
from sender.storage.database import Transaction
from sender.storage.incidents import Traced
from sender.storage.message_facts import MessageFacts

log = structlog.get_logger(__name__)

#: What is older is left as it is: a STOP is pulled, dated or found within days.
YOUNGEST = timedelta(days=30)


def first_trace(
    tx: Transaction, facts: MessageFacts, *, began_at: datetime, known: Sequence[ConsentEvent]
) -> Trace:
    """The cause as far as it can be told at once.

    Args:
        tx: where the incident is about to be opened.
        facts: of its message.
        began_at: when our request began.
        known: the person's consent events with the tenant.
    """
    evidence = Evidence(
        events=known,
        scopes=_scopes(tx, facts.sender_id),
        began_at=began_at,
        guarded_at=facts.guarded_at,
        # All that is known was known before we were told.
        told_at=max([began_at, *(event.received_at for event in known)]),
        texted_before=message_facts.texted_before(tx, facts),
        enforced=enforcement.times_of(tx, [one.id for one in known]),
        pulled=inbound.pulled(tx, [one.source_id for one in known]),
    )
    return trace(evidence)


def retrace(tx: Transaction, *, tenant_id: int, recipient: int, because: Because) -> None:
    """Decide the person's younger incidents anew. Costs one look into an index without any."""
    person = {"tenant_id": tenant_id, "recipient": recipient}
    traced = incidents.of_person(tx, **person, youngest=YOUNGEST)
    if not traced:
        return
    known = consent.history(tx, **person)
    facts = message_facts.facts_of(tx, [one.message_id for one in traced])
    pulled = inbound.pulled(tx, [event.source_id for event in known])
    for one in traced:
        found = trace(_evidence(tx, one, facts[one.message_id], known, pulled))
        if found.cause is Cause.UNKNOWN or (found.cause, found.detail) == (one.cause, one.detail):
            continue
        incidents.retrace(tx, one.id, found, because=because)
        if found.cause is not one.cause:
            changed = {"incident": one.id, "cause": found.cause.value, "was": one.cause.value}
            log.info("incident_retraced", **changed, because=because.value)
            tell(tx, facts[one.message_id], found)


def retrace_all(
    tx: Transaction, *, tenant_id: int, recipients: Sequence[int], because: Because
) -> None:
    """The same for many people: one look for all who have none."""
    found = incidents.people_with_any(
        tx, tenant_id=tenant_id, recipients=recipients, youngest=YOUNGEST
    )
    for recipient in sorted(found):
        retrace(tx, tenant_id=tenant_id, recipient=recipient, because=because)


def tell(tx: Transaction, facts: MessageFacts, found: Trace) -> None:
    """Raise an alert, once a campaign, if the list had the person and the guard let them pass."""
    if found.cause is not Cause.LIST_LOST_DATA:
        return
    about = {"tenant_id": facts.tenant_id, "campaign_id": facts.campaign_id}
    detail = {"message": str(facts.id)}
    log.error("list_lost_data", **detail)
    alerts.raise_alert(tx, AlertKind.LIST_LOST_DATA, **about, detail=detail, once=True)


def _evidence(
    tx: Transaction,
    one: Traced,
    facts: MessageFacts,
    known: Sequence[ConsentEvent],
    pulled: frozenset[str],
) -> Evidence:
    own = str(one.message_id)
    return Evidence(
        events=[event for event in known if event.source_id != own],
        scopes=_scopes(tx, one.sender_id),
        began_at=one.began_at,
        guarded_at=one.guarded_at,
        told_at=one.told_at,
        texted_before=message_facts.texted_before(tx, facts),
        enforced=enforcement.times_of(tx, [event.id for event in known]),
        logged=one.logged,
        pulled=pulled,
    )


def _scopes(tx: Transaction, sender_id: int) -> frozenset[int]:
    return frozenset({ALL_SENDERS, *senders.scopes_of(tx, sender_id)})
