"""The account of a demo on a console, for people."""

from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sender.local.demo.account import Account

_SHOWN = 5


def print_account(account: Account, console: Console) -> None:
    """Print everything there is to know, the verdict last."""
    tables = (_rows(account), _states(account), _stops(account), _incidents(account))
    for table in tables:
        console.print(table)
    _print_examples(account, console)
    _print_verdict(account, console)


def _rows(account: Account) -> Table:
    """The audience file: file rows = recipients + duplicates + rejected."""
    table = _table("Audience file", "rows", "count")
    table.add_row("file rows", f"{account.file_rows}")
    table.add_row("= recipients", f"{account.recipients}")
    table.add_row("+ duplicates in another spelling", f"{account.duplicates}")
    table.add_row("+ rejected", f"{sum(account.rejected.values())}")
    _add(table, account.rejected, indent="    ")
    return table


def _states(account: Account) -> Table:
    table = _table("Messages", "final state, reason", "count")
    for state, count in sorted(account.states.items()):
        table.add_row(state, f"{count}")
        _add(table, account.reasons[state], indent="    ")
    return table


def _stops(account: Account) -> Table:
    stops = account.stops
    table = _table("STOPs", "when it came, its message was", "count")
    _add(table, {state.value: count for state, count in stops.by_state.items()})
    table.add_section()
    table.add_row("received", f"{stops.received}")
    table.add_row("answered 200", f"{stops.acknowledged}")
    table.add_row("attempts answered 503 (not enforced yet)", f"{stops.answered_503}")
    table.add_row("opt-outs enforced, all sources", f"{stops.enforced}")
    table.add_row("unenforced at the end", f"{stops.unenforced}")
    table.add_row("answered START later", f"{stops.started}")
    table.add_row("    lifted by it", f"{stops.lifted}")
    return table


def _incidents(account: Account) -> Table:
    incidents = account.incidents
    table = _table("Incidents (21610)", "cause", "count")
    _add(table, incidents.by_cause)
    table.add_section()
    _add(table, {f"at {door}": count for door, count in incidents.by_door.items()})
    if incidents.raced_by_ms:
        shortest, longest = incidents.raced_by_ms
        table.add_row("raced a STOP by", f"{shortest:.0f} to {longest:.0f} ms")
    return table


def _table(title: str, what: str, count: str) -> Table:
    table = Table(title=title, title_justify="left", min_width=60)
    table.add_column(what)
    table.add_column(count, justify="right")
    return table


def _add(table: Table, counts: Mapping[str, int], *, indent: str = "") -> None:
    for name, count in sorted(counts.items()):
        table.add_row(f"{indent}{escape(name)}", f"{count}")


def _print_examples(account: Account, console: Console) -> None:
    lines = [f"line {row.line}: {row.value!r} {row.reason}" for row in account.left_out[:_SHOWN]]
    _print_lines("Rejected, for example:", lines, console)
    found = account.findings[:_SHOWN]
    lines = [f"{one.kind} {one.subject} {one.detail}" for one in found]
    _print_lines("Unexplained, for example:", lines, console)


def _print_lines(title: str, lines: Iterable[str], console: Console) -> None:
    for number, line in enumerate(lines):
        if not number:
            console.print(title)
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def _print_verdict(account: Account, console: Console) -> None:
    seconds = account.duration.total_seconds()
    console.print(
        f"{account.requests} requests in {seconds:.1f} s: "
        f"{account.messages_per_second:.0f} messages a second"
    )
    console.print(
        f"leaks {len(account.leaks)}, sent twice {account.sent_twice}, "
        f"unexplained {len(account.findings)}, unenforced {account.stops.unenforced}"
    )
    if account.kept:
        console.print("[bold green]Every promise was kept.[/]")
    for words in account.broken:
        console.print(f"[bold red]BROKEN[/] {escape(words)}")
