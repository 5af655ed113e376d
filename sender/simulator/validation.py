"""What Twilio refuses in a create request whatever the recipient wants: the form itself."""

import re
from collections.abc import Callable, Mapping

from sender.simulator.account import Account
from sender.simulator.refusals import Refusal

Form = Mapping[str, str]
_Check = Callable[[Form, Account], Refusal | None]

_E164 = re.compile(r"\+[1-9]\d{6,14}")
_CALLBACK_URL = re.compile(r"https?://[^/?#_\s]+([/?#]\S*)?")
_MAX_BODY = 1600
_MAX_URL = 4000

#: Twilio's test recipients and senders, and the error each stands for.
MAGIC_RECIPIENTS = {
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}
MAGIC_SENDERS = {
    "+15005550001": 21212,
    "+15005550007": 21606,
    "+15005550008": 21611,
}
#: Features this simulator would have to fake: refused, rather than quietly ignored.
_NOT_SIMULATED = ("ContentSid", "ScheduleType", "SendAt")


def check_create(form: Form, account: Account) -> Refusal | None:
    """The first thing wrong with a create request, in the order Twilio notices it."""
    for check in _CHECKS:
        refusal = check(form, account)
        if refusal:
            return refusal
    return None


def _check_presence(form: Form, _account: Account) -> Refusal | None:
    if not form.get("To"):
        return Refusal.of(21604)
    if not (form.get("From") or form.get("MessagingServiceSid")):
        return Refusal.of(21603)
    if not (form.get("Body") or form.get("MediaUrl")) and "ContentSid" not in form:
        return Refusal.of(21602)
    return None


def _check_simulated(form: Form, _account: Account) -> Refusal | None:
    for name in _NOT_SIMULATED:
        if name in form:
            return Refusal.of(20001, f"this simulator does not know {name}")
    return None


def _check_body(form: Form, _account: Account) -> Refusal | None:
    return Refusal.of(21617) if len(form.get("Body", "")) > _MAX_BODY else None


def _check_recipient(form: Form, _account: Account) -> Refusal | None:
    to = form["To"]
    if not _E164.fullmatch(to) or to == form.get("From"):
        return Refusal.of(21211, to)
    code = MAGIC_RECIPIENTS.get(to)
    return Refusal.of(code, to) if code else None


def _check_sender(form: Form, account: Account) -> Refusal | None:
    sender = form.get("From", "")
    code = MAGIC_SENDERS.get(sender)
    if code:
        return Refusal.of(code, sender)
    if sender and not account.owns(sender):
        return Refusal.of(21659, sender)
    return None


def _check_service(form: Form, account: Account) -> Refusal | None:
    service = form.get("MessagingServiceSid")
    if not service:
        return None
    pool = account.pool(service)
    if pool is None:
        return Refusal.of(21701, service)
    return None if pool else Refusal.of(21704, service)


def _check_status_callback(form: Form, _account: Account) -> Refusal | None:
    url = form.get("StatusCallback")
    if not url or (len(url) <= _MAX_URL and _CALLBACK_URL.fullmatch(url)):
        return None
    return Refusal.of(21609, url)


def _check_validity_period(form: Form, _account: Account) -> Refusal | None:
    period = form.get("ValidityPeriod")
    if period is None or (period.isdecimal() and 1 <= int(period) <= 36_000):
        return None
    return Refusal.of(21624, period)


_CHECKS: tuple[_Check, ...] = (
    _check_presence,
    _check_simulated,
    _check_body,
    _check_recipient,
    _check_sender,
    _check_service,
    _check_status_callback,
    _check_validity_period,
)
