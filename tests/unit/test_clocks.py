"""Which of our modules look at the wall clock, and what for: no lease and no deadline does.

A host whose clock is stepped by an hour may tell the wrong time; it must not wait, give up, take
over or begin by it. Those go by Postgres's clock, or by the monotonic one.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.unit.test_import_arrows import Module, modules

#: Module → what it tells by the wall clock.
TELLS_THE_TIME = {
    "sender.alerting": "the time in the signature of an alert that is posted",
    "sender.campaigns": "when a campaign was made, and whether a start that was asked for is past",
    "sender.clocks": "how far Postgres's clock is from Twilio's",
    "sender.forwarding": "the time in the signature of a text that is posted",
    "sender.gateway.answers": "how far Twilio's clock is from ours",
    "sender.gateway.client": "when a request began, to be put beside a STOP's time",
    "sender.gateway.transport": "the same, once its connection is in hand",
    "sender.listfile.reading": "whether a date in a list lies in the future",
    "sender.mirroring": "a number that grows from one rebuild of the set to the next",
    "sender.optouts": "when an operator added or lifted an entry",
    "sender.receipts": "a time for what was never guarded here, after a restore or by others",
    "sender.streaming": "a time for a block whose event does not say it",
}
#: Not the system itself.
OTHERS = frozenset({"sender.simulator", "sender.local", "sender.cli"})


def _looks(module: Module) -> Iterator[str]:
    """The module's calls to a wall clock."""
    calls = (node.func for node in ast.walk(module.tree()) if isinstance(node, ast.Call))
    for called in calls:
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            name = f"{called.value.id}.{called.attr}"
            if name in {"datetime.now", "datetime.utcnow", "time.time", "time.time_ns"}:
                yield name


@pytest.mark.parametrize(
    "module",
    [one for one in modules().values() if one.part not in OTHERS],
    ids=lambda one: one.name,
)
def test_nothing_waits_by_the_wall_clock(module: Module) -> None:
    """Only modules that are listed, with what they tell, look at it."""
    assert bool([*_looks(module)]) == (module.name in TELLS_THE_TIME)
