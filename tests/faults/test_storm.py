"""A storm: everything dies, and nobody is texted twice or after a STOP."""

import os
import time
from pathlib import Path
from random import randrange

import pytest

from tests.faults.storm.forecast import Forecast
from tests.faults.storm.weathering import weather

#: Repeats a storm: STORM_SEED=… pytest tests/faults/test_storm.py
SEED = int(os.environ.get("STORM_SEED") or randrange(1_000_000))
#: How long `make soak` goes on.
SOAK_SECONDS = float(os.environ.get("STORM_SECONDS") or 1_800)


def _withstand(folder: Path, forecast: Forecast) -> None:
    """Run a storm, print its totals, and hold it to the promises."""
    print(f"\nstorm with seed {forecast.seed} begins")  # noqa: T201  # a seed must be known
    after = weather(folder, forecast)
    print(after)  # noqa: T201
    assert after.broken == ()
    assert after.inconclusive == ()
    assert after.totals["messages"] == forecast.people


@pytest.mark.timeout(400)
def test_a_storm(tmp_path: Path) -> None:
    """Two thousand messages, twenty dead workers, every server lost: every promise is kept."""
    _withstand(tmp_path, Forecast(seed=SEED))


@pytest.mark.soak
def test_storm_after_storm(tmp_path: Path) -> None:
    """The same with new seeds, one after the other, for as long as asked."""
    end, seed = time.monotonic() + SOAK_SECONDS, SEED
    while time.monotonic() < end:
        _withstand(tmp_path / str(seed), Forecast(seed=seed, people=6_000, kills=40))
        seed += 1
