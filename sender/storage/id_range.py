"""The range that some messages' ids lie in: what spares Postgres the other months.

Whoever looks messages up by their ids in a join leaves the planner with every month there is, and
each costs planning and opening although no row of it is asked for. The range says the same once
more, as values: Postgres plans for the months in it and never hears of the others.
"""

from collections.abc import Collection
from uuid import UUID

#: SQL that is true of every row ``m`` that is asked for; to be said of each mention of messages.
WITHIN = "m.id BETWEEN CAST(:lowest AS uuid) AND CAST(:highest AS uuid)"


def bounds(ids: Collection[UUID]) -> dict[str, UUID | None]:
    """The values for it. Of no ids: a range in which nothing lies."""
    return {"lowest": min(ids, default=None), "highest": max(ids, default=None)}
