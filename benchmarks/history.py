"""What a provider was asked for, compact enough for millions of messages: 24 bytes each."""

import time
from array import array
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Self
from zlib import crc32

#: The head of `History.packed`: how many requests follow, as three columns.
_HEAD = 8


@dataclass(slots=True)
class History:
    """Every create request since the last reset, in order of arrival."""

    #: E.164 digits of each recipient.
    recipients: "array[int]" = field(default_factory=lambda: array("Q"))
    #: A digest of each body.
    bodies: "array[int]" = field(default_factory=lambda: array("Q"))
    #: When each had arrived whole; Unix time.
    times: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, recipient: int, body: bytes) -> None:
        """Note a request; on the provider's hot path."""
        self.recipients.append(recipient)
        self.bodies.append(crc32(body))
        self.times.append(time.time())

    def __len__(self) -> int:
        return len(self.recipients)

    @property
    def doubles(self) -> int:
        """How many requests were for a recipient and body that had been asked for before."""
        return len(self) - len(set(zip(self.recipients, self.bodies, strict=True)))

    def to(self, people: Collection[int]) -> int:
        """How many requests were for any of these people."""
        return sum(recipient in people for recipient in self.recipients)

    def most_in(self, seconds: float) -> int:
        """The largest number of requests that began in one stretch of so many seconds."""
        counted = Counter(int(at / seconds) for at in self.times)
        return max(counted.values(), default=0)

    def packed(self) -> bytes:
        """All of it, for another process of this machine."""
        head = array("Q", [len(self)])
        return b"".join(
            (head.tobytes(), self.recipients.tobytes(), self.bodies.tobytes(), self.times.tobytes())
        )

    @classmethod
    def from_packed(cls, packed: bytes) -> Self:
        """What `packed` gave."""
        count = array("Q", packed[:_HEAD])[0]
        history, size = cls(), count * _HEAD
        history.recipients.frombytes(packed[_HEAD : _HEAD + size])
        history.bodies.frombytes(packed[_HEAD + size : _HEAD + 2 * size])
        history.times.frombytes(packed[_HEAD + 2 * size :])
        return history
