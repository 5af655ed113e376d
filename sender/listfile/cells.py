"""Cells that no spreadsheet takes for a formula, and back.

A cell that begins with one of ``= + - @``, a tab or a line end is a formula to Excel and its kin
(owasp.org/www-community/attacks/CSV_Injection). Such a text gets an apostrophe in front, which
spreadsheets take for "text"; one that has apostrophes there already gets one more, so that taking
one away restores it.
"""

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_GUARDED = re.compile(r"''*[=+\-@\t\r\n]")


def guarded(text: str) -> str:
    """The text as a cell that is no formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def without_guard(cell: str) -> str:
    """The text that was guarded; any other cell as it is."""
    return cell[1:] if _GUARDED.match(cell) else cell
