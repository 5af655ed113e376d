"""Whether we answer an inbound message ourselves, and with which text.

Off by default, and only in the answer to the webhook (TwiML), never by a request of our own:
Twilio would refuse that one to a person who just opted out. Where Twilio or the carrier replies
by itself, a text of ours would be the second one.

========================== ============================ =====================================
Sent to                    keyword of Twilio's          opt-out in other words
========================== ============================ =====================================
long code, service         Twilio replies               nobody does: we may
toll-free                  the network replies          nobody does: we may
short code                 nobody does (with Advanced   nobody does: we may
                           Opt-Out Twilio does, and
                           then names the type)
========================== ============================ =====================================

Sources: twilio.com/docs/messaging/tutorials/advanced-opt-out; 47 CFR 64.1200(a)(12): one text that
confirms an opt-out, within five minutes, without marketing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sender.domain.consent import CLOSED_BY_START, ReasonClass
from sender.domain.keywords import Keyword
from sender.domain.phone import SenderKind

#: After this a confirmation is presumed to be no confirmation any more.
CONFIRM_WITHIN = timedelta(minutes=5)


class ReplyEvent(StrEnum):
    """What is answered; a sender has one text for each, or none."""

    #: A person has just opted out, by keyword or in their own words.
    STOP = "stop"
    #: A person who was opted out opts in again.
    START = "start"
    #: HELP or INFO from somebody who is not opted out.
    HELP = "help"


_EVENTS = {
    Keyword.STOP: ReplyEvent.STOP,
    Keyword.FREE_TEXT: ReplyEvent.STOP,
    Keyword.START: ReplyEvent.START,
    Keyword.HELP: ReplyEvent.HELP,
}


@dataclass(frozen=True, kw_only=True)
class Heard:
    """An inbound message as far as the answer depends on it."""

    keyword: Keyword
    #: What the address is that it was sent to; ``None`` for one that is no sender's.
    kind: SenderKind | None
    #: Whether Twilio said which keyword it is: then Advanced Opt-Out is on, and replies.
    typed_by_provider: bool
    #: Whether the body is one of Twilio's own keywords.
    provider_keyword: bool
    #: Why the person was suppressed before this message.
    before: frozenset[ReasonClass]


def answers_itself(heard: Heard) -> bool:
    """Whether Twilio or the carrier replies to this message."""
    if heard.typed_by_provider:
        return True
    handled = {SenderKind.LONG_CODE, SenderKind.TOLL_FREE, SenderKind.MESSAGING_SERVICE}
    return heard.provider_keyword and heard.kind in handled


def reply(heard: Heard, texts: Mapping[ReplyEvent, str]) -> str:
    """The text to answer with; empty for none.

    Args:
        heard: what came.
        texts: the sender's texts; without one for the event nothing is said.
    """
    event = _EVENTS.get(heard.keyword)
    if event is None or answers_itself(heard) or not _is_due(event, heard.before):
        return ""
    return texts.get(event, "")


def _is_due(event: ReplyEvent, before: frozenset[ReasonClass]) -> bool:
    """One text for each event: who is opted out already hears nothing more.

    A START is confirmed only where it lifts everything: nobody is welcomed who stays suppressed.
    """
    if event is ReplyEvent.START:
        return bool(before) and before <= CLOSED_BY_START
    return not before
