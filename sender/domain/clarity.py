"""How sure it is that a text is an opt-out."""

from enum import IntEnum


class Clarity(IntEnum):
    """The surer, the greater."""

    NONE = 0
    #: A person must read it.
    DOUBTFUL = 1
    #: A reasonable person would have no doubt.
    CLEAR = 2
