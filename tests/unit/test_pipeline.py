"""The sandbox's aggregation answers as Pendo's documentation and its observers say."""

from __future__ import annotations

import base64
import json
from collections import Counter
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from tests.sandbox import Company, Limits, PendoServer
from tests.sandbox.analytics import STREAMS
from tests.sandbox.changes import change_usage
from tests.sandbox.expressions import ExpressionError, Functions, parse
from tests.sandbox.people import ANONYMOUS, STRANGE_VISITORS
from tests.sandbox.pipeline import pipeline, results, run
from tests.sandbox.usage import APPS, DEFAULT_APP
from tests.sandbox.vocabulary import epoch_ms, words
from tests.sandbox.zones import HOUR_MS, Calendar

if TYPE_CHECKING:
    from tests.sandbox.server import Reply

Row = dict[str, Any]
ALL = {"appId": 'expandAppIds("*")'}
GROUPED = ("events", "pageEvents", "featureEvents", "trackEvents")
STREAM = {
    "events": "pendo_events",
    "pageEvents": "pendo_page_events",
    "featureEvents": "pendo_feature_events",
    "trackEvents": "pendo_track_events",
    "guideEvents": "pendo_guide_events",
    "pollEvents": "pendo_poll_events",
}
MEASURES = {"numEvents", "numMinutes", "firstTime", "lastTime", "lastKeyFrameTimestamp"}
DST_NOW = datetime(2026, 3, 12, 9, 0, tzinfo=timezone.utc)


def utc(*parts: int) -> int:
    return epoch_ms(datetime(*parts, tzinfo=timezone.utc).timestamp())  # type: ignore[misc,arg-type]


@pytest.fixture(scope="module")
def still() -> Company:
    """For tests that change nothing."""
    return Company(scale=0.05, usage_per_day=300)


@pytest.fixture
def company() -> Company:
    return Company(scale=0.02, usage_days=12)


def ask(company: Company, *steps: Row, limits: Limits | None = None) -> Reply:
    return run(company, pipeline(*steps), limits or Limits())


def rows(company: Company, *steps: Row, limits: Limits | None = None) -> list[Row]:
    reply = ask(company, *steps, limits=limits)
    assert reply.status == 200, reply.body
    return results(reply)


def series(source: str, params: Any = ALL, **spec: Any) -> Row:
    spec = {"period": "hourRange", "first": 'dateAdd(now(),-40,"days")', "last": "now()"} | spec
    return {"source": {source: params, "timeSeries": spec}}


def same(left: list[Row], right: list[Row]) -> bool:
    def texts(found: list[Row]) -> Counter[str]:
        return Counter(json.dumps(row, sort_keys=True) for row in found)

    return texts(left) == texts(right)


def dimensions(row: Row) -> str:
    kept = {k: v for k, v in row.items() if k not in MEASURES and not k.endswith("Count")}
    return json.dumps(kept, sort_keys=True)


# Time


def test_days_start_at_local_midnight_and_are_23_or_25_hours_long() -> None:
    calendar = Calendar("America/New_York")
    spring = calendar.buckets("day", utc(2026, 3, 7, 12), utc(2026, 3, 10, 12))
    assert spring == [
        utc(2026, 3, 7, 5),
        utc(2026, 3, 8, 5),
        utc(2026, 3, 9, 4),
        utc(2026, 3, 10, 4),
    ]
    start = calendar.start("day", utc(2026, 11, 1, 12))
    assert (start, calendar.end("day", start)) == (utc(2026, 11, 1, 4), utc(2026, 11, 2, 5))
    assert calendar.shift("day", start, -1) == utc(2026, 10, 31, 4)
    assert calendar.spans(utc(2026, 3, 10, 12)) == (
        utc(2026, 3, 8, 5),
        utc(2026, 3, 1, 5),
        utc(2026, 1, 1, 5),
    )


@pytest.mark.parametrize("zone", ["America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe"])
def test_odd_zones(zone: str) -> None:
    calendar = Calendar(zone)
    # Sao Paulo had days without a midnight.
    days = calendar.buckets("day", utc(2018, 10, 1), utc(2019, 3, 1))
    assert len(days) in {151, 152}
    assert all(22.5 <= (b - a) / HOUR_MS <= 25.5 for a, b in pairwise(days))
    for day in days:
        assert calendar.start("day", day) == day
        assert calendar.start("day", day - 1) < day


def test_windows(still: Company) -> None:
    now = epoch_ms(still.now.timestamp())
    today = Calendar(still.time_zone).start("day", now)

    def days(**spec: Any) -> list[int]:
        found = rows(still, series("events", period="dayRange", **spec))
        assert all("hour" not in row for row in found)
        return sorted({row["day"] for row in found})

    assert days(first="now()", last="now()") == [today]
    with pytest.raises(AssertionError, match="either count or last"):
        days(first="now()", last="now()", count=1)


def test_counts_first_and_last(still: Company) -> None:
    now = epoch_ms(still.now.timestamp())
    today, step = Calendar(still.time_zone).start("day", now), 24 * HOUR_MS

    def days(**spec: Any) -> list[int]:
        spec = {"period": "dayRange"} | spec
        reply = ask(still, {"source": {"events": ALL, "timeSeries": spec}})
        assert reply.status == 200, reply.body
        return sorted({row["day"] for row in results(reply)})

    assert days(first="now()", count=-1) == [today - step]
    assert days(first="now()", count=-3) == [today - 3 * step, today - 2 * step, today - step]
    assert days(first=today - step + 5, count=2) == [today - step, today]
    assert days(first=str(today - step + 5), count=1) == [today - step]
    assert days(first=today - 2 * step + 7, last=today - 1) == [today - 2 * step, today - step]
    assert days(first="date(2026,2,20)", last="date(2026, 2, 21)") == [
        utc(2026, 2, 20, 5),
        utc(2026, 2, 21, 5),
    ]
    assert days(first='dateAdd(now(), -1, "days")', last="now()") == [today - step, today]
    # The future is empty.
    assert days(first="now()", count=9) == [today]
    assert days(first=now + 9 * step, count=3) == []
    assert ask(
        still,
        {
            "source": {
                "events": ALL,
                "timeSeries": {"period": "hourRange", "first": today + 5, "count": 1},
            }
        },
    ).body.startswith(b'{"startTime":%d,"results":[' % today)


@pytest.mark.parametrize("source", GROUPED)
@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "UTC"])
def test_groups_hold_every_activity_once(source: str, zone: str) -> None:
    company = Company(scale=0.02, now=DST_NOW, time_zone=zone, usage_days=8, usage_per_day=150)
    activities = company.analytics.activities(source)
    calendar = Calendar(zone)
    for period in ("hour", "day"):
        found = rows(company, series(source, period=f"{period}Range"))
        keys = [dimensions(row) for row in found]
        assert len(set(keys)) == len(keys)
        counted: Counter[int] = Counter()
        for row in found:
            counted[row[period]] += row["numEvents"]
            end = calendar.end(period, row[period])
            assert row[period] <= row["firstTime"] <= row["lastTime"] < end
            assert 1 <= row["numMinutes"] <= row["numEvents"]
        assert counted == Counter(calendar.start(period, each[0]) for each in activities)
        ended = {b for b in counted if calendar.end(period, b) <= epoch_ms(DST_NOW.timestamp())}
        oracle = company.rows(STREAM[source], granularity=period)
        assert same([row for row in found if row[period] in ended], oracle)
    if zone == "America/New_York":
        bucket = utc(2026, 3, 8, 5)
        stretch = [each for each in activities if bucket <= each[0] < bucket + 23 * HOUR_MS]
        assert counted[bucket] == len(stretch) > 0


def test_moving_to_another_time_zone(company: Company) -> None:
    before = company.rows("pendo_events", granularity="day")
    hours = rows(company, series("events"))
    company.set_time_zone("Asia/Tokyo")
    after = company.rows("pendo_events", granularity="day")
    assert {row["day"] % (24 * HOUR_MS) for row in before} == {5 * HOUR_MS}
    assert {row["day"] % (24 * HOUR_MS) for row in after} == {15 * HOUR_MS}
    again = rows(company, series("events"))
    assert Counter(row["hour"] for row in again) == Counter(row["hour"] for row in hours)


# Sources


@pytest.mark.parametrize("source", [*GROUPED, "guideEvents", "pollEvents"])
def test_applications(still: Company, source: str) -> None:
    everything = rows(still, series(source))
    default = rows(still, series(source, None))
    assert 0 < len(default) <= len(everything)
    assert len(default) < len(everything) or source == "pollEvents"
    assert same(default, [row for row in everything if row["appId"] == DEFAULT_APP])
    two = list(APPS)[1:]
    several = rows(still, series(source, {"appId": two}))
    assert same(several, [row for row in everything if row["appId"] in two])
    assert same(rows(still, series(source, {"appId": DEFAULT_APP})), default)


@pytest.mark.parametrize(
    ("source", "field"),
    [("pageEvents", "pageId"), ("featureEvents", "featureId"), ("guideEvents", "guideId")],
)
def test_one_object(still: Company, source: str, field: str) -> None:
    everything = rows(still, series(source))
    key = everything[0][field]
    found = rows(still, series(source, ALL | {field: key}))
    assert found
    assert same(found, [row for row in everything if row[field] == key])


def test_rows_have_the_documented_fields(still: Company) -> None:
    fields = {name: {f for row in rows(still, series(name)) for f in row} for name in GROUPED}
    common = set(
        words(
            "visitorId accountId appId hour week month quarter firstTime lastTime numEvents "
            "numMinutes server remoteIp userAgent properties tabId analyticsSessionId recordingId "
            "recordingSessionId signatureAgent lastKeyFrameTimestamp country region latitude "
            "longitude"
        )
    )
    clicks = {"errorClickCount", "rageClickCount", "uTurnCount", "deadClickCount"}
    assert fields["events"] == common | clicks | {"pageId"}
    assert fields["pageEvents"] == common | clicks | {"pageId", "parameters"}
    assert fields["featureEvents"] == common | clicks | {"featureId"}
    assert fields["trackEvents"] == common | {"trackTypeId"}
    answers = {type(row["pollResponse"]) for row in rows(still, series("pollEvents"))}
    assert answers == {int, str}
    assert any(row["visitorId"].startswith(ANONYMOUS) for row in rows(still, series("events")))
    pages = {row["pageId"] for row in rows(still, series("pageEvents"))}
    assert pages - set(still.tables["pages"]), "no events of deleted pages"


def test_objects(still: Company) -> None:
    for source, table in (("pages", "pages"), ("trackTypes", "track_types")):
        assert same(rows(still, {"source": {source: ALL}}), list(still.tables[table].values()))
        default = rows(still, {"source": {source: None}})
        assert {row["appId"] for row in default} == {DEFAULT_APP}


def test_people(still: Company) -> None:
    visitors = rows(still, {"source": {"visitors": ALL}})
    assert same(visitors, still.rows("pendo_visitors"))
    assert same(rows(still, {"source": {"accounts": ALL}}), still.rows("pendo_accounts"))
    ids = {row["visitorId"] for row in visitors}
    assert ids >= set(STRANGE_VISITORS)
    named = rows(still, {"source": {"visitors": ALL | {"identified": True}}})
    staged = rows(still, {"source": {"visitors": ALL}}, {"identified": "visitorId"})
    assert same(named, staged)
    anonymous = rows(still, {"source": {"visitors": ALL}}, {"identified": "!visitorId"})
    assert len(named) + len(anonymous) == len(visitors)
    stamps = Counter(row["metadata"].get("auto", {}).get("lastupdated") for row in visitors)
    assert stamps.pop(None) > 3
    assert stamps.most_common(1)[0][1] > 30
    assert 0 < len(rows(still, {"source": {"visitors": None}})) < len(visitors)
    doubled = rows(still, {"source": {"visitors": ALL}}, limits=Limits(visitors_per_app=True))
    assert len(doubled) > len(visitors)
    emails = {mail["value"] for row in still.tables["persons"].values() for mail in row["emails"]}
    assert ids & emails


def test_what_was_ever_seen(still: Company) -> None:
    assert same(rows(still, {"source": {"guidesSeenEver": ALL}}), still.rows("pendo_guides_seen"))
    whole = still.rows("pendo_polls_seen")
    found: list[Row] = []
    for guide in still.tables["guides"].values():
        for poll in guide["polls"]:
            params = ALL | {"guideId": guide["id"], "pollId": poll["id"]}
            found += rows(still, {"source": {"pollsSeenEver": params}})
    assert whole
    assert same(found, whole)
    assert ask(still, {"source": {"pollsSeenEver": ALL}}).status == 400
    other = Limits(polls_need_ids=False, response_name="pollResponse")
    assert "pollResponse" in rows(still, {"source": {"pollsSeenEver": ALL}}, limits=other)[0]
    needy = Limits(ever_needs_time_series=True)
    assert ask(still, {"source": {"guidesSeenEver": ALL}}, limits=needy).status == 400
    assert same(
        rows(still, series("guidesSeenEver"), limits=needy), still.rows("pendo_guides_seen")
    )


# Steps


@pytest.mark.parametrize("visitor", STRANGE_VISITORS)
def test_quoted_ids(still: Company, visitor: str) -> None:
    literal = visitor.replace("\\", "\\\\").replace('"', '\\"')
    everything = {"source": {"visitors": ALL}}
    found = rows(still, everything, {"filter": f'visitorId == "{literal}"'})
    assert [row["visitorId"] for row in found] == [visitor]
    ids = [row["visitorId"] for row in still.rows("pendo_visitors")]
    after = rows(still, everything, {"filter": f'visitorId > "{literal}"'})
    assert sorted(row["visitorId"] for row in after) == sorted(v for v in ids if v > visitor)


def test_keyset_walk(still: Company) -> None:
    found: list[Row] = []
    last = ""
    while True:
        literal = last.replace("\\", "\\\\").replace('"', '\\"')
        page = rows(
            still,
            {"source": {"visitors": ALL}},
            {"filter": f'visitorId > "{literal}"'},
            {"sort": ["visitorId"]},
            {"limit": 7},
        )
        found += page
        if len(page) < 7:
            break
        last = page[-1]["visitorId"]
    assert same(found, still.rows("pendo_visitors"))


def test_sort_with_missing_values(still: Company) -> None:
    field = "metadata.auto.lastupdated"
    steps = {"source": {"visitors": ALL}}, {"sort": [field, "-visitorId"]}
    found = rows(still, *steps)
    values = [row["metadata"].get("auto", {}).get("lastupdated") for row in found]
    known = [value for value in values if value is not None]
    missing = len(values) - len(known)
    assert missing
    assert values == [None] * missing + sorted(known)
    for left, right in pairwise(found):
        stamps = [row["metadata"].get("auto", {}).get("lastupdated") for row in (left, right)]
        assert stamps[0] != stamps[1] or left["visitorId"] >= right["visitorId"]
    last = rows(still, *steps, limits=Limits(missing_first=False))
    assert last[-1]["metadata"].get("auto", {}).get("lastupdated") is None
    down = rows(still, steps[0], {"sort": ["-" + field]})
    assert down[-1]["metadata"].get("auto", {}).get("lastupdated") is None


def test_other_steps(still: Company) -> None:
    visitors = still.rows("pendo_visitors")
    everything = {"source": {"visitors": ALL}}
    assert rows(still, everything, {"count": None}) == [{"count": len(visitors)}]
    selected = rows(
        still, everything, {"select": {"id": "visitorId", "at": "metadata.auto.lastupdated + 1"}}
    )
    assert all(set(row) == {"id", "at"} for row in selected)
    added = rows(still, everything, {"eval": {"short": "isEmpty(visitorId)"}}, {"limit": 2})
    assert [row["short"] for row in added] == [False, False]
    assert rows(still, everything, {"limit": 0}) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3 == 7 && !(4 < 3)", True),
        ("a.b >= 5 || isNil(a.c)", True),
        ("a.c >= 5", False),
        ("a.c != 5", True),
        ("a.c == null", True),
        ("isNull(x) && !isNil(a)", True),
        ('contains(s, "\\"") && startsWith(s, "q\\\\")', True),
        ("contains(list, 3)", True),
        ('s < "r" && "Z" < "a"', True),
        ("-a.b + 7 == 3", True),
        ("a.b > s", False),
        ('a["b"] == 4', True),
        ('day >= date(2026, 3, 8) && day < dateAdd(date(2026,3,8), 1, "days")', True),
        ('startOfPeriod("monthly", now()) == date(2026,3,1)', True),
    ],
)
def test_expressions(text: str, value: Any) -> None:
    functions = Functions(Calendar("America/New_York"), utc(2026, 3, 12))
    row = {"a": {"b": 4}, "s": 'q\\"', "list": [1, 3], "day": utc(2026, 3, 8, 5)}
    assert parse(text, functions)(row) is (value or (value is None))


@pytest.mark.parametrize(
    "text",
    ["", "a ==", 'a == "b', 'a == "b"c"', 'a == "\\q"', "a in [1]", "f(a)", "isNil()", "(a", "a;b"],
)
def test_bad_expressions(still: Company, text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text, Functions(Calendar("UTC"), 0))
    refused = ask(still, {"source": {"visitors": None}}, {"filter": text})
    assert refused.status == 400
    assert refused.body.startswith(b"Cannot parse filter expression")
    assert refused.content_type.startswith("text/plain")


# Refusals and limits


@pytest.mark.parametrize(
    ("steps", "status", "text"),
    [
        ([{"source": {"pageEvents": None}}], 400, "no period specified for time series source"),
        ([{"source": {"visitors": None}}, {"skip": 5}], 400, "unknown step type 'skip'"),
        ([{"source": {"visitors": None}}, {"group": {}}], 501, "the sandbox has no step group"),
        (
            [series("trackEvents", {"trackId": "x"})],
            400,
            "bad pipeline: bad source: bad parameters for source type trackEvents: unexpected",
        ),
        ([series("visitors", None)], 400, "bad pipeline: bad source: visitors takes no time"),
        ([series("nothing", None)], 400, "bad pipeline: bad source: unknown source type"),
        ([series("events", {"appId": "expandAppIds(*)"})], 400, "bad pipeline: bad source: bad"),
        ([series("events", period="yearRange")], 400, "no period specified"),
        ([series("events", first="nonsense(")], 400, "bad time series"),
        ([series("events", last=True)], 400, "bad time series"),
        ([{"limit": 5}], 400, "bad pipeline: the first step must be a source"),
        ([], 400, "bad pipeline"),
    ],
)
def test_refusals(still: Company, steps: list[Row], status: int, text: str) -> None:
    reply = ask(still, *steps)
    assert reply.status == status
    assert reply.body.decode().startswith(text)


def test_bad_bodies(still: Company) -> None:
    for body in (b"{}", b"[]", b'{"request":{}}', b'{"pipeline":[]}'):
        reply = run(still, body, Limits())
        assert (reply.status, reply.body) == (422, b'{"fields":{"pipeline":"Required"}}')
    assert run(still, b"{not json", Limits()).status == 400


@pytest.mark.parametrize("status", [504, 408, 500])
def test_too_much_at_once(still: Company, status: int) -> None:
    now = epoch_ms(still.now.timestamp())
    largest = max(Counter(row["hour"] for row in rows(still, series("featureEvents"))).values())
    limits = Limits(row_limit=largest * 2, limit_status=status)
    assert ask(still, series("featureEvents"), limits=limits).status == status
    found: list[Row] = []

    def read(first: int, hours: int) -> None:
        reply = ask(still, series_of(first, hours), limits=limits)
        if reply.status == status:
            assert hours > 1
            read(first, hours // 2)
            read(first + hours // 2 * HOUR_MS, hours - hours // 2)
            return
        nonlocal found
        found += results(reply)

    def series_of(first: int, hours: int) -> Row:
        spec = {"period": "hourRange", "first": first, "count": hours}
        return {"source": {"featureEvents": ALL, "timeSeries": spec}}

    read(now - 21 * 24 * HOUR_MS, 22 * 24)
    assert same(found, rows(still, series("featureEvents")))
    few = Limits(bucket_limit=24, limit_status=status)
    assert ask(still, series_of(now, 25), limits=few).status == 200
    assert ask(still, series_of(now - 30 * HOUR_MS, 25), limits=few).status == status


def test_nothing_as_null(still: Company) -> None:
    empty = series("events", first=5, last=6)
    assert ask(still, empty).body.endswith(b'"results":[]}')
    assert ask(still, empty, limits=Limits(results_null=True)).body.endswith(b'"results":null}')


# Edits


def test_same_arguments_make_the_same_usage() -> None:
    first, second = (Company(scale=0.02, usage_days=3) for _ in range(2))
    for company in (first, second):
        change_usage(company, 50)
    for stream in STREAMS:
        assert first.rows(f"pendo_{stream}") == second.rows(f"pendo_{stream}")


def test_late_events(company: Company) -> None:
    since = company.now - timedelta(days=6)
    before = {dimensions(row): row for row in company.rows("pendo_feature_events")}
    singles = len(company.rows("pendo_guide_events"))
    company.add_events(400, days_back=5, spread=1)
    after = {dimensions(row): row for row in company.rows("pendo_feature_events")}
    assert before.keys() <= after.keys()
    assert len(after) > len(before)
    changed = [key for key in before if before[key] != after[key]]
    assert changed
    new = [after[key] for key in after if key not in before or key in changed]
    edge = epoch_ms(since.timestamp())
    assert all(edge - HOUR_MS < row["lastTime"] < edge + 25 * HOUR_MS for row in new)
    assert len(company.rows("pendo_guide_events")) > singles
    stamps = [
        row["metadata"].get("auto", {}).get("lastupdated") for row in company.rows("pendo_visitors")
    ]
    assert epoch_ms(company.now.timestamp()) in stamps


@pytest.mark.parametrize(("kind", "field"), [("page", "pageId"), ("feature", "featureId")])
def test_an_edited_rule_rewrites_history(company: Company, kind: str, field: str) -> None:
    table, stream = f"{kind}s", f"pendo_{kind}_events"
    before, whole = company.rows(stream), company.rows("pendo_events")
    counts = Counter(row[field] for row in before if row[field] in company.tables[table])
    key = counts.most_common(1)[0][0]
    version = company.tables[table][key]["stableVersionId"]
    getattr(company, f"edit_{kind}_rule")(key)
    row = company.tables[table][key]
    assert row["stableVersionId"] != version
    assert row["lastUpdatedAt"] == epoch_ms(company.now.timestamp())
    after = company.rows(stream)
    assert same(
        [row for row in before if row[field] != key], [row for row in after if row[field] != key]
    )
    old = {dimensions(row) for row in before if row[field] == key}
    new = {dimensions(row) for row in after if row[field] == key}
    assert old - new or new - old
    assert company.rows("pendo_events") == whole


def test_edited_people(company: Company) -> None:
    visitor = STRANGE_VISITORS[0]
    company.edit_visitor(visitor, "custom", nickname="N")
    company.add_visitor('brand "new"', ["unheard.example"])
    company.edit_account("unheard.example", "agent", plan="gold")
    stamp = epoch_ms((company.now - timedelta(seconds=2)).timestamp())
    fresh = {"filter": f"metadata.auto.lastupdated >= {stamp}"}
    found = rows(company, {"source": {"visitors": ALL}}, fresh)
    assert {row["visitorId"] for row in found} == {visitor, 'brand "new"'}
    found = rows(company, {"source": {"accounts": ALL}}, fresh)
    assert [row["accountId"] for row in found] == ["unheard.example"]
    company.add_events(30, visitor='brand "new"')
    assert any(row["visitorId"] == 'brand "new"' for row in rows(company, series("events")))
    company.delete_visitor(visitor)
    assert visitor not in {row["visitorId"] for row in company.rows("pendo_visitors")}


# Over HTTP


def get(server: PendoServer, path: str, body: bytes | None = None) -> Any:
    headers = {"x-pendo-integration-key": server.key, "Content-Type": "application/json"}
    with urlopen(Request(server.url + path, body, headers), timeout=20) as answer:
        return json.load(answer)


def test_endpoints(still: Company) -> None:
    with PendoServer(still) as server:
        found = get(server, "/api/v1/aggregation", pipeline(series("pageEvents")))
        assert set(found) == {"startTime", "results"}
        assert same(found["results"], rows(still, series("pageEvents")))
        for kind in ("visitor", "account"):
            schema = get(server, f"/api/v1/metadata/schema/{kind}")
            fields = [
                {"metadataGroup": group, "field": field, **info}
                for group, members in schema.items()
                for field, info in members.items()
            ]
            assert fields == still.rows(f"pendo_{kind}_metadata")
        oracle = still.rows("pendo_report_results")
        answered: list[Row] = []
        for report in still.tables["reports"].values():
            path = f"/api/v1/report/{report['id']}/results.json"
            if report["type"] in {"Visitor", "Account"}:
                answered += [{"reportId": report["id"], "row": row} for row in get(server, path)]
                continue
            with pytest.raises(OSError, match=r"400|422"):
                get(server, path)
        assert answered == oracle
        assert answered
        assert not server.errors


def test_histories(still: Company) -> None:
    oracle = still.rows("pendo_visitor_history")
    visitors = {row["visitorId"] for row in oracle}
    odd = next(v for v in STRANGE_VISITORS if v in visitors and not v.isalnum())
    now = epoch_ms(still.now.timestamp())
    with PendoServer(still) as server:
        for plain in (True, False):
            server.base64_ids = not plain
            text = odd if plain else base64.urlsafe_b64encode(odd.encode()).decode()
            found: list[Row] = []
            for day in range(22):
                start = now - (22 - day) * 24 * HOUR_MS
                path = f"/api/v1/visitor/{quote(text, safe='')}/history?starttime={start}"
                found += get(server, path)
            expected = [row for row in oracle if row["visitorId"] == odd]
            assert found
            assert [{"visitorId": odd, **row} for row in found if row["ts"] < now] == expected
        server.history_refused = True
        with pytest.raises(OSError, match="422"):
            get(server, path)
        assert not server.errors
