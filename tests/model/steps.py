"""One step of an actor, and what it may break."""

from enum import StrEnum
from typing import NamedTuple

from tests.model.state import State


class Broken(StrEnum):
    """A promise that does not hold."""

    #: Promise 1: no request is begun once the STOP is enforced or acknowledged.
    BEGUN = "a request is begun after the STOP"
    #: More than promise 1 says: nor is one that was begun before accepted after it.
    ACCEPTED = "a request is accepted after the STOP"
    #: Promise 2: no STOP is acknowledged that is not stored.
    LOST = "a STOP is acknowledged and not stored"
    #: Promise 3: nobody is sent the same campaign twice.
    TWICE = "the text is accepted twice"
    #: Promise 3: what was or may have been sent is never sent again.
    BACK = "a row that may have been sent is pending again"
    #: Promise 4: an end can be reached from everywhere, without another fault's help.
    STUCK = "something waits for ever"


class Step(NamedTuple):
    """What an actor may do next."""

    label: str
    state: State
    #: It may never happen, so that nothing may wait for it: what goes wrong, and webhooks.
    fault: bool = False
    breaks: Broken | None = None
