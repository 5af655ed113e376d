"""The clock of a window's limits: it counts a host's sleep, and nothing beside it is compared."""

import ast
import time

import pytest

from sender.send_clock import send_clock
from tests.unit.test_import_arrows import modules


def test_it_counts_the_hosts_sleep() -> None:
    """Its time is the one since the host was booted, asleep or not."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    before = time.clock_gettime(clock)
    assert before <= send_clock() <= time.clock_gettime(clock)


@pytest.mark.parametrize(
    "name",
    [
        *("sender.budgets", "sender.experience", "sender.inflight", "sender.sending"),
        *("sender.gateway.client", "sender.gateway.consents", "sender.gateway.transport"),
    ],
)
def test_no_other_clock_beside_it(name: str) -> None:
    """Where its times are taken or compared, the clock that stands still is not even imported."""
    calls = (node for node in ast.walk(modules()[name].tree()) if isinstance(node, ast.Attribute))
    assert "monotonic" not in {call.attr for call in calls}
    assert "time" not in modules()[name].imports()
