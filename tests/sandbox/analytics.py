"""What Pendo knows of the company's users, made when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tests.sandbox import catalogue, people
from tests.sandbox.events import GROUPED, SINGLE, UNTAGGED, EventLog, window
from tests.sandbox.grouping import Buckets
from tests.sandbox.people import ANONYMOUS, People
from tests.sandbox.zones import HOUR_MS, Calendar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sandbox.company import Company
    from tests.sandbox.events import Activity
    from tests.sandbox.fields import Row
    from tests.sandbox.grouping import Encoded

SCHEMAS = {"visitor": people.VISITOR_FIELDS, "account": people.ACCOUNT_FIELDS}
EVENT_STREAMS = {
    "events": "events",
    "page_events": "pageEvents",
    "feature_events": "featureEvents",
    "track_events": "trackEvents",
    "guide_events": "guideEvents",
    "poll_events": "pollEvents",
}
STREAMS = frozenset(
    {
        *EVENT_STREAMS,
        "visitors",
        "accounts",
        "visitor_metadata",
        "account_metadata",
        "report_results",
        "visitor_history",
        "guides_seen",
        "polls_seen",
    }
)
SLICE_MS = 86_400_000
HISTORY_DAYS = 180


class Analytics:
    """Users, their activities, and every answer that is derived from them.

    Attributes:
        people: Visitors and accounts.
        log: Everything that happened.
        buckets: The log, grouped.
    """

    def __init__(self, company: Company) -> None:
        """Invent the usage of the company's product."""
        self._company = company
        self._turn = 0
        self.people = People(
            company.accounts, company.tables["persons"], company.inventor("people")
        )
        calendar = Calendar(company.time_zone)
        source = company.inventor("events")
        self.log = EventLog(company.tables, self.people, calendar, source)
        self.buckets = Buckets(self.log, calendar)
        start, end = window(source.now, company.usage_days)
        length = (end - start) // max(1, round(company.usage_days))
        for day in range(start, end, length):
            # Not every day is like the others.
            count = int(company.usage_per_day * (0.6 + 0.8 * source.random()))
            self.log.fill(day, min(end, day + length), count, source)
        self._note_visits()

    def _note_visits(self) -> None:
        """Let nobody's first visit be later, and nobody's last one earlier, than what they did."""
        for hour in sorted(self.log.activities["events"]):
            for moment, _, session, _ in self.log.activities["events"][hour]:
                visit = self.log.sessions[session]
                for row in (
                    self.people.visitors.get(visit.visitor),
                    self.people.accounts.get(visit.account),
                ):
                    for name, auto in (row or {"metadata": {}})["metadata"].items():
                        if name.startswith("auto") and "firstvisit" in auto:
                            auto["firstvisit"] = min(auto["firstvisit"], moment)
                            auto["lastvisit"] = max(auto["lastvisit"], moment)

    @property
    def calendar(self) -> Calendar:
        """The subscription's calendar."""
        return self.buckets.calendar

    def set_calendar(self, name: str) -> None:
        """Move the subscription to another time zone."""
        self.buckets.calendar = Calendar(name)
        self.buckets.forget()

    # Edits

    def add_events(
        self, now: int, count: int, days_back: float, spread: float, visitor: str | None
    ) -> None:
        """Let activities of the past arrive now; half of them change rows that exist."""
        self._turn += 1
        source = self._company.inventor(f"added events {self._turn}")
        end = now - int(days_back * SLICE_MS)
        start = end - int(spread * SLICE_MS)
        log = self.log
        half = count // 2 if visitor is None else 0
        log.repeat(start, end, half, source)
        done = half
        while done < count:
            moment = start + int(source.random() * (end - start))
            most = count - done
            session = len(log.sessions)
            done += max(1, log.visit(moment, end, source, visitor, most))
            if session < len(log.sessions):
                visit = log.sessions[session]
                self.people.seen(visit.visitor, visit.account, visit.app, moment, now)
        for _ in range(max(1, count // 20)):
            moment = start + int(source.random() * (end - start))
            log.guide(moment, end, log.session(source, visitor), source, now - moment)

    def rebuild(self, object_id: str) -> None:
        """Decide anew which activities belong to a page or feature."""
        self.buckets.rules[object_id] = self.buckets.rules.get(object_id, 0) + 1
        self.buckets.forget()

    # Answers

    def activities(self, source: str) -> list[Activity]:
        """Every activity of a grouped source that its object's rule covers, oldest first."""
        log = self.log
        return sorted(
            each
            for hour in log.activities[source].values()
            for each in hour
            if source not in {"pageEvents", "featureEvents"}
            or self.buckets.matches(each[1], log.targets[each[3]].object_id)
        )

    def singles(self, source: str) -> list[Encoded]:
        """Every row of `guideEvents` or `pollEvents`, oldest first."""
        hours = self.log.singles[source]
        return [entry[1:] for hour in sorted(hours) for entry in sorted(hours[hour])]

    def guides_seen(self) -> list[Row]:
        """A summary for each visitor, guide and step."""
        found: dict[tuple[str, str, str], Row] = {}
        for _, _, _, data in self.singles("guideEvents"):
            event = msgspec.json.decode(data)
            key = event["visitorId"], event["guideId"], event["guideStepId"]
            moment, kind = event["browserTime"], event["type"]
            row = found.setdefault(
                key,
                {
                    "visitorId": key[0],
                    "guideId": key[1],
                    "guideStepId": key[2],
                    "appId": event["appId"],
                    "firstSeenAt": moment,
                    "lastSeenAt": moment,
                    "lastAdvancedAutoAt": 0,
                    "lastDismissedAutoAt": 0,
                    "lastTimeoutAt": 0,
                    "seenCount": 0,
                    "lastState": "",
                },
            )
            if kind == "guideSeen":
                row["seenCount"] += 1
                row["lastSeenAt"] = moment
            for name, attribute in (
                ("guideAdvanced", "lastAdvancedAutoAt"),
                ("guideDismissed", "lastDismissedAutoAt"),
                ("guideTimeout", "lastTimeoutAt"),
            ):
                if kind == name:
                    row[attribute] = moment
            row["lastState"] = kind.removeprefix("guide").lower()
        return list(found.values())

    def polls_seen(self, response: str = "response") -> list[Row]:
        """The last answer of each visitor, account, guide and poll."""
        found: dict[tuple[str, str, str, str], Row] = {}
        for _, _, _, data in self.singles("pollEvents"):
            event = msgspec.json.decode(data)
            key = event["visitorId"], event["accountId"], event["guideId"], event["pollId"]
            found[key] = {
                "visitorId": key[0],
                "accountId": key[1],
                "guideId": key[2],
                "pollId": key[3],
                "appId": event["appId"],
                "time": event["browserTime"],
                response: event["pollResponse"],
            }
        return list(found.values())

    def _between(self, start: int, end: int) -> Iterator[Activity]:
        hours = self.log.activities["events"]
        for hour in range(start // HOUR_MS, -(-end // HOUR_MS)):
            yield from (each for each in sorted(hours.get(hour, ())) if start <= each[0] < end)

    def _happening(self, activity: Activity) -> Row:
        """An activity as a visitor's history shows it."""
        moment, number, session, target = activity
        visit = self.log.sessions[session]
        tagged = None if target == UNTAGGED else self.log.targets[target]
        kind = "event" if tagged is None else tagged.source.removesuffix("Events")
        row: Row = {
            "type": kind,
            "ts": moment,
            "lastTs": moment + number % 40_000,
            "duration": number % 40_000,
            "parsedUserAgent": dict(
                zip(("name", "version", "os"), people.BROWSERS[visit.browser], strict=False)
            ),
            "appId": visit.app,
            "uri": f"https://{visit.row['server']}/{number % 13}",
        }
        if tagged is None:
            row["untaggedUrl"] = row["uri"]
        elif kind != "track":
            row[f"{kind}Id"] = tagged.object_id
        return row

    def history(self, visitor: str, start: int, end: int) -> list[Row]:
        """What a visitor did in a stretch of time."""
        return [
            self._happening(each)
            for each in self._between(start, end)
            if self.log.sessions[each[2]].visitor == visitor
        ]

    def results(self, report: str) -> list[Row] | None:
        """The results of a report; None if it has no exportable ones."""
        return catalogue.report_results(
            self._company.tables["reports"][report],
            self.people.visitors,
            self.people.accounts,
            self._company.inventor(f"results of {report}"),
        )

    # The rows of complete readings

    def rows(
        self, stream: str, now: int, granularity: str, since: int | None, until: int | None
    ) -> list[Row]:
        """What a complete reading of a stream (without its prefix) returns; see `Company.rows`."""
        if stream in EVENT_STREAMS:
            return self._events(EVENT_STREAMS[stream], now, granularity, since, until)
        if stream == "visitor_history":
            start = max(since or 0, now - HISTORY_DAYS * SLICE_MS)
            end = now if until is None else until
            return [
                {"visitorId": self.log.sessions[activity[2]].visitor, **self._happening(activity)}
                for activity in self._between(start, end)
                if self.log.sessions[activity[2]].visitor in self.people.visitors
            ]
        whole: dict[str, Callable[[], list[Row]]] = {
            "visitors": lambda: list(self.people.visitors.values()),
            "accounts": lambda: list(self.people.accounts.values()),
            "guides_seen": lambda: without_app(self.guides_seen()),
            "polls_seen": lambda: without_app(self.polls_seen()),
            "report_results": self._all_results,
            "visitor_metadata": lambda: _fields("visitor"),
            "account_metadata": lambda: _fields("account"),
        }
        return whole[stream]()

    def _all_results(self) -> list[Row]:
        return [
            {"reportId": report, "row": row}
            for report in self._company.tables["reports"]
            for row in self.results(report) or ()
        ]

    def _events(
        self, source: str, now: int, granularity: str, since: int | None, until: int | None
    ) -> list[Row]:
        hours = self.log.singles[source] if source in SINGLE else self.log.activities[source]
        if not hours:
            return []
        first = min(hours) * HOUR_MS if since is None else since
        end = now if until is None else until
        last = min(end, (max(hours) + 48) * HOUR_MS)
        return [
            msgspec.json.decode(entry[3])
            for start in self.calendar.buckets(granularity, first, last)
            if self.calendar.end(granularity, start) <= end
            for entry in self.buckets.rows(source, granularity, start)
        ]


def _fields(kind: str) -> list[Row]:
    return [
        {"metadataGroup": group, "field": field, **info}
        for group, fields in people.schema(SCHEMAS[kind]).items()
        for field, info in fields.items()
    ]


def is_anonymous(visitor: Any) -> bool:
    """Whether a visitor id is one that Pendo made up."""
    return isinstance(visitor, str) and visitor.startswith(ANONYMOUS)


__all__ = ["EVENT_STREAMS", "GROUPED", "SINGLE", "STREAMS", "Analytics", "is_anonymous"]


def without_app(rows: list[Row]) -> list[Row]:
    """Rows as the API gives them: an application only says which rows a request is about."""
    return [{name: value for name, value in row.items() if name != "appId"} for row in rows]
