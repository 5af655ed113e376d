"""A storm: everything dies, and nobody is texted twice or after a STOP."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from random import randrange

import pytest

from tests.faults.storm.forecast import Forecast
from tests.faults.storm.weathering import weather

#: Repeats a storm: STORM_SEED=… pytest tests/faults/test_storm.py
SEED = int(os.environ.get("STORM_SEED") or randrange(1_000_000))
#: How long `make soak` goes on.
SOAK_SECONDS = float(os.environ.get("STORM_SECONDS") or 1_800)

#: pytest's `record_property`: what it is told is printed at the end.
Tell = Callable[[str, object], None]


def _withstand(folder: Path, forecast: Forecast, tell: Tell) -> None:
    """Run a storm, tell its totals, and hold it to the promises."""
    print(f"storm with seed {forecast.seed} begins", flush=True)  # noqa: T201  # if it hangs
    after = weather(folder, forecast)
    print(after, flush=True)  # noqa: T201
    tell("told", str(after))
    assert after.broken == ()
    assert after.inconclusive == ()
    assert after.totals["messages"] == forecast.people
    assert after.deaths >= forecast.kills


@pytest.mark.timeout(900)
def test_a_storm(tmp_path: Path, record_property: Tell) -> None:
    """Two thousand messages, twenty dead workers, every server lost: every promise is kept."""
    _withstand(tmp_path, Forecast(seed=SEED), record_property)


@pytest.mark.soak
def test_storm_after_storm(tmp_path: Path, record_property: Tell) -> None:
    """The same with new seeds, one after the other, for as long as asked."""
    end, seed = time.monotonic() + SOAK_SECONDS, SEED
    while time.monotonic() < end:
        forecast = Forecast(seed=seed, people=6_000, kills=40)
        _withstand(tmp_path / str(seed), forecast, record_property)
        shutil.rmtree(tmp_path / str(seed))
        seed += 1
