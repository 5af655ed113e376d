"""The model's table: what is taken away, how far the search went, and the shortest way to harm."""

import sys

from tests.model.search import explore
from tests.model.variants import LONG_SCENARIOS, OURS, SCENARIOS, VARIANTS, WINDOWS, Variant


def _say(line: str = "") -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def show(variant: Variant) -> bool:
    """Print what a variant breaks, and how; whether it breaks what it should."""
    found = variant.explore()
    way = found.broken.get(variant.breaks)
    _say(f"\n{variant.name}  ({variant.scenario.name}, {found.states:,} states)")
    _say(f"    {variant.breaks.value}:" if way is not None else "    keeps every promise")
    for number, label in enumerate(way or (), start=1):
        _say(f"    {number:3}. {label}")
    if way == ():
        _say("         from the very beginning")
    return way is not None


def main() -> int:
    """Print it all; 1 if our design breaks a promise, or a variant keeps all of them."""
    _say("Our design, all orders of all steps:\n")
    kept = True
    for scenario in (*SCENARIOS, *LONG_SCENARIOS):
        found = explore(scenario, OURS)
        told = ", ".join(broken.value for broken in found.broken) or "every promise is kept"
        _say(f"    {scenario.name:40} {found.states:>8,} states   {told}")
        kept = kept and not found.broken
    _say("\n\nWithout one of its safeguards:")
    shown = [show(variant) for variant in VARIANTS]
    _say("\n\nThe windows we know of, with everything in place:")
    shown += [show(window) for window in WINDOWS]
    return 0 if kept and all(shown) else 1


if __name__ == "__main__":
    sys.exit(main())
