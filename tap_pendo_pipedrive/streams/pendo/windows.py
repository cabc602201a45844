"""Cut time into windows of buckets that the aggregation can answer in its five minutes.

Hours are exact. Days are those of the subscription's time zone, which the API does not tell: they
begin at its midnight, so that they move with daylight saving. The start of a day is known as soon
as a row names it; noon of the days after it then lies within 24 hours' steps, on 23 and 25 hour
days too. Until then a window holds two days, so that no short one can hide between two steps.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from tap_pendo_pipedrive.streams.pendo.aggregation import Buckets

if t.TYPE_CHECKING:
    from collections.abc import Iterator

HOUR: t.Final = dt.timedelta(hours=1)
DAY: t.Final = dt.timedelta(days=1)
#: The longest day that daylight saving makes.
LONGEST_DAY: t.Final = dt.timedelta(hours=25)


@dataclasses.dataclass(frozen=True)
class Window:
    """Some buckets in a row.

    Attributes:
        period: ``hourRange`` or ``dayRange``.
        first: A time within the first bucket.
        count: Number of buckets.
    """

    period: str
    first: dt.datetime
    count: int

    @property
    def buckets(self) -> Buckets:
        """As the aggregation wants them."""
        return Buckets(self.period, int(self.first.timestamp() * 1000), self.count)

    @property
    def last(self) -> dt.datetime:
        """A time within the last bucket."""
        return self.first + (self.count - 1) * (HOUR if self.period == "hourRange" else DAY)

    def halves(self) -> tuple[Window, ...]:
        """Cut the window; one bucket cannot be cut."""
        if self.count == 1:
            return ()
        if self.period == "dayRange":
            # Two days whose start is not known: half a day's steps leave out neither.
            steps = (self.first + step * DAY / 2 for step in range(3))
            return tuple(dataclasses.replace(self, first=first, count=1) for first in steps)
        half = self.count // 2
        return (
            dataclasses.replace(self, count=half),
            dataclasses.replace(self, first=self.first + half * HOUR, count=self.count - half),
        )


class HourWindows:
    """Windows of hours, a day long; shorter where the API cannot answer that much.

    Args:
        start: A time within the first hour.
        end: Hours that begin at this time or later are left out.
        longest: Hours in a window at most.
    """

    def __init__(self, start: dt.datetime, end: dt.datetime, longest: int = 24) -> None:
        self._low = start.replace(minute=0, second=0, microsecond=0)
        self._end = end
        self._longest = longest
        self._size = longest

    def __iter__(self) -> Iterator[Window]:
        """Cut the next window, as long as the last ones turned out to be possible."""
        while self._low < self._end:
            left = -((self._low - self._end) // HOUR)
            window = Window("hourRange", self._low, min(self._size, left))
            self._low += window.count * HOUR
            yield window

    def failed(self, window: Window) -> None:
        """Take in that a window was too long."""
        self._size = max(1, min(self._size, window.count // 2))

    def succeeded(self, window: Window) -> None:
        """Take in that a window could be answered: the next ones may be longer again."""
        if window.count >= self._size:
            self._size = min(self._size * 2, self._longest)


class DayWindows:
    """Windows of one day.

    Args:
        start: A time within the first day.
        end: Days that begin at this time or later are left out.
    """

    def __init__(self, start: dt.datetime, end: dt.datetime) -> None:
        self._next = start
        self._end = end
        self._midnight: dt.datetime | None = None

    @property
    def is_anchored(self) -> bool:
        """Whether the start of a day is known, so that windows do not depend on each other."""
        return self._midnight is not None

    def __iter__(self) -> Iterator[Window]:
        """Cut the next window."""
        while self._next < self._end:
            window = Window("dayRange", self._next, 1 if self.is_anchored else 2)
            self._next += DAY
            yield window

    def learn(self, midnight: dt.datetime) -> None:
        """Take in the start of the last day that a row names, while none was known."""
        if self._midnight is None or midnight > self._midnight:
            self._midnight = midnight
            self._next = midnight + DAY + DAY / 2
