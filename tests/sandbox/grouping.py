"""Rows of the event sources: activities grouped by bucket and every dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sandbox.events import GROUPED, UNTAGGED
from tests.sandbox.zones import HOUR_MS

if TYPE_CHECKING:
    from tests.sandbox.events import EventLog
    from tests.sandbox.zones import Calendar

# Application, object (page, feature, track type, guide), poll, the row as JSON.
Encoded = tuple[int, str, str, bytes]
# Encoded rows that are kept, at most; a long backfill does not fill the memory.
KEPT = 400_000


class Measures:
    """What is counted in a group."""

    __slots__ = ("dead", "errors", "first", "last", "minutes", "number", "rages", "turns")

    def __init__(self) -> None:
        self.number = self.errors = self.rages = self.turns = self.dead = self.last = 0
        self.first = 1 << 62
        self.minutes: set[int] = set()

    def count(self, moment: int, number: int) -> None:
        """Count the activity with this number; a few of them were frustrating."""
        self.number += 1
        self.first = min(moment, self.first)
        self.last = max(moment, self.last)
        self.minutes.add(moment // 60_000)
        kind = number % 97
        self.errors += kind == 3
        self.rages += kind == 5
        self.turns += kind == 7
        self.dead += kind == 11


class Buckets:
    """Groups activities on demand and keeps the result until it changes.

    Attributes:
        calendar: The subscription's calendar.
        rules: Page or feature id -> version of its rule; a new one decides anew, over the whole
            history, which activities are the object's.
    """

    def __init__(self, log: EventLog, calendar: Calendar) -> None:
        """Group the activities of a log."""
        self.log = log
        self.calendar = calendar
        self.rules: dict[str, int] = {}
        self._cache: dict[tuple[str, str, int], list[Encoded]] = {}
        self._kept = 0

    def forget(self) -> None:
        """Forget every group, after a change of rules or of the time zone."""
        self._cache.clear()
        self._kept = 0

    def refresh(self) -> None:
        """Forget the groups of the hours in which something new happened."""
        for hour in self.log.touched:
            for period, moments in (
                ("hour", (hour * HOUR_MS,)),
                # A day may start in the middle of an hour.
                ("day", (hour * HOUR_MS, (hour + 1) * HOUR_MS - 1)),
            ):
                for moment in moments:
                    start = self.calendar.start(period, moment)
                    for source in ("events", "pageEvents", "featureEvents", "trackEvents"):
                        self._kept -= len(self._cache.pop((source, period, start), ()))
        self.log.touched.clear()

    def matches(self, number: int, object_id: str) -> bool:
        """Whether the present rule of a page or feature covers the activity with this number."""
        version = self.rules.get(object_id, 0)
        return (number * 2_654_435_761 + version * 40_503) % 1000 < 850

    def rows(self, source: str, period: str, start: int) -> list[Encoded]:
        """The rows of a source in the bucket with this start, in no order that means anything."""
        if source not in GROUPED:
            return self._singles(source, start, self.calendar.end(period, start))
        self.refresh()
        key = source, period, start
        found = self._cache.get(key)
        if found is None:
            found = self._grouped(source, period, start)
            if self._kept + len(found) > KEPT:
                self.forget()
            self._cache[key] = found
            self._kept += len(found)
        return found

    def _singles(self, source: str, start: int, end: int) -> list[Encoded]:
        hours = self.log.singles[source]
        return [
            entry[1:]
            for hour in range(start // HOUR_MS, -(-end // HOUR_MS))
            for entry in hours.get(hour, ())
            if start <= entry[0] < end
        ]

    def _grouped(self, source: str, period: str, start: int) -> list[Encoded]:
        end = self.calendar.end(period, start)
        hours, targets = self.log.activities[source], self.log.targets
        everything = source == "events"
        ruled = source in {"pageEvents", "featureEvents"}
        groups: dict[tuple[int, int], Measures] = {}
        for hour in range(start // HOUR_MS, -(-end // HOUR_MS)):
            for moment, number, session, target in hours.get(hour, ()):
                if not start <= moment < end:
                    continue
                if ruled and not self.matches(number, targets[target].object_id):
                    continue
                key = session, UNTAGGED if everything else target
                measures = groups.get(key)
                if measures is None:
                    measures = groups[key] = Measures()
                measures.count(moment, number)
        week, month, quarter = self.calendar.spans(start)
        head = f'"{period}":{start},"week":{week},"month":{month},"quarter":{quarter}'
        return [
            self._encoded(source, session, target, head, measures)
            for (session, target), measures in groups.items()
        ]

    def _encoded(
        self, source: str, session: int, target: int, head: str, measures: Measures
    ) -> Encoded:
        visit = self.log.sessions[session]
        parts = [visit.body]
        properties = visit.properties
        object_id = ""
        if target != UNTAGGED:
            tagged = self.log.targets[target]
            object_id = tagged.object_id
            parts.append(tagged.body)
            properties = b",".join(filter(None, (tagged.properties, properties)))
        elif not visit.mobile:
            parts.append(b'"pageId":"allevents"')
        if properties:
            parts.append(b'"properties":{' + properties + b"}")
        text = (
            f'{head},"firstTime":{measures.first},"lastTime":{measures.last},'
            f'"numEvents":{measures.number},"numMinutes":{len(measures.minutes)}'
        )
        if source != "trackEvents" and not visit.mobile:
            text += (
                f',"errorClickCount":{measures.errors},"rageClickCount":{measures.rages},'
                f'"uTurnCount":{measures.turns},"deadClickCount":{measures.dead}'
            )
        if visit.recorded:
            text += f',"lastKeyFrameTimestamp":{measures.last - measures.last % 60_000}'
        parts.append(text.encode())
        return visit.app, object_id, "", b"{" + b",".join(parts) + b"}"
