"""Watches the rate of 21610s: tells of campaigns that meet too many, and holds where it jumps."""

import structlog

from sender.domain.block_rate import ALERT_LEAST, HOLD_LEAST, BlockLimits
from sender.storage import alerts, blocks, holds
from sender.storage.alerts import AlertKind
from sender.storage.blocks import JUMPED, Watched
from sender.storage.database import Database, Transaction
from sender.storage.holds import Hold, Level

log = structlog.get_logger(__name__)


def watch_blocks(db: Database, limits: BlockLimits) -> int:
    """Judge the campaigns whose 21610s have grown; how many are held now.

    One cheap query where there are few. A hold stops what has not begun; nothing is sent again.
    """
    held = 0
    for one in db.run(blocks.watched, least=min(ALERT_LEAST, HOLD_LEAST)):
        if one.has_grown:
            db.run(_judge_all, one, limits=limits)
        if one.may_be_held:
            held += db.run(_judge_latest, one, limits=limits)
    return held


def _judge_all(tx: Transaction, one: Watched, *, limits: BlockLimits) -> None:
    blocks.judged(tx, one)
    if limits.alert_from is None or one.blocks < limits.alert_from:
        return
    answers = blocks.answers(tx, one, enough=limits.enough(one.blocks))
    if limits.is_alarming(blocks=one.blocks, answers=answers):
        _tell(tx, AlertKind.BLOCK_RATE, one, blocks=one.blocks, answers=answers, once=True)


def _judge_latest(tx: Transaction, one: Watched, *, limits: BlockLimits) -> bool:
    window = limits.window
    if not window:
        return False
    among = blocks.answers_around_latest(tx, one, blocks=HOLD_LEAST, enough=window + 1)
    if among is None or among > window:
        return False
    hold = Hold(
        level=Level.CAMPAIGN,
        subject=one.campaign_id,
        reason=JUMPED,
        detail=f"{HOLD_LEAST} of its last {among} messages met a 21610 "
        f"(sender incidents list --campaign {one.campaign_id})",
    )
    placed = holds.place(tx, hold)
    if placed:
        _tell(tx, AlertKind.BLOCK_JUMP, one, blocks=HOLD_LEAST, answers=among, once=False)
    return placed


def _tell(
    tx: Transaction, kind: AlertKind, one: Watched, *, blocks: int, answers: int, once: bool
) -> None:
    detail = {"blocks": blocks, "answers": answers, "share": round(blocks / max(answers, 1), 4)}
    about = {"tenant_id": one.tenant_id, "campaign_id": one.campaign_id}
    if alerts.raise_alert(tx, kind, **about, detail=detail, once=once):
        log.warning("campaign_alert", kind=kind.value, campaign=one.campaign_id, **detail)
