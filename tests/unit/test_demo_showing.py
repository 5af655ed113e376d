"""What a demo prints where nothing can be shown in place."""

from datetime import timedelta
from io import StringIO

from rich.console import Console

from sender.local.demo.showing import ConsoleView
from sender.local.demo.view import Figures


def figures(elapsed: float, sent: int) -> Figures:
    """A hundred recipients, some of them sent to."""
    return Figures(
        elapsed=timedelta(seconds=elapsed),
        recipients=100,
        states={"sent": sent, "pending": 95 - sent, "suppressed": 5},
        stops=3,
        stops_enforced=2,
        incidents=1,
    )


def shown(*, terminal: bool) -> str:
    """What a console shows of a short run."""
    output = StringIO()
    view = ConsoleView(Console(file=output, force_terminal=terminal, width=100))
    view.step("starting")
    view.progress(figures(0.0, 0))
    view.progress(figures(1.0, 50))
    view.note("something happened")
    view.close()
    return output.getvalue()


def test_a_pipe_gets_plain_lines() -> None:
    """Steps with their time, at most one line of figures a second, no control characters."""
    first, second, third = shown(terminal=False).splitlines()
    assert first.startswith("starting … 0.")
    assert "sent 0" in second
    assert "STOPs 3  enforced 2" in second
    assert third == "something happened"


def test_a_terminal_gets_the_figures_in_place() -> None:
    """Rate and time left are those of the last seconds."""
    output = shown(terminal=True)
    assert "a second 50" in output
    assert "left 1 s" in output
