"""A demo on a console: lines that stay, and on a terminal a bar that moves below them."""

import time
from dataclasses import dataclass, field

from rich.columns import Columns
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sender.local.demo.view import Figures

#: Where nothing can be shown in place, a line is printed this often.
_LINE_EVERY_SECONDS = 1.0
#: The rate shown is that of the last seconds.
_RATE_OVER_SECONDS = 3.0


@dataclass
class _Rate:
    """Messages a second over the last seconds."""

    _seen: list[tuple[float, int]] = field(default_factory=list)

    def of(self, figures: Figures) -> float:
        now = figures.elapsed.total_seconds()
        self._seen.append((now, figures.over))
        self._seen = [one for one in self._seen if one[0] >= now - _RATE_OVER_SECONDS]
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        return (after - before) / (last - first) if last > first else 0.0


@dataclass
class ConsoleView:
    """Shows a demo on a console, in place where the console is a terminal."""

    console: Console
    _rate: _Rate = field(default_factory=_Rate)
    _step: tuple[str, float] | None = None
    _live: Live | None = None
    _said_at: float = 0.0

    def step(self, what: str) -> None:
        """Say what begins; how long it took is said when it is over."""
        self._end_step()
        self._step = what, time.monotonic()
        if self.console.is_terminal:
            self._show(Text(f"{what} …"))

    def progress(self, figures: Figures) -> None:
        """Show the figures: in place, or as a line a second."""
        self._end_step()
        parts = _summary(figures, self._rate.of(figures))
        if self.console.is_terminal:
            picture = Table.grid(expand=True)
            picture.add_row(ProgressBar(total=figures.recipients, completed=figures.over))
            picture.add_row(Columns(map(Text, parts), padding=(0, 3)))
            self._show(picture)
        else:
            seconds = figures.elapsed.total_seconds()
            self._say_now_and_then("  ".join((f"{seconds:5.1f} s", *parts)))

    def waiting(self, what: str) -> None:
        """Show what is awaited: in place, or as a line a second."""
        if self.console.is_terminal:
            self._show(Text(f"waiting for {what}"))
        else:
            self._say_now_and_then(f"waiting for {what}")

    def note(self, what: str) -> None:
        """Print a line that stays."""
        self._end_step()
        self._say(what)

    def close(self) -> None:
        """Take away what moves."""
        self._end_step()
        self._hide()

    def _end_step(self) -> None:
        if self._step:
            what, began = self._step
            self._step = None
            self._hide()
            self._say(f"{what} … {time.monotonic() - began:.1f} s")

    def _show(self, what: Text | Table) -> None:
        if self._live is None:
            # Transient: what moved is gone at the end, and the account takes its place.
            self._live = Live(console=self.console, transient=True)
            self._live.start()
        self._live.update(what)

    def _hide(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def _say_now_and_then(self, line: str) -> None:
        now = time.monotonic()
        if now - self._said_at >= _LINE_EVERY_SECONDS:
            self._said_at = now
            self._say(line)

    def _say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


def _summary(figures: Figures, rate: float) -> list[str]:
    open_ = figures.recipients - figures.over
    parts = {
        "sent": figures.sent,
        "delivered": figures.states.get("delivered", 0),
        "suppressed": figures.states.get("suppressed", 0),
        "21610": figures.incidents,
        "in doubt": figures.states.get("in_doubt", 0),
        "STOPs": figures.stops,
        "enforced": figures.stops_enforced,
        "a second": f"{rate:.0f}",
        "left": f"{open_ / rate:.0f} s" if rate else "?",
    }
    return [f"{name} {figure}" for name, figure in parts.items()]
