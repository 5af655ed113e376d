"""Months for messages to come, made long before they are needed."""

from dataclasses import dataclass

import structlog

from sender.storage import partitions
from sender.storage.database import AsyncDatabase

log = structlog.get_logger(__name__)

#: How many months there are beside this one. A consumer may be away for as long.
AHEAD = 3


@dataclass(frozen=True, kw_only=True)
class Months:
    """Makes them. Any number may try, again and again."""

    db: AsyncDatabase

    async def make(self) -> int:
        """Make those that are missing, each in a transaction of its own; how many those were.

        Messages that came before their month did lie in the default partition, which becomes
        theirs first: they could not be there and in it.
        """
        if await self.db.run(partitions.has_strays):
            name = await self.db.run(partitions.adopt_strays)
            log.warning("months_came_late", kept_in=name or "message_default")
        made = sum([await self.db.run(partitions.make, ahead) for ahead in range(AHEAD + 1)])
        if made:
            log.info("months_made", months=made)
        return made
