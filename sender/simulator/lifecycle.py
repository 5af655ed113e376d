"""What becomes of an accepted message, and the status callbacks that tell."""

import time
from dataclasses import dataclass

from sender.simulator.messages import API_VERSION, MessageRow, Status
from sender.simulator.simulator import Simulator

#: Errors of a carrier or handset: the message had left, so it ends ``undelivered``. With any other
#: error it never left: ``failed``.
_AFTER_LEAVING = frozenset({30003, 30004, 30005, 30006, 30007, 30008})


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a message ends."""

    status: Status
    error_code: int | None = None

    @classmethod
    def from_error(cls, code: int) -> "Ending":
        """The ending an asynchronous error code means."""
        status = Status.UNDELIVERED if code in _AFTER_LEAVING else Status.FAILED
        return cls(status=status, error_code=code)


_DELIVERED = Ending(status=Status.DELIVERED)
_NO_RECEIPT = Ending(status=Status.SENT)


def draw_ending(simulator: Simulator, recipient: str) -> Ending:
    """The ending chance has in store for the next message to this recipient."""
    behaviour, chance = simulator.behaviour, simulator.chance
    code = chance.choose(behaviour.async_failures, "async_failure", recipient)
    if code:
        return Ending.from_error(code)
    if chance.happens(behaviour.no_receipt_rate, "no_receipt", recipient):
        return _NO_RECEIPT
    return _DELIVERED


def begin(simulator: Simulator, row: MessageRow, ending: Ending) -> None:
    """Set the timers of an accepted message. Its initial status gets no callback."""
    simulator.later(simulator.behaviour.sent_after_ms, _leave, simulator, row, ending)


def cancel(simulator: Simulator, row: MessageRow) -> bool:
    """Cancel a message that has not left; returns whether it was still possible."""
    if row.status not in (Status.QUEUED, Status.ACCEPTED, Status.SCHEDULED):
        return False
    _enter(row, Status.CANCELED)
    _call_back(simulator, row, Status.CANCELED)
    return True


def _leave(simulator: Simulator, row: MessageRow, ending: Ending) -> None:
    """The moment a message leaves, or fails to."""
    if row.status is Status.CANCELED or not simulator.messages.holds(row):
        return
    if ending.status is Status.FAILED:
        _end(simulator, row, ending)
        return
    if simulator.chance.happens(simulator.behaviour.put_off_rate, "put_off", row.to):
        _enter(row, Status.SCHEDULED)
        _call_back(simulator, row, Status.SCHEDULED)
        return
    row.number_shown = True
    row.sent_at = time.time()
    _enter(row, Status.SENT)
    behaviour = simulator.behaviour
    is_reordered = simulator.chance.happens(behaviour.reorder_rate, "reorder", row.to)
    sent_callback_ms = behaviour.delivered_after_ms * 2 + 1 if is_reordered else 0.0
    simulator.later(sent_callback_ms, _call_back, simulator, row, Status.SENT)
    if ending.status is not Status.SENT:
        simulator.later(behaviour.delivered_after_ms, _end, simulator, row, ending)


def _end(simulator: Simulator, row: MessageRow, ending: Ending) -> None:
    row.error_code = ending.error_code
    _enter(row, ending.status)
    _call_back(simulator, row, ending.status)


def _enter(row: MessageRow, status: Status) -> None:
    row.status = status
    row.updated_at = time.time()


def _call_back(simulator: Simulator, row: MessageRow, status: Status) -> None:
    """Queue the status callback, unless nobody asked for it or it gets lost."""
    if not row.status_callback or not simulator.messages.holds(row):
        return
    if simulator.chance.happens(simulator.behaviour.lost_callback_rate, "lost", row.to):
        return
    error_code = None if status is Status.SENT else row.error_code
    simulator.post(
        simulator.status_webhooks,
        "status",
        row.status_callback,
        _params(row, status, error_code),
        **{"message_sid": row.sid, "from": row.number, "to": row.to},
        status=status,
        error_code=error_code,
    )


def _params(row: MessageRow, status: Status, error_code: int | None) -> dict[str, str]:
    params = {
        "SmsSid": row.sid,
        "SmsStatus": status.value,
        "MessageStatus": status.value,
        "To": row.to,
        "MessageSid": row.sid,
        "AccountSid": row.account_sid,
        "From": row.number if row.number_shown else "",
        "ApiVersion": API_VERSION,
    }
    if row.messaging_service_sid:
        params["MessagingServiceSid"] = row.messaging_service_sid
    if error_code is not None:
        params["ErrorCode"] = str(error_code)
    if status in (Status.DELIVERED, Status.UNDELIVERED):
        params["RawDlrDoneDate"] = time.strftime("%y%m%d%H%M", time.gmtime(row.updated_at))
    return params
