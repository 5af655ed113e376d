"""What makes tampering with the consent log show: digests over it, each over the one before.

The log holds no words of a person. Those stand beside it, and the log holds a salted digest of
them: whoever kept a copy can prove what was said, and when they are erased, nothing can be
guessed back (the salt goes with them) while every digest in the chain stays right.
"""

import json
from collections.abc import Mapping
from hashlib import sha256

#: Enough that the digest of a single word says nothing.
SALT_BYTES = 16


def evidence_digest(salt: bytes, content: Mapping[str, str]) -> bytes:
    """SHA-256 over the salt and the content as canonical JSON (sorted, no spaces, UTF-8)."""
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256(salt + canonical.encode()).digest()
