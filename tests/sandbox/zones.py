"""Buckets of time: hours, and days, weeks, months and quarters of a time zone."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

HOUR_MS = 3_600_000
# Every change of every offset in use falls on a multiple of this.
STEP_MS = 900_000


class Calendar:
    """The calendar of a subscription: days start at its local midnight, hours are exact.

    Moments are milliseconds since 1970. A day is 23 or 25 hours long when the clocks change.
    Whether weeks start on Sunday is not documented; here they do.
    """

    def __init__(self, name: str) -> None:
        """Use a zone of the system's database, or of the package `tzdata`."""
        self.name = name
        self.zone = ZoneInfo(name)
        self._days: dict[int, int] = {}
        self._spans: dict[int, tuple[int, int, int]] = {}

    def local(self, moment: int) -> datetime:
        """The local time at a moment."""
        return datetime.fromtimestamp(moment // 1000, timezone.utc).astimezone(self.zone)

    def midnight(self, day: date) -> int:
        """The moment at which a date starts; where midnight is skipped, the first moment of it."""
        return int(datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp()) * 1000

    def start(self, period: str, moment: int) -> int:
        """Start of the bucket ("hour" or "day") that holds a moment."""
        if period == "hour":
            return moment - moment % HOUR_MS
        step = moment // STEP_MS
        found = self._days.get(step)
        if found is None:
            found = self._days[step] = self.midnight(self.local(moment).date())
        return found

    def end(self, period: str, start: int) -> int:
        """End (exclusive) of the bucket with this start."""
        return self.shift(period, start, 1)

    def shift(self, period: str, start: int, count: int) -> int:
        """Start of the bucket that lies this many buckets after the one with this start."""
        if period == "hour":
            return start + count * HOUR_MS
        return self.midnight(self.local(start).date() + timedelta(days=count))

    def buckets(self, period: str, first: int, end: int) -> list[int]:
        """Starts of the buckets from the one that holds `first` up to `end` (exclusive)."""
        starts = []
        start = self.start(period, first)
        while start < end:
            starts.append(start)
            start = self.shift(period, start, 1)
        return starts

    def spans(self, moment: int) -> tuple[int, int, int]:
        """Starts of the week, the month and the quarter that hold a moment."""
        day = self.start("day", moment)
        found = self._spans.get(day)
        if found is None:
            local = self.local(day).date()
            week = local - timedelta(days=(local.weekday() + 1) % 7)
            month = local.replace(day=1)
            quarter = month.replace(month=month.month - (month.month - 1) % 3)
            found = self.midnight(week), self.midnight(month), self.midnight(quarter)
            self._spans[day] = found
        return found
