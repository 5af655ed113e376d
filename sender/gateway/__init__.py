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
from sender.gateway.transport import RECIPIENT_LOGGERS
from sender.gateway.webhooks import (
    TWIML_CONTENT_TYPE,
    TWIML_EMPTY,
    Form,
    SignatureVerifier,
    inbound_from_form,
    parse_form,
    receipt_from_form,
    twiml,
)

__all__ = [
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
    "SignatureVerifier",
    "TwilioGateway",
    "callback_verdict",
    "create_outcome",
    "inbound_from_form",
    "parse_form",
    "receipt_from_form",
    "twiml",
]
