"""Holds the campaigns whose text is being filtered, until a person has looked at it."""

import structlog

from sender.domain import filtering
from sender.domain.receipt import FailureCause
from sender.storage import failures, holds
from sender.storage.database import Database, Transaction
from sender.storage.failures import Suspect
from sender.storage.holds import Hold, Level

log = structlog.get_logger(__name__)


def hold_filtered(db: Database) -> int:
    """Judge the running campaigns whose filtered messages have grown; how many are held now.

    One cheap query where there is none. Nothing that was filtered is ever sent again.
    """
    held = 0
    for suspect in db.run(failures.suspects, least=filtering.LEAST):
        filtered, accepted = db.run(_counts, suspect)
        guilty = filtering.is_filtered(filtered=filtered, accepted=accepted)
        db.run(_judge, suspect, detail=_detail(filtered, accepted) if guilty else None)
        if guilty:
            held += 1
            log.warning("campaign_filtered", campaign=suspect.campaign_id, filtered=filtered)
    return held


def _counts(tx: Transaction, suspect: Suspect) -> tuple[int, int]:
    filtered = failures.filtered_since(tx, suspect)
    return filtered, failures.accepted_since(tx, suspect, enough=filtering.enough(filtered))


def _judge(tx: Transaction, suspect: Suspect, *, detail: str | None) -> None:
    failures.judged(tx, suspect)
    if detail is not None:
        reason = FailureCause.FILTERED.value
        subject = suspect.campaign_id
        holds.place(tx, Hold(level=Level.CAMPAIGN, subject=subject, reason=reason, detail=detail))


def _detail(filtered: int, accepted: int) -> str:
    return f"{filtered} of {accepted} messages were filtered by Twilio or the carriers"
