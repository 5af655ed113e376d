"""The bytes of a CSV as text: Excel, phones and databases save in different encodings."""

import codecs
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO, BinaryIO, Self, cast

from sender.errors import InvalidAudience

# Windows-1252 is what Excel writes in Western locales. Nothing can tell it from its relatives,
# but they agree on all that a phone number is made of.
_GUESSES = ("utf-8-sig", "cp1252")
#: Opens the bytes at their start.
_Reading = Callable[[], AbstractContextManager[BinaryIO]]

_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, kw_only=True)
class CsvSource:
    """A file whose encoding is known and that can be read from its start again and again."""

    encoding: str
    _bytes: _Reading

    @classmethod
    def from_source(cls, source: str | PathLike[str] | IO[str] | IO[bytes]) -> Self:
        """Find out the encoding: one pass over the file, about 1 s for 300 MB.

        Raises:
            InvalidAudience: The bytes are text in none of the encodings we know.
            OSError: The path cannot be read.
        """
        if isinstance(source, str | PathLike):
            reading = _opening(Path(source))
        else:
            reading = _rewinding(source)
        with reading() as file:
            return cls(encoding=_encoding_of(file), _bytes=reading)

    @contextmanager
    def open(self) -> Iterator[IO[str]]:
        """Open the text with its line ends as they are, as the csv module wants it."""
        with self._bytes() as file:
            text = io.TextIOWrapper(file, encoding=self.encoding, errors="replace", newline="")
            try:
                yield text
            finally:
                text.detach()  # or the wrapper would close a file that is the caller's


def _opening(path: Path) -> _Reading:
    return lambda: path.open("rb")


def _rewinding(source: IO[str] | IO[bytes]) -> _Reading:
    """Readings of an open file from where it stands now; closing it stays with the caller."""
    file = _rewindable(source)
    start = file.tell()

    def reading() -> AbstractContextManager[BinaryIO]:
        file.seek(start)
        return nullcontext(file)

    return reading


def _rewindable(source: IO[str] | IO[bytes]) -> BinaryIO:
    if not isinstance(source, io.TextIOBase) and source.seekable():
        return cast("BinaryIO", source)
    content = source.read()
    return io.BytesIO(content.encode(errors="replace") if isinstance(content, str) else content)


def _encoding_of(file: BinaryIO) -> str:
    start = file.tell()
    if file.read(2) in _UTF_16_MARKS:
        return "utf-16"
    broken = 0
    for encoding in _GUESSES:
        file.seek(start)
        found = _first_undecodable_line(file, encoding)
        if not found:
            return encoding
        broken = broken or found
    raise InvalidAudience(
        f"line {broken} is neither UTF-8 nor Windows-1252: save the file as UTF-8"
    )


def _first_undecodable_line(file: BinaryIO, encoding: str) -> int:
    for number, line in enumerate(file, 1):
        try:
            line.decode(encoding)
        except UnicodeDecodeError:
            return number
    return 0
