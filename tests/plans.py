"""How Postgres comes by its answers: the plan of every statement that runs, as it runs.

Statements are found by watching SQLAlchemy, not by a list that a new one could escape. Each is
explained right before it runs, in its own transaction and with its own values, and what that did
is rolled back to a savepoint: the plan is that of the real thing, with what it really touched.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, event

#: Each text is explained so often: the first time there may be nothing to find.
OFTEN = 3
_PLANNED = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A statement as it ran once."""

    #: What was going on.
    during: str
    statement: str
    root: Mapping[str, Any]

    def nodes(self) -> Iterator[Mapping[str, Any]]:
        """Every step of it, those that were never taken among them."""
        return _walk(self.root)

    def touched(self) -> Iterator[Mapping[str, Any]]:
        """The steps that were taken."""
        return (node for node in self.nodes() if node.get("Actual Loops"))

    def reads(self, table: str) -> bool:
        """Whether it plans for a table."""
        return any(node.get("Relation Name") == table for node in self.nodes())

    def __str__(self) -> str:
        lines = (f"    {line}" for line in self.statement.strip().splitlines())
        steps = (f"      {_line(node)}" for node in self.touched())
        return "\n".join([f"  during {self.during}:", *lines, "    by", *steps])


@dataclass
class Recorder:
    """Explains what runs while it records."""

    plans: list[Plan] = field(default_factory=list)
    _during: str = ""
    _seen: Counter[str] = field(default_factory=Counter)
    _explaining: bool = False

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """Record what runs in this block, on every engine."""
        self._during = what
        self._seen.clear()
        event.listen(Engine, "before_cursor_execute", self._explain)
        try:
            yield
        finally:
            event.remove(Engine, "before_cursor_execute", self._explain)

    def _explain(  # SQLAlchemy's signature
        self, conn: Connection, _cursor: Any, statement: str, values: Any, _context: Any, _many: Any
    ) -> None:
        # A lock of the session would be taken twice.
        is_planned = _PLANNED.match(statement) and "advisory" not in statement
        if not is_planned or self._seen[statement] >= OFTEN:
            return
        self._seen[statement] += 1
        connected = conn.connection.driver_connection
        assert connected is not None
        is_alone = connected.autocommit
        # Set back by hand: asynchronous connections have no such thing.
        driver = conn.connection.cursor()
        driver.execute("BEGIN" if is_alone else "SAVEPOINT plan")
        driver.execute(f"EXPLAIN (ANALYZE, VERBOSE, FORMAT JSON) {statement}", values)
        ((found,),) = driver.fetchall()
        driver.execute("ROLLBACK" if is_alone else "ROLLBACK TO SAVEPOINT plan")
        driver.close()
        plan = Plan(during=self._during, statement=statement, root=found[0]["Plan"])
        self.plans.append(plan)


def _walk(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for below in node.get("Plans", []):
        yield from _walk(below)


def _line(node: Mapping[str, Any]) -> str:
    told = [node["Node Type"], node.get("Relation Name", ""), node.get("Index Name", "")]
    removed = node.get("Rows Removed by Filter", 0)
    rows = f"{node['Actual Rows'] * node['Actual Loops']:.0f} rows, {removed} removed"
    return " ".join([*(one for one in told if one), rows])
