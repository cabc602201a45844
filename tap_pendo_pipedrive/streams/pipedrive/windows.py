"""Read a long list that is sorted by update time in windows, several at once.

Pages of one list come one after the other, since each names the next. But `updated_since` is
inclusive and `updated_until` exclusive, so windows of time tile the list exactly. A row that is
edited meanwhile leaves its window for a later time than any bookmark of this run, where the next
run finds it, as with a walk in one piece.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import typing as t

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.prefetch import in_turn
from tap_pendo_pipedrive.streams.pipedrive.pages import LARGEST_PAGE

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_pendo_pipedrive.core.prefetch import Allowance
    from tap_pendo_pipedrive.streams.pipedrive.pages import Answered

#: Pages in a window: more would have to wait in memory, and fewer cost more requests, since a
#: window's last page is half empty on average.
FEWEST_PAGES: t.Final = 3
MOST_PAGES: t.Final = 5
#: Pages that must be left to make it worth the requests.
WORTH: t.Final = 5
#: A window may turn out to be long, and be cut again, so often.
DEEPEST: t.Final = 2
#: By how much a window may be longer or shorter than the one before.
CHANGE: t.Final = 4


#: Fetches the pages from one time to before another; None for no bound.
Walk = t.Callable[[dt.datetime | None, dt.datetime | None], "Iterator[Answered]"]


def read_in_windows(  # noqa: PLR0913 - named ones
    walk: Walk,
    start: dt.datetime | None,
    end: dt.datetime | None,
    *,
    allowance: Allowance,
    width: int,
    depth: int = 0,
) -> Iterator[Answered]:
    """Walk a list, and cut what is left of it into windows as soon as that is worth it.

    Args:
        walk: Fetches the pages of a window, in ascending order of update time.
        start: Rows from this time on.
        end: Rows before this time.
        allowance: Memory for pages that wait.
        width: Windows fetched at once.
        depth: How often this part of the list was cut already.

    Yields:
        The pages in order.
    """
    now = dt.datetime.now(timestamps.UTC).replace(microsecond=0)
    horizon = min(now, end) if end else now
    pages = walk(start, end)
    for page in pages:
        times = None if page.cursor is None or depth == DEEPEST or width == 1 else _times(page)
        if times is None or times[0] == times[1]:
            yield page
            continue
        first, last = times
        pace = (last - first).total_seconds()
        left = (horizon - last).total_seconds() / pace
        if left < WORTH:
            yield page
            continue
        # The last second goes on in the next page, so that it all belongs to the first window.
        yield _before(page, last)
        size = min(max(left / width, FEWEST_PAGES), MOST_PAGES)
        cuts = _Cuts(last, horizon, end, pace * size)
        deeper = functools.partial(
            read_in_windows, walk, allowance=allowance, width=width, depth=depth + 1
        )
        windows = (cuts.measure(low, high, size, deeper(low, high)) for low, high in cuts)
        yield from in_turn(windows, allowance, width)
        return


def _times(page: Answered) -> tuple[dt.datetime, dt.datetime] | None:
    """The seconds of a page's first and last row."""
    stamps = [next(page.stamps(), ""), next(page.stamps(backwards=True), "")]
    try:
        first, last = map(timestamps.parse, stamps)
    except ValueError:
        return None
    return first.replace(microsecond=0), last.replace(microsecond=0)


def _before(page: Answered, moment: dt.datetime) -> Answered:
    bound = timestamps.whole_seconds(moment).rstrip("Z")
    rows = [row for row in page.decode() if not (stamp := row["update_time"]) or stamp < bound]
    return dataclasses.replace(page, rows=rows)


class _Cuts:
    """Windows whose length follows how many rows the ones before turned out to hold."""

    def __init__(
        self, start: dt.datetime, horizon: dt.datetime, end: dt.datetime | None, seconds: float
    ) -> None:
        self._start = start
        self._horizon = horizon
        self._end = end
        self._seconds = seconds

    def __iter__(self) -> Iterator[tuple[dt.datetime, dt.datetime | None]]:
        low = self._start
        while True:
            length = dt.timedelta(seconds=max(1, round(self._seconds)))
            # The last window has the list's own end: rows may be newer than this machine's clock.
            if self._horizon - low < length * 1.5:
                yield low, self._end
                return
            yield low, low + length
            low += length

    def measure(
        self,
        low: dt.datetime,
        high: dt.datetime | None,
        size: float,
        pages: Iterator[Answered],
    ) -> Iterator[Answered]:
        """Hand out a window's pages and learn from their number."""
        rows = 0
        for page in pages:
            rows += LARGEST_PAGE if page.cursor else len(page.rows)
            yield page
        if high is not None:
            wanted = (high - low).total_seconds() * size * LARGEST_PAGE / max(rows, 1)
            self._seconds = min(max(wanted, self._seconds / CHANGE), self._seconds * CHANGE)
