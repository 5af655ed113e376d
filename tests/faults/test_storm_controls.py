"""With one safeguard taken away, a small storm breaks its promise, and its aftermath says so.

Each runs a system of its own, with a few deaths and no disasters: enough to be caught.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from sender.local.demo import Substitutes
from sender.local.stack import Programs
from tests.acceptance.controls import duplicates_kept
from tests.faults.storm.aftermath import Aftermath
from tests.faults.storm.forecast import Forecast
from tests.faults.storm.weathering import weather

#: Two minutes of process starts: `make soak` runs them, `make test` runs the same controls in the
#: demo (tests/acceptance/test_negative_controls.py).
pytestmark = pytest.mark.soak

CONTROLS = "tests.acceptance.controls"
Weather = Callable[[Substitutes], Aftermath]


@pytest.fixture
def storm_with(tmp_path: Path) -> Weather:
    """A small storm with something of ours replaced."""

    def run(substitutes: Substitutes) -> Aftermath:
        return weather(
            tmp_path,
            Forecast(
                seed=7,
                people=240,
                kills=1,
                disasters=False,
                to_the_end=False,
                substitutes=substitutes,
            ),
        )

    return run


def test_without_the_guards_check(storm_with: Weather) -> None:
    """People whom Redis has forgotten are texted after their STOP."""
    after = storm_with(Substitutes(programs=Programs(celery_app=f"{CONTROLS}.no_guard")))
    assert len(after.account.leaks) >= 5


def test_without_the_stops_wait(storm_with: Weather) -> None:
    """Requests that were under way arrive after their STOP was answered."""
    programs = Programs(webhook_app=f"{CONTROLS}.no_wait:app", consumer=f"{CONTROLS}.no_wait")
    after = storm_with(Substitutes(programs=programs))
    assert len(after.account.leaks) >= 2


def test_with_doubts_sent_again(storm_with: Weather) -> None:
    """What a lost answer left in doubt is sent twice."""
    after = storm_with(Substitutes(programs=Programs(celery_app=f"{CONTROLS}.doubts_sent_again")))
    assert after.account.sent_twice >= 1


def test_with_duplicates_kept(storm_with: Weather) -> None:
    """Two spellings of a number are two texts."""
    substitutes = Substitutes(parts=duplicates_kept.PARTS, prepare=duplicates_kept.allow_duplicates)
    after = storm_with(substitutes)
    assert after.account.sent_twice >= 5
