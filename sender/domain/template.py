"""The body template of a campaign: text with ``{field}`` places and nothing that evaluates.

``str.format`` would let whoever writes a body read attributes (``{x.__class__}``) and indexes of
what we pass in. Here a place is a field's name and nothing else, and a value is never looked at
again once it stands in the body.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from sender.domain.segments import MAX_CHARACTERS

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NOT_IN_A_NAME = re.compile(r"[\W_]+")
_NAME = re.compile(r"[\w -]+")
_ESCAPES = {"{{": "{", "}}": "}"}


class TemplateError(ValueError):
    """A body that cannot be used; the message says what to change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    field: str


@dataclass(frozen=True, kw_only=True)
class Template:
    """A parsed body. ``{first_name}`` is a place; ``{{`` and ``}}`` are literal braces."""

    text: str
    #: The names of the fields the body uses, as `field_name` writes them.
    fields: frozenset[str]
    _parts: tuple[str | _Place, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a body.

        Raises:
            TemplateError: Empty, a brace that is not closed or not doubled, something other than
                a name between braces, or more literal text than any message may have.
        """
        if not text.strip():
            raise TemplateError("the body is empty")
        parts = tuple(_parts(text))
        _refuse_too_long(sum(len(part) for part in parts if isinstance(part, str)))
        fields = frozenset(part.field for part in parts if isinstance(part, _Place))
        return cls(text=text, fields=fields, _parts=parts)

    def require(self, available: Iterable[str]) -> None:
        """Check, before a campaign exists, that an audience has all the fields the body uses.

        Raises:
            TemplateError: It has not; the message lists those it has.
        """
        have = frozenset(available)
        if missing := self.fields - have:
            raise TemplateError(
                f"the body uses {_listed(missing)}, but the audience has {_listed(have)}"
            )

    def render(self, values: Mapping[str, str]) -> str:
        """Fill the places. Values are text: braces in them stay what they are.

        Raises:
            TemplateError: A field is missing, or the result is empty or longer than
                `MAX_CHARACTERS`.
        """
        if not self.fields <= values.keys():
            self.require(values)
        body = "".join(
            part if isinstance(part, str) else values[part.field] for part in self._parts
        )
        if not body.strip():
            raise TemplateError("the body is empty once its fields are filled in")
        _refuse_too_long(len(body))
        return body


def field_name(header: str) -> str:
    """Write a column's header as a field: ``First Name`` becomes ``first_name``.

    Letters and digits of any script stay; everything else becomes one underscore.
    """
    plain = unicodedata.normalize("NFKC", header).casefold()
    return _NOT_IN_A_NAME.sub("_", plain).strip("_")


def _parts(text: str) -> Iterable[str | _Place]:
    end = 0
    for token in _TOKEN.finditer(text):
        if token.start() > end:
            yield text[end : token.start()]
        yield _ESCAPES.get(token[0]) or _place(token, text)
        end = token.end()
    if end < len(text):
        yield text[end:]


def _place(token: re.Match[str], text: str) -> _Place:
    inside = token[1]
    if inside is None:
        near = text[max(0, token.start() - 10) : token.end() + 10]
        raise TemplateError(f"a single {token[0]} near {near!r}: write it twice to mean the brace")
    name = field_name(inside)
    if not name or not _NAME.fullmatch(inside):
        raise TemplateError(f"{token[0]} is not a field: only a name may stand between braces")
    return _Place(field=name)


def _refuse_too_long(characters: int) -> None:
    if characters > MAX_CHARACTERS:
        raise TemplateError(
            f"the body has {characters} characters; Twilio takes {MAX_CHARACTERS} at most"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names)) or "no fields"
