"""What makes tampering with the consent log show: digests over it, each over the one before.

The log holds no words of a person. Those stand beside it, and the log holds a salted digest of
them: whoever kept a copy can prove what was said, and when they are erased, nothing can be
guessed back (the salt goes with them) while every digest in the chain stays right.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256

#: Enough that the digest of a single word says nothing.
SALT_BYTES = 16

#: What the first link is chained to.
GENESIS = bytes(32)

#: How many bytes tell the length of what follows, so that no two lists of rows look alike.
_LENGTH_BYTES = 8


def evidence_digest(salt: bytes, content: Mapping[str, str]) -> bytes:
    """SHA-256 over the salt and the content as canonical JSON (sorted, no spaces, UTF-8)."""
    return sha256(salt + _canonical(content)).digest()


def link_digest(previous: bytes, rows: Iterable[Mapping[str, object]]) -> bytes:
    """The digest of a link: SHA-256 over the one before it and each row, in this order.

    Args:
        previous: the digest of the link before, ``GENESIS`` for the first.
        rows: column names to text, integers, aware times, bytes or nothing. Read once, as they
            come: a link may seal an import of a million events.
    """
    digest = sha256(previous)
    for row in rows:
        canonical = _canonical({name: _plain(value) for name, value in row.items()})
        digest.update(len(canonical).to_bytes(_LENGTH_BYTES))
        digest.update(canonical)
    return digest.digest()


def _canonical(content: Mapping[str, object]) -> bytes:
    """One spelling for one content, whatever the order of its names and the clock's zone."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return value
