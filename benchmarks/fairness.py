"""What a large campaign on slow senders costs a small one: ``python -m benchmarks.fairness``.

Starts the whole system with two worker processes and a local Twilio on free ports. Ten-recipient
campaigns are timed from `enqueue` to the answer to their last message, round after round: first
alone, then beside a campaign of a million recipients at one slow sender and as many slow senders
more, each with a campaign of its own, as keep every bulk thread wanted. Prints one JSON object.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sender
from tests.acceptance.rig import System, running_system, until

SMALL = 10
#: Messages of each of the other slow senders: more than they can send meanwhile.
EACH = 2000
FAST, FAST_TOO = "+14155580001", "+14155580002"
#: How a small campaign is sent: the sender (``None``: the slow one of the large campaign), and
#: whether it is transactional.
KINDS: dict[str, tuple[str | None, bool]] = {
    "bulk": (FAST, False),
    "transactional": (FAST_TOO, True),
    "transactional_same_sender": (None, True),
}
#: The slow one sends ten messages in nine seconds; a machine that is busy needs longer.
PATIENCE_SECONDS = 120


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipients", type=int, default=1_000_000)
    parser.add_argument("--slow-senders", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    slow = [f"+1415557{n:04}" for n in range(asked.slow_senders)]
    with (
        tempfile.TemporaryDirectory(prefix="sender-bench-") as folder,
        running_system(Path(folder), numbers=[*slow, FAST, FAST_TOO]) as system,
    ):
        print(json.dumps(_measure(system, slow, asked), indent=2))


def _measure(system: System, slow: list[str], asked: argparse.Namespace) -> dict[str, object]:
    for address in (FAST, FAST_TOO):
        system.client.set_pace(address, 100)
    alone = _rounds(system, slow[0], asked.rounds)
    began = time.monotonic()
    large = _create(system, slow[0], "large", asked.recipients)
    loaded = time.monotonic() - began
    others = [_create(system, address, "large", EACH) for address in slow[1:]]
    before = _log_end(system)
    for campaign in (large, *others):
        campaign.enqueue()
    until(lambda: _senders(system, before) == set(slow), "all slow senders", PATIENCE_SECONDS)
    beside = _rounds(system, slow[0], asked.rounds)
    return {
        "recipients": asked.recipients,
        "slow_senders": len(slow),
        "rounds": asked.rounds,
        "load_s": round(loaded, 1),
        "seconds": {
            kind: {
                "alone": _figures(alone[kind]),
                "beside": _figures(beside[kind]),
                "median_ratio": round(
                    statistics.median(beside[kind]) / statistics.median(alone[kind]), 2
                ),
            }
            for kind in KINDS
        },
        "large_pending": large.progress().states["pending"],
    }


def _figures(seconds: list[float]) -> dict[str, float | list[float]]:
    every = [round(one, 2) for one in seconds]
    return {"median": round(statistics.median(seconds), 2), "every": every}


def _rounds(system: System, slow: str, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for n in range(rounds):
        for kind, (address, transactional) in KINDS.items():
            body = f"{kind} {n} {time.time_ns()}"
            campaign = _create(system, address or slow, body, SMALL, transactional=transactional)
            found[kind].append(_seconds(system, campaign, body))
    return found


def _seconds(system: System, campaign: sender.Campaign, body: str) -> float:
    """From its enqueue to the answer to its last message."""
    before, began = _log_end(system), time.time()
    campaign.enqueue()

    def answered() -> list[float]:
        entries = _log_after(system, before)
        times = (one["answered_at"] for one in entries if one.get("body") == body)
        return [at for at in times if at is not None]

    until(lambda: len(answered()) == SMALL, body, PATIENCE_SECONDS)
    return max(answered()) - began


def _log_end(system: System) -> int:
    return int(system.simulator.ask("GET", "stats")["log_entries"])


def _log_after(system: System, seq: int) -> list[dict[str, Any]]:
    return list(system.simulator.ask("GET", f"log?after={seq}")["entries"])


def _senders(system: System, seq: int) -> set[str]:
    return {one["from"] for one in _log_after(system, seq) if one["kind"] == "create"}


def _create(
    system: System, address: str, body: str, size: int, *, transactional: bool = False
) -> sender.Campaign:
    return system.client.create_campaign(
        name=body,
        sender=address,
        body=body,
        audience=sender.from_iterable(_people(size)),
        transactional=transactional,
    )


def _people(size: int) -> Iterator[str]:
    """Valid numbers; nothing leaves this machine."""
    return (f"+{12_122_000_000 + n}" for n in range(size))


if __name__ == "__main__":
    main()
