"""Drift: who opted out at Twilio, unknown to us, and would have been texted."""

from collections.abc import Iterable, Sequence

from sender.domain.consent import ALL_SENDERS, PLATFORM
from sender.domain.phone import digits
from sender.storage import consent, senders
from sender.storage.database import Transaction


def people_of(addresses: Iterable[str]) -> list[int]:
    """The numbers among them, each once; a name is nobody's."""
    found: dict[int, None] = {}
    for address in addresses:
        try:
            found[digits(address)] = None
        except ValueError:
            continue
    return list(found)


def may_be_texted(
    tx: Transaction, tenant_id: int, sender_ids: Sequence[int], people: Sequence[int]
) -> list[int]:
    """Those of them whom no suppression keeps from any of these senders of a tenant."""
    scopes = {(PLATFORM, ALL_SENDERS), (tenant_id, ALL_SENDERS)}
    for sender_id in sender_ids:
        scopes |= {(tenant_id, scope) for scope in senders.scopes_of(tx, sender_id)}
    return consent.unsuppressed(tx, sorted(scopes), people)
