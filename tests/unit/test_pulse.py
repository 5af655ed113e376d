"""What a worker's pulses say of it."""

from datetime import timedelta

import pytest

from sender.domain.pulse import Bounds, Signs, Verdict, judge

BOUNDS = Bounds(deaf=timedelta(seconds=120), stuck=timedelta(seconds=90))
HOUR = 3_600


def _signs(
    *,
    lives: bool = True,
    started: float = HOUR,
    sent: float | None = None,
    failed: float | None = None,
    heard: float | None = None,
) -> Signs:
    def ago(seconds: float | None) -> timedelta | None:
        return None if seconds is None else timedelta(seconds=seconds)

    return Signs(
        lives=lives,
        started=timedelta(seconds=started),
        sent=ago(sent),
        failed=ago(failed),
        heard=ago(heard),
    )


@pytest.mark.parametrize(
    ("signs", "verdict"),
    [
        pytest.param(_signs(sent=5, heard=5), Verdict.WELL, id="hears"),
        pytest.param(_signs(sent=5, heard=110), Verdict.WELL, id="a few pulses lost"),
        pytest.param(_signs(sent=5, heard=130), Verdict.DEAF, id="hears nothing any more"),
        pytest.param(_signs(sent=5), Verdict.DEAF, id="never heard anything"),
        pytest.param(_signs(sent=100, heard=100), Verdict.STUCK, id="tries nothing any more"),
        pytest.param(_signs(), Verdict.STUCK, id="never tried anything"),
        pytest.param(_signs(sent=100, failed=95, heard=100), Verdict.STUCK, id="gave up trying"),
        pytest.param(_signs(failed=5), Verdict.BROKER_AWAY, id="could never publish"),
        pytest.param(
            _signs(sent=200, failed=5, heard=200), Verdict.BROKER_AWAY, id="cannot publish now"
        ),
        pytest.param(
            _signs(sent=5, failed=20, heard=300), Verdict.WELL, id="the broker is just back"
        ),
        pytest.param(
            _signs(sent=5, failed=130, heard=300), Verdict.DEAF, id="back for long, and unheard"
        ),
        pytest.param(_signs(sent=5, failed=20), Verdict.STARTING, id="began while it was away"),
        pytest.param(_signs(started=3), Verdict.STARTING, id="has just begun"),
        pytest.param(_signs(started=60, sent=5), Verdict.STARTING, id="is young"),
        pytest.param(_signs(lives=False, sent=5, heard=5), Verdict.GONE, id="has ended"),
    ],
)
def test_the_verdict(signs: Signs, verdict: Verdict) -> None:
    """Facts in, verdict out."""
    assert judge(signs, BOUNDS) is verdict


def test_a_new_process_helps_only_some() -> None:
    """A worker is sick if another in its place would do better; without a broker none would."""
    assert {one for one in Verdict if one.is_sick} == {Verdict.DEAF, Verdict.STUCK, Verdict.GONE}
