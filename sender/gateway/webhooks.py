"""What Twilio sends to us: is it Twilio, and what does the form say."""

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from hmac import compare_digest
from html import escape
from typing import Final
from urllib.parse import parse_qs, parse_qsl
from uuid import UUID

from multidict import CIMultiDict, MultiDict
from twilio.request_validator import (  # type: ignore[import-untyped]  # the SDK ships no types
    HMAC_SHA1,
    HMAC_SHA256,
    SIGNATURE_HEADER,
    SIGNATURE_SETTINGS_HEADER,
    RequestValidator,
    get_signature_algorithm,
)

from sender.domain.inbound import InboundText
from sender.domain.receipt import Receipt
from sender.errors import ConfigurationError, MalformedWebhook
from sender.gateway.codes import callback_verdict, is_toll_free
from sender.gateway.urls import PublicUrls

#: The form's fields, in their order, repeated names included.
Form = list[tuple[str, str]]

#: The answer to an inbound message: nothing more to say. A plain-text body would be sent to the
#: person as a reply, and a STOP confirmation of our own would be the second one.
TWIML_EMPTY: Final = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
TWIML_CONTENT_TYPE: Final = "text/xml"
_TWIML_MESSAGE: Final = (
    '<?xml version="1.0" encoding="UTF-8"?><Response><Message>{}</Message></Response>'
)
#: What XML 1.0 cannot say, even escaped.
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_JSON_TYPE: Final = "application/json"
#: The parameter of the query that holds the hash of a JSON body; the signature covers the URL.
_BODY_HASH: Final = "bodySHA256"

_ALGORITHMS: Final = frozenset({HMAC_SHA1, HMAC_SHA256})

#: An inbound MMS with ten pictures and add-ons has about 50; more is no message of Twilio's.
_MAX_FIELDS: Final = 100
#: Twilio's have 34 characters; longer ones are for test doubles.
_SID: Final = re.compile("[0-9A-Za-z_-]{1,64}")
#: A status is a few plain words, one that we do not know included.
_STATUS: Final = re.compile("[ -~]{1,64}")
#: Codes have five digits; no count or code of Twilio's comes near this.
_LONGEST_NUMBER: Final = 9


class SignatureVerifier:
    """Checks ``X-Twilio-Signature`` over the URL that Twilio called.

    Source: twilio.com/docs/usage/webhooks/webhooks-security
    """

    def __init__(self, tokens: Sequence[str], public_base_url: str) -> None:
        """Accept any of ``tokens`` (AuthTokens, or SharedKey secrets), as in a rotation.

        Args:
            tokens: the secrets; API key secrets never sign.
            public_base_url: what Twilio calls, up to where our own paths begin. Taken from the
                configuration because a proxy changes scheme, host and path, and because a Host
                header is the caller's to choose.

        Raises:
            ConfigurationError: no token, an empty token (anybody can sign with that), or a URL
                that no signature could match.
        """
        if not tokens or not all(tokens):
            raise ConfigurationError("webhook signatures need at least one non-empty auth token")
        self._validators = [RequestValidator(token) for token in tokens]
        self._base = PublicUrls(public_base_url).base

    def verify(self, path_and_raw_query: str, form: Form, headers: Mapping[str, str]) -> bool:
        """Whether the request was signed with one of the tokens.

        Args:
            path_and_raw_query: as received, neither decoded nor re-sorted.
            form: from :func:`parse_form`; blank fields are signed too.
            headers: any mapping; names are compared without case.
        """
        given = CIMultiDict(headers)
        signature = given.get(SIGNATURE_HEADER)
        if not signature or not path_and_raw_query.startswith("/"):
            return False
        url = self._base + path_and_raw_query
        algorithm = get_signature_algorithm(given.get(SIGNATURE_SETTINGS_HEADER))
        if algorithm.upper() not in _ALGORITHMS:  # the SDK would log what the caller wrote
            return False
        fields = MultiDict(form)
        if any(_is_by(v, url, fields, signature, algorithm) for v in self._validators):
            return True
        # Signed over the URL with its port named, or not: several times the work.
        return any(v.validate(url, fields, signature, algorithm) for v in self._validators)

    def verify_json(self, path_and_raw_query: str, raw: bytes, headers: Mapping[str, str]) -> bool:
        """The same for a JSON body: the signed query holds its SHA-256.

        Args:
            path_and_raw_query: as received.
            raw: the body, byte for byte.
            headers: as for :meth:`verify`.
        """
        return names_body(path_and_raw_query, raw) and self.verify(path_and_raw_query, [], headers)


def names_body(path_and_raw_query: str, raw: bytes) -> bool:
    """Whether the query holds the SHA-256 of this body; who signed the query, signed the body."""
    query = path_and_raw_query.partition("?")[2]
    named = parse_qs(query).get(_BODY_HASH, [""])[0]
    return compare_digest(named.encode(), sha256(raw).hexdigest().encode())


def _is_by(
    validator: RequestValidator, url: str, fields: MultiDict[str], signature: str, algorithm: str
) -> bool:
    """Whether a signature is one over this very URL."""
    try:
        wanted = validator.compute_signature(url, fields, algorithm)
    except ValueError:  # an algorithm that the SDK does not know
        return False
    return compare_digest(wanted.encode(), signature.encode())


def twiml(reply: str) -> str:
    """The answer to an inbound message that has this text sent back; none, if it is empty."""
    return _TWIML_MESSAGE.format(escape(_NOT_XML.sub("", reply))) if reply else TWIML_EMPTY


def parse_form(raw: bytes) -> Form:
    """The fields of a form-encoded body: blanks kept, nothing trimmed.

    Raises:
        MalformedWebhook: not UTF-8, or more than 100 fields.
    """
    try:
        return parse_qsl(
            raw.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError as error:
        raise MalformedWebhook("the body is not a form of UTF-8 text") from error


def parse_json(raw: bytes) -> Form:
    """The fields of a JSON object, as if they had come as a form; what is nested is no field.

    Raises:
        MalformedWebhook: not a JSON object of UTF-8 text, or more than 100 fields.
    """
    try:
        text = raw.decode("utf-8")  # from bytes, json would guess other encodings
        pairs = json.loads(
            text, object_pairs_hook=tuple, parse_int=str, parse_float=str, parse_constant=str
        )
        is_object = isinstance(pairs, tuple) and len(pairs) <= _MAX_FIELDS
        fields = [(name, value) for name, value in pairs if isinstance(value, str)]
        "".join(name + value for name, value in fields).encode()  # half a surrogate is no text
    except (ValueError, TypeError, RecursionError) as error:
        raise MalformedWebhook("the body is not a JSON object of text") from error
    if not is_object:
        raise MalformedWebhook("the body is not a JSON object of a webhook's size")
    return fields


def is_json(content_type: str) -> bool:
    """Whether a body says that it is JSON.

    Raises:
        MalformedWebhook: it says that it is neither JSON nor a form. One that says nothing is
            taken for a form.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in {"", _FORM_TYPE, _JSON_TYPE}:
        raise MalformedWebhook("the body is neither a form nor JSON")
    return kind == _JSON_TYPE


def is_sid(text: str) -> bool:
    """Whether a text can be a SID at all: only such are looked for."""
    return _SID.fullmatch(text) is not None


def is_status(text: str) -> bool:
    """Whether a text can be a message's status, known or not."""
    return _STATUS.fullmatch(text) is not None


def printable(address: str) -> str:
    """An address as it can be stored and looked for: an odd one must not keep a STOP out."""
    return address if address.isprintable() else "".join(filter(str.isprintable, address))


def failure_from_form(form: Form) -> int | None:
    """Why Twilio calls the fallback URL: its code for what was wrong with our main answer.

    It is about our webhook, and never about a message.
    """
    return _number(_first_values(form), "ErrorCode")


def inbound_from_form(form: Form) -> InboundText:
    """The inbound message a webhook tells of.

    Raises:
        MalformedWebhook: without the SIDs, From or To it is no message of Twilio's.
    """
    fields = _first_values(form)
    return InboundText(
        sid=_required_sid(fields, "MessageSid"),
        account_sid=_required_sid(fields, "AccountSid"),
        from_=_required(fields, "From"),
        to=printable(_required(fields, "To")),
        service_sid=printable(fields.get("MessagingServiceSid", "")) or None,
        body=fields.get("Body", ""),
        opt_out_type=fields.get("OptOutType") or None,
        num_media=_number(fields, "NumMedia") or 0,
        raw=fields,
    )


def receipt_from_form(message_id: UUID, form: Form) -> Receipt:
    """The receipt a status callback tells of; ``message_id`` is from its URL path.

    Raises:
        MalformedWebhook: without the SIDs, To or a status it is no callback of Twilio's.
    """
    fields = _first_values(form)
    status, code = _required(fields, "MessageStatus"), _number(fields, "ErrorCode")
    if not is_status(status):  # one that cannot be stored would fail those it is stored with
        raise MalformedWebhook("the field MessageStatus is no status")
    sender = fields.get("From") or None
    return Receipt(
        message_id=message_id,
        account_sid=_required_sid(fields, "AccountSid"),
        sid=_required_sid(fields, "MessageSid"),
        status=status,
        code=code,
        to=_required(fields, "To"),
        from_=sender,
        service_sid=fields.get("MessagingServiceSid") or None,
        raw_dlr_done=fields.get("RawDlrDoneDate") or None,
        verdict=callback_verdict(status, code, toll_free=is_toll_free(sender)),
    )


def _first_values(form: Form) -> dict[str, str]:
    return dict(reversed(form))


def _required(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name)
    if not value:
        raise MalformedWebhook(f"the field {name} is missing")
    return value


def _required_sid(fields: Mapping[str, str], name: str) -> str:
    value = _required(fields, name)
    if not is_sid(value):
        raise MalformedWebhook(f"the field {name} is no SID")
    return value


def _number(fields: Mapping[str, str], name: str) -> int | None:
    value = fields.get(name, "")
    plain = value.isascii() and value.isdecimal() and len(value) <= _LONGEST_NUMBER
    return int(value) if plain else None
