"""An interpreter of aggregation pipelines: `POST /api/v1/aggregation`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from tests.sandbox.analytics import GROUPED, SINGLE, is_anonymous, without_app
from tests.sandbox.expressions import ExpressionError, Functions, lookup, parse
from tests.sandbox.server import Reply
from tests.sandbox.usage import APPS, DEFAULT_APP
from tests.sandbox.vocabulary import epoch_ms, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.sandbox.company import Company
    from tests.sandbox.expressions import Evaluate
    from tests.sandbox.fields import Row

    Step = Callable[[list[Row]], list[Row]]

TEXT = "text/plain; charset=utf-8"
EVERY_APP = 'expandAppIds("*")'
PERIODS = {"dayRange": "day", "hourRange": "hour", "daily": "day", "hourly": "hour"}
OBJECTS = {
    "pages": "pages",
    "features": "features",
    "guides": "guides",
    "trackTypes": "track_types",
}
SUMMARIES = {"guidesSeen", "guidesSeenEver", "pollsSeen", "pollsSeenEver"}
# Source -> parameters beside appId.
PARAMETERS: dict[str, frozenset[str]] = {
    "visitors": frozenset({"identified", "timeSeries", "startTime", "endTime"}),
    "accounts": frozenset({"timeSeries"}),
    "pages": frozenset(),
    "features": frozenset(),
    "guides": frozenset(),
    "trackTypes": frozenset({"timeSeries"}),
    "events": frozenset({"blacklist", "eventClass"}),
    "pageEvents": frozenset({"blacklist", "pageId"}),
    "featureEvents": frozenset({"blacklist", "featureId", "ignoreFrustration"}),
    "trackEvents": frozenset({"blacklist", "trackTypeId"}),
    "guideEvents": frozenset({"blacklist", "guideId"}),
    "pollEvents": frozenset({"blacklist", "guideId", "pollId"}),
    "guidesSeen": frozenset({"guideId", "guideStepId"}),
    "guidesSeenEver": frozenset({"guideId", "guideStepId"}),
    "pollsSeen": frozenset({"guideId", "pollId"}),
    "pollsSeenEver": frozenset({"guideId", "pollId"}),
}
SERIES = {"events", "pageEvents", "featureEvents", "trackEvents", "guideEvents", "pollEvents"}
WINDOWED = SERIES | {"guidesSeen", "pollsSeen"}
OBJECT_IDS = {"pageId", "featureId", "trackTypeId", "guideId"}
# Steps that the service has and this interpreter does not.
UNSUPPORTED = frozenset(
    words("group reduce join merge spawn fork unwind switch unmarshal segment bulkExpand cat")
)


@dataclass
class Limits:
    """How this Pendo behaves where that may vary or is not documented.

    Attributes:
        row_limit: Rows of a time series beyond which an answer takes more than five minutes.
        bucket_limit: The same in buckets.
        limit_status: What is answered then: 504, 408 or 500.
        results_null: Answer null in place of an empty list.
        visitors_per_app: Answer one row for each application of a visitor or account.
        people_default_app: Without appId, only visitors and accounts of the default application.
        missing_first: Rows without a value come first in ascending order; else last.
        ever_needs_time_series: The sources `...Ever` want a time series too.
        polls_need_ids: `pollsSeenEver` wants both guideId and pollId, as in the only known sample.
        response_name: What the sources of polls call the answer: "response" or "pollResponse".
    """

    row_limit: int | None = None
    bucket_limit: int | None = None
    limit_status: int = 504
    results_null: bool = False
    visitors_per_app: bool = False
    people_default_app: bool = True
    missing_first: bool = True
    ever_needs_time_series: bool = False
    polls_need_ids: bool = True
    response_name: str = "response"


class Refusal(Exception):
    """The request is answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass
class Window:
    """The buckets of a time series."""

    period: str
    starts: list[int]
    first: int
    end: int


def run(company: Company, body: bytes, limits: Limits) -> Reply:
    """Answer a request."""
    try:
        with company.lock:
            return _Run(company, limits).answer(body)
    except Refusal as refusal:
        if refusal.status == 422:
            return Reply(422, refusal.text.encode())
        return Reply(refusal.status, refusal.text.encode(), {}, TEXT)


class _Run:
    """One request."""

    def __init__(self, company: Company, limits: Limits) -> None:
        self.company = company
        self.limits = limits
        self.analytics = company.analytics
        self.now = epoch_ms(company.now.timestamp())
        self.functions = Functions(self.analytics.calendar, self.now)

    def answer(self, body: bytes) -> Reply:
        try:
            request = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise Refusal(400, "invalid JSON") from error
        inner = request.get("request") if isinstance(request, dict) else None
        pipeline = inner.get("pipeline") if isinstance(inner, dict) else None
        if not isinstance(pipeline, list):
            raise Refusal(422, '{"fields":{"pipeline":"Required"}}')
        if not pipeline or not isinstance(pipeline[0], dict) or list(pipeline[0]) != ["source"]:
            raise Refusal(400, "bad pipeline: the first step must be a source")
        name, params, window = self.source(pipeline[0]["source"])
        steps = [self.step(step) for step in pipeline[1:]]
        head = b"{"
        if window is not None:
            head += f'"startTime":{window.first},'.encode()
        if name in SERIES and window is not None:
            encoded = self.series(name, params, window)
            if steps:
                rows = msgspec.json.decode(b"[" + b",".join(encoded) + b"]")
                encoded = self.through(rows, steps)
        else:
            encoded = self.through(self.entities(name, params, window), steps)
        if not encoded and self.limits.results_null:
            return Reply(200, head + b'"results":null}')
        return Reply(200, head + b'"results":[' + b",".join(encoded) + b"]}")

    @staticmethod
    def through(rows: list[Row], steps: list[Step]) -> list[bytes]:
        for step in steps:
            rows = step(rows)
        encode = msgspec.json.Encoder().encode
        return [encode(row) for row in rows]

    # Sources

    def source(self, spec: Any) -> tuple[str, Row, Window | None]:
        names = [name for name in spec if name != "timeSeries"] if isinstance(spec, dict) else []
        if len(names) != 1:
            raise Refusal(400, "bad pipeline: bad source: expected one source type")
        name = names[0]
        if name not in PARAMETERS:
            raise Refusal(400, f"bad pipeline: bad source: unknown source type {name}")
        params = {} if spec[name] is None else spec[name]
        self.check(name, params)
        ever = name.endswith("Ever") and self.limits.ever_needs_time_series
        series = spec.get("timeSeries")
        if series is None:
            if name in WINDOWED or ever:
                raise Refusal(400, "no period specified for time series source")
            return name, params, None
        if name in PARAMETERS.keys() - WINDOWED and not name.endswith("Ever"):
            raise Refusal(400, f"bad pipeline: bad source: {name} takes no time series")
        return name, params, self.window(series)

    def check(self, name: str, params: Any) -> None:
        """Refuse parameters that a source does not have."""
        bad = f"bad pipeline: bad source: bad parameters for source type {name}: "
        if not isinstance(params, dict) or set(params) - PARAMETERS[name] - {"appId"}:
            raise Refusal(400, bad + "unexpected parameters")
        if params.get("blacklist", "apply") not in {"apply", "ignore", "only"}:
            raise Refusal(400, bad + "bad blacklist")
        if name == "pollsSeenEver" and self.limits.polls_need_ids:
            for parameter in ("guideId", "pollId"):
                if parameter not in params:
                    raise Refusal(400, bad + f"{parameter} is required")

    def apps(self, params: Row, *, default: bool = True) -> set[int]:
        """The applications that a source's parameters ask for."""
        given = params.get("appId")
        if given is None:
            return {DEFAULT_APP} if default else set(APPS)
        if given == EVERY_APP:
            return set(APPS)
        several = given if isinstance(given, list) else [given]
        if not all(isinstance(app, int) and not isinstance(app, bool) for app in several):
            raise Refusal(400, "bad pipeline: bad source: bad appId")
        return set(several)

    def moment(self, value: Any) -> int:
        if isinstance(value, str):
            try:
                value = parse(value, self.functions)({})
            except (ExpressionError, TypeError) as error:
                raise Refusal(400, f"bad time series: {error}") from error
        if isinstance(value, bool) or not isinstance(value, int):
            raise Refusal(400, "bad time series: not a moment")
        return value

    def window(self, series: Any) -> Window:
        calendar = self.analytics.calendar
        period = PERIODS.get(str(series.get("period"))) if isinstance(series, dict) else None
        if period is None:
            raise Refusal(400, "no period specified for time series source")
        unknown = set(series) - {"period", "first", "count", "last"}
        if unknown or "first" not in series or ("count" in series) == ("last" in series):
            raise Refusal(400, "bad time series: expected first, and either count or last")
        start = calendar.start(period, self.moment(series["first"]))
        if "last" in series:
            last = calendar.start(period, self.moment(series["last"]))
            first, end = start, calendar.end(period, last)
        else:
            count = series["count"]
            if isinstance(count, bool) or not isinstance(count, int) or not count:
                raise Refusal(400, "bad time series: bad count")
            other = calendar.shift(period, start, count)
            first, end = min(start, other), max(start, other)
        # The future is accepted, and empty.
        end = min(end, self.now + 1)
        return Window(period, calendar.buckets(period, first, end), first, end)

    def series(self, name: str, params: Row, window: Window) -> list[bytes]:
        limits = self.limits
        if limits.bucket_limit is not None and len(window.starts) > limits.bucket_limit:
            raise Refusal(limits.limit_status, "upstream request timeout")
        apps = self.apps(params)
        if (classes := params.get("eventClass")) is not None:
            apps = {app for app in apps if APPS.get(app, {}).get("platform") in classes}
        if params.get("blacklist") == "only":
            apps = set()
        wanted = [params[each] for each in params if each in OBJECT_IDS]
        object_id = wanted[0] if wanted else None
        poll = params.get("pollId")
        found: list[bytes] = []
        scanned = 0
        # Rows come in no order that a client could rely on.
        for start in window.starts[1::2] + window.starts[::2]:
            rows = self.analytics.buckets.rows(name, window.period, start)
            scanned += len(rows)
            if limits.row_limit is not None and scanned > limits.row_limit:
                raise Refusal(limits.limit_status, "upstream request timeout")
            found += [
                data
                for app, about, poll_id, data in rows
                if app in apps and object_id in (None, about) and poll in (None, poll_id)
            ]
        return found

    def entities(self, name: str, params: Row, window: Window | None) -> list[Row]:
        analytics = self.analytics
        if name in OBJECTS:
            apps = self.apps(params)
            table = self.company.tables[OBJECTS[name]].values()
            return [row for row in table if row["appId"] in apps]
        if name in SUMMARIES:
            polls = name.startswith("polls")
            rows = (
                analytics.polls_seen(self.limits.response_name)
                if polls
                else analytics.guides_seen()
            )
            moment = "time" if polls else "lastSeenAt"
            apps = self.apps(params)
            return without_app(
                [
                    row
                    for row in rows
                    if row["appId"] in apps
                    and all(row[each] == params[each] for each in params if each != "appId")
                    and (window is None or window.first <= row[moment] < window.end)
                ]
            )
        people = analytics.people
        apps = self.apps(params, default=self.limits.people_default_app)
        visitors = name == "visitors"
        homes = people.visitor_apps if visitors else people.account_apps
        found = []
        for key, row in (people.visitors if visitors else people.accounts).items():
            if params.get("identified") is True and is_anonymous(key):
                continue
            seen = len(apps.intersection(homes[key]))
            found += [row] * (seen if self.limits.visitors_per_app else min(seen, 1))
        return found

    # Steps

    def step(self, spec: Any) -> Step:
        if not isinstance(spec, dict) or len(spec) != 1:
            raise Refusal(400, "bad pipeline: a step has one key")
        name, value = next(iter(spec.items()))
        make = getattr(self, f"step_{name}", None)
        if make is None:
            if name in UNSUPPORTED:
                raise Refusal(501, f"the sandbox has no step {name}")
            raise Refusal(400, f"unknown step type '{name}'")
        step: Step = make(value)
        return step

    def expression(self, text: Any) -> Evaluate:
        if not isinstance(text, str):
            raise Refusal(400, "Cannot parse filter expression")
        try:
            return parse(text, self.functions)
        except (ExpressionError, RecursionError) as error:
            raise Refusal(400, f"Cannot parse filter expression: {error}") from error

    def step_filter(self, text: Any) -> Step:
        """Keep the rows for which an expression is true."""
        check = self.expression(text)
        return lambda rows: [row for row in rows if check(row) is True]

    def step_sort(self, names: Any) -> Step:
        """Sort by several fields, with "-" downwards."""
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise Refusal(400, "bad pipeline: bad sort")
        missing = 0 if self.limits.missing_first else 9

        def place(row: Row, path: list[str]) -> tuple[int, Any]:
            value = lookup(row, path)
            if value is None:
                return missing, 0
            if isinstance(value, bool):
                return 1, value
            if isinstance(value, (int, float)):
                return 2, value
            return (3, value) if isinstance(value, str) else (4, 0)

        def sort(rows: list[Row]) -> list[Row]:
            for name in reversed(names):
                path = name.removeprefix("-").split(".")
                rows = sorted(
                    rows,
                    key=lambda row: place(row, path),
                    reverse=name.startswith("-"),
                )
            return rows

        return sort

    def step_limit(self, count: Any) -> Step:
        """Keep the first rows."""
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise Refusal(400, "bad pipeline: bad limit")
        return lambda rows: rows[:count]

    def fields(self, spec: Any, what: str) -> dict[str, Evaluate]:
        if not isinstance(spec, dict):
            raise Refusal(400, f"bad pipeline: bad {what}")
        return {name: self.expression(text) for name, text in spec.items()}

    def step_select(self, spec: Any) -> Step:
        """Make rows of new fields."""
        fields = self.fields(spec, "select")
        return lambda rows: [{name: value(row) for name, value in fields.items()} for row in rows]

    def step_eval(self, spec: Any) -> Step:
        """Add fields."""
        fields = self.fields(spec, "eval")
        return lambda rows: [
            row | {name: value(row) for name, value in fields.items()} for row in rows
        ]

    def step_identified(self, field: Any) -> Step:
        """Keep the identified visitors, or with "!" the anonymous ones."""
        if not isinstance(field, str):
            raise Refusal(400, "bad pipeline: bad identified")
        wanted, name = field.startswith("!"), field.removeprefix("!")
        return lambda rows: [row for row in rows if is_anonymous(row.get(name)) == wanted]

    def step_count(self, _: Any) -> Step:
        """One row with the number of rows."""
        return lambda rows: [{"count": len(rows)}]


def pipeline(*steps: Row) -> bytes:
    """A request body with these steps."""
    return msgspec.json.encode(
        {"response": {"mimeType": "application/json"}, "request": {"pipeline": list(steps)}}
    )


def results(reply: Reply) -> list[Row]:
    """The rows of an answer."""
    rows: Iterable[Row] | None = msgspec.json.decode(reply.body)["results"]
    return list(rows or ())


__all__ = ["GROUPED", "SINGLE", "Limits", "Refusal", "pipeline", "results", "run"]
