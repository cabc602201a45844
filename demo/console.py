"""What the demo prints."""

from __future__ import annotations

import sys
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BOLD, _PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


def heading(text: str) -> None:
    """Start a new part."""
    print(f"\n{_BOLD}==> {text}{_PLAIN}", flush=True)


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(f"    {text}", flush=True)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows in columns; numbers are set to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(header, *cells, strict=True)]
    numbers = [bool(cells) and all(_is_number(row[i]) for row in cells) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        return "  ".join(
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(row, widths, numbers, strict=True)
        ).rstrip()

    say(line(header))
    say("  ".join("-" * width for width in widths))
    for row in cells:
        say(line(row))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").isdigit()
