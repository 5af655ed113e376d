"""Everything that knows Twilio's wire: the client, the codes, the webhooks."""

from sender.gateway.block_log import BlockLog
from sender.gateway.client import (
    NOT_PASSED_ON,
    TWILIO_API,
    Credentials,
    GatewayFactory,
    TwilioGateway,
)
from sender.gateway.codes import TABLE, CodeEntry, callback_verdict, create_outcome
from sender.gateway.consents import ConsentsGateway
from sender.gateway.hooks import HooksGateway
from sender.gateway.sinks import EVENT_TYPES, SinksGateway
from sender.gateway.stream import events_from_json
from sender.gateway.transport import RECIPIENT_LOGGERS
from sender.gateway.urls import PublicUrls
from sender.gateway.webhooks import (
    TWIML_CONTENT_TYPE,
    TWIML_EMPTY,
    Form,
    SignatureVerifier,
    failure_from_form,
    inbound_from_form,
    is_json,
    is_sid,
    names_body,
    parse_form,
    parse_json,
    receipt_from_form,
    twiml,
)

__all__ = [
    "EVENT_TYPES",
    "NOT_PASSED_ON",
    "RECIPIENT_LOGGERS",
    "TABLE",
    "TWILIO_API",
    "TWIML_CONTENT_TYPE",
    "TWIML_EMPTY",
    "BlockLog",
    "CodeEntry",
    "ConsentsGateway",
    "Credentials",
    "Form",
    "GatewayFactory",
    "HooksGateway",
    "PublicUrls",
    "SignatureVerifier",
    "SinksGateway",
    "TwilioGateway",
    "callback_verdict",
    "create_outcome",
    "events_from_json",
    "failure_from_form",
    "inbound_from_form",
    "is_json",
    "is_sid",
    "names_body",
    "parse_form",
    "parse_json",
    "receipt_from_form",
    "twiml",
]
