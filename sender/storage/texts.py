"""Text from outside, made so that Postgres can hold it."""

from collections.abc import Mapping


def storable(text: str) -> str:
    """The text with a visible sign for each NUL and ``?`` for half a surrogate pair.

    Postgres can hold neither, and refusing the value would lose what stands around it: a STOP,
    or a whole audience for one of its rows.
    """
    return text.replace("\x00", "\N{SYMBOL FOR NULL}").encode(errors="replace").decode()


def storable_texts(texts: Mapping[str, str]) -> dict[str, str]:
    """The same for names and values."""
    return {storable(name): storable(value) for name, value in texts.items()}
