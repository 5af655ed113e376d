"""Draws what the benches wrote: ``python -m benchmarks.plots`` (`make plots`).

From ``build/speed.json`` (`make bench`) and ``build/rest.json`` (`make bench-rest`) into ``docs/``;
what was not run is not drawn. The files hold the figures and nothing of the machine or the moment,
so that the same figures give the same files.
"""

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

#: Kinds of processes, in the order in which they are stacked.
_KINDS = ("sender", "postgres", "redis", "others", "app")
_COLOURS = {
    "sender": "#35618f",
    "app": "#35618f",
    "postgres": "#8cb369",
    "redis": "#d1495b",
    "others": "#b0b0b0",
}
#: Its bar would be thirty times as long as the others.
_NAIVE = "naive"
#: No date, no random ids: the same figures give the same file.
_SVG = {"svg.hashsalt": "benchmarks", "svg.fonttype": "path", "font.size": 9}
_METADATA = {"Date": None, "Creator": None}


def main() -> int:
    """Draw what there is; 1 if there is nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=Path, default=Path("build"))
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    given = parser.parse_args()
    drawn = []
    with mpl.rc_context(_SVG):
        if speed := _read(given.figures / "speed.json"):
            drawn += _draw_speed(speed, given.docs)
        if rest := _read(given.figures / "rest.json"):
            drawn += _draw_rest(rest, given.docs)
    for path in drawn:
        print(path)
    if not drawn:
        print("nothing to draw: run `make bench` or `make bench-rest`", file=sys.stderr)
    return int(not drawn)


def _read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def _draw_speed(speed: Mapping[str, Any], docs: Path) -> list[Path]:
    rates: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    costs: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
    for one in speed["rounds"]:
        for case, measured in one["cases"].items():
            if not measured["void"]:
                rates[one["point"]][case].append(measured["messages_a_second"])
                if not case.startswith(_NAIVE):
                    costs[f"{case}\n{one['point']}"].append(measured["cpu_us_a_message"])
    return [
        _save(_rates_of(rates), docs / "throughput.svg"),
        _save(_stacked("CPU a message (µs, median)", costs), docs / "cpu.svg"),
    ]


def _rates_of(rates: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """A panel for each operating point, a bar for each case, from its least to its most a line."""
    figure = Figure(figsize=(8, 0.6 + 0.45 * sum(len(cases) for cases in rates.values())))
    panels = figure.subplots(
        len(rates), 1, squeeze=False, height_ratios=[len(cases) for cases in rates.values()]
    )
    for panel, (point, cases) in zip(panels[:, 0], rates.items(), strict=True):
        names = list(cases)[::-1]
        medians = [statistics.median(cases[name]) for name in names]
        spread = [
            [middle - min(cases[name]) for name, middle in zip(names, medians, strict=True)],
            [max(cases[name]) - middle for name, middle in zip(names, medians, strict=True)],
        ]
        bars = panel.barh(names, medians, xerr=spread, color=_COLOURS["sender"], ecolor="#222222")
        panel.bar_label(bars, fmt="{:,.0f}", padding=4)
        panel.set_title(f"messages a second: {point}", loc="left")
        panel.margins(x=0.12)
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def _stacked(title: str, costs: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """A bar for each, of what each kind of process used."""
    figure = Figure(figsize=(8, 0.8 + 0.42 * len(costs)))
    panel = figure.subplots()
    names = list(costs)[::-1]
    left = [0.0] * len(names)
    for kind in _KINDS:
        used = [_median(costs[name], kind) for name in names]
        if any(used):
            panel.barh(names, used, left=left, label=kind, color=_COLOURS[kind])
            left = [before + more for before, more in zip(left, used, strict=True)]
    panel.set_title(title, loc="left")
    panel.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    panel.spines[["top", "right"]].set_visible(False)
    return figure


def _median(costs: Sequence[Mapping[str, float]], kind: str) -> float:
    return statistics.median(one.get(kind, 0.0) for one in costs)


def _draw_rest(rest: Mapping[str, Any], docs: Path) -> list[Path]:
    webhooks = rest.get("webhooks")
    if not webhooks:
        return []
    names = {"callbacks": "status callback", "stops": "STOP, enforced"}
    costs = {name: [webhooks[kind]["cpu_us"]] for kind, name in names.items()}
    return [_save(_stacked("CPU a webhook (µs)", costs), docs / "webhooks.svg")]


def _save(figure: Figure, path: Path) -> Path:
    figure.tight_layout()
    figure.savefig(path, metadata=_METADATA)
    return path


if __name__ == "__main__":
    sys.exit(main())
