"""Events of Pendo: every bucket that has ended, once, whatever the clocks and the limits do."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tap_pendo_pipedrive.core.stream import ApiStream
from tests.harness import Run, Tables, log_text
from tests.integration import expected
from tests.integration.expected import EVENTS
from tests.sandbox import Company, Fault, Limits, PendoServer
from tests.sandbox.usage import APPS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.integration.conftest import Clock, Sync
    from tests.sandbox.server import Request

GROUPED = tuple(name for name, stream in EVENTS.items() if stream.replication_key == "hour")
SINGLE = tuple(set(EVENTS) - set(GROUPED))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime(2026, 3, 12, 9, 0, tzinfo=timezone.utc)
MEASURES = {"num_events", "num_minutes", "first_time", "last_time"}


@pytest.fixture(autouse=True)
def _frequent_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ApiStream, "STATE_MSG_FREQUENCY", 1)


@pytest.fixture
def company() -> Company:
    """A company that used its product for a week in which the clocks changed in New York."""
    return Company(scale=0.02, now=NOW, usage_days=7, usage_per_day=60)


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def floor(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def ago(company: Company, **since: float) -> str:
    return text(company.now - timedelta(**since))


def asked(server: PendoServer, source: str | None = None) -> list[dict[str, Any]]:
    """Time series of the requests for events, with the source's name and its parameters."""
    found = []
    for request in server.requests:
        if request.method != "POST":
            continue
        spec = json.loads(request.body)["request"]["pipeline"][0]["source"]
        if "timeSeries" not in spec:
            continue
        series = spec.pop("timeSeries")
        ((name, params),) = spec.items()
        if source in (None, name):
            found.append({**series, "source": name, "params": params, "status": request.status})
    return found


def check(
    tables: Tables,
    company: Company,
    streams: Iterable[str] = EVENTS,
    *,
    granularity: str = "hour",
    since: datetime | None = None,
) -> None:
    """Compare tables of events with what has ended by the company's time."""
    for stream in streams:
        bounds: dict[str, Any] = {"since": since}
        if stream in GROUPED:
            bounds["granularity"] = granularity
        expected.check_events(tables, company, stream, **bounds)


def load(*runs: Run) -> Tables:
    tables = Tables()
    for run in runs:
        assert (run.exit_code, run.error) == (0, "")
        tables.load(run.messages)
    return tables


# A first run.


@pytest.mark.parametrize("granularity", ["hour", "day"])
def test_full(granularity: str, read: Sync, company: Company, pendo: PendoServer) -> None:
    run = read(*EVENTS, start_date=ago(company, days=9), pendo_event_granularity=granularity)
    check(load(run), company, granularity=granularity)
    assert pendo.errors == []
    assert len(asked(pendo)) <= len(EVENTS) * 11
    for stream in EVENTS:
        keys = [row["event_key"] for row in run.records(stream)]
        assert len(keys) == len(set(keys))
        assert all(len(key) == 32 for key in keys)


def test_without_a_start_date_the_last_30_days_come(
    read: Sync, company: Company, pendo: PendoServer, caplog: pytest.LogCaptureFixture
) -> None:
    run = read("pendo_events")
    check(load(run), company, ["pendo_events"])
    first = min(each["first"] for each in asked(pendo)) / 1000
    assert (
        timedelta()
        <= floor(company.now) - 30 * DAY - datetime.fromtimestamp(first, timezone.utc)
        <= timedelta(0)
    )
    assert "pendo_events: without a start_date" in log_text(caplog)


def test_the_bucket_in_progress_is_left_for_the_next_run(read: Sync, company: Company) -> None:
    company.tick(1800)
    company.add_events(40, spread=0.02)
    for granularity in ("hour", "day"):
        run = read(*GROUPED, start_date=ago(company, days=3), pendo_event_granularity=granularity)
        check(
            load(run),
            company,
            GROUPED,
            granularity=granularity,
            since=company.now - 3 * DAY,
        )
        latest = max(row[granularity] for row in run.records("pendo_events"))
        assert latest < text(floor(company.now))


def test_single_interactions_of_the_hour_in_progress_are_left_too(
    read: Sync, company: Company
) -> None:
    company.tick(1800)
    company.add_events(400, spread=0.02)
    first = read(*SINGLE, start_date=ago(company, days=8))
    edge = floor(company.now)
    for stream in SINGLE:
        assert all(row["browser_time"] < text(edge) for row in first.records(stream))
    company.tick(3600)
    second = read(
        *SINGLE, state=first.state, start_date=ago(company, days=8), pendo_lookback_days=0
    )
    check(load(first, second), company, SINGLE)


@pytest.mark.parametrize("app", list(APPS))
def test_applications_are_named_in_the_aggregation(
    app: int, read: Sync, company: Company, pendo: PendoServer
) -> None:
    run = read(*EVENTS, start_date=ago(company, days=3), pendo_app_ids=[app])
    tables = load(run)
    for stream in EVENTS:
        raw = expected.exact_rows(company, stream, since=company.now - 3 * DAY)
        wanted = expected.pendo(stream, [row for row in raw if row["appId"] == app])
        expected.check_rows(stream, tables.rows[stream].values(), wanted)
    assert {json.dumps(each["params"].get("appId")) for each in asked(pendo)} == {f"[{app}]"}


@pytest.mark.parametrize("null", [False, True])
def test_no_events(*, null: bool, read: Sync, company: Company, pendo: PendoServer) -> None:
    pendo.limits.results_null = null
    for granularity in ("hour", "day"):
        run = read(
            *EVENTS,
            start_date="2025-06-01T00:00:00Z",
            end_date="2025-06-04T00:00:00Z",
            pendo_event_granularity=granularity,
        )
        assert run.exit_code == 0
        assert run.of_type("RECORD") == []
        assert sorted(run.streams) == sorted(EVENTS)


def test_null_instead_of_an_empty_list(read: Sync, company: Company, pendo: PendoServer) -> None:
    pendo.limits.results_null = True
    check(load(read(*EVENTS, start_date=ago(company, days=12))), company)


# Later runs.


@pytest.mark.parametrize("granularity", ["hour", "day"])
def test_late_events_come_by_the_lookback(
    granularity: str, read: Sync, company: Company, pendo: PendoServer
) -> None:
    settings: dict[str, Any] = {
        "start_date": ago(company, days=9),
        "pendo_event_granularity": granularity,
    }
    runs = [read(*EVENTS, **settings)]
    for days in (0, 3, 5):
        company.tick(20 * 3600)
        company.add_events(60, days_back=days, spread=1)
        runs.append(read(*EVENTS, state=runs[-1].state, **settings))
    check(load(*runs), company, granularity=granularity)


@pytest.mark.parametrize("granularity", ["hour", "day"])
def test_rows_with_other_measures_keep_their_key(
    granularity: str, read: Sync, company: Company
) -> None:
    settings: dict[str, Any] = {
        "start_date": ago(company, days=9),
        "pendo_event_granularity": granularity,
    }
    first = read("pendo_events", **settings)
    company.add_events(300, days_back=1, spread=5)
    second = read("pendo_events", state=first.state, **settings)
    before = {row["event_key"]: row for row in first.records("pendo_events")}
    changed = 0
    for row in second.records("pendo_events"):
        old = before.get(row["event_key"])
        if old is None or old == row:
            continue
        changed += 1
        differing = {name for name in row if row[name] != old.get(name)}
        assert differing <= MEASURES | {name for name in row if name.endswith("_click_count")} | {
            "u_turn_count",
            "last_key_frame_timestamp",
        }
    assert changed > 10


@pytest.mark.parametrize("granularity", ["hour", "day"])
def test_without_lookback_the_run_goes_on_at_the_bookmark(
    granularity: str, read: Sync, company: Company, pendo: PendoServer
) -> None:
    settings: dict[str, Any] = {
        "start_date": ago(company, days=9),
        "pendo_event_granularity": granularity,
        "pendo_lookback_days": 0,
    }
    runs = [read(*EVENTS, **settings)]
    for hours in (1, 5, 26, 0.3, 49):
        since = company.now
        company.tick(hours * 3600)
        passed = (company.now - since) / DAY
        company.add_events(50, spread=passed * 0.99)
        pendo.reset()
        runs.append(read(*EVENTS, state=runs[-1].state, **settings))
        assert len(asked(pendo, "events")) <= 6
    check(load(*runs), company, granularity=granularity)


def test_late_events_stay_away_without_lookback(read: Sync, company: Company) -> None:
    settings: dict[str, Any] = {"start_date": ago(company, days=9), "pendo_lookback_days": 0}
    first = read(*GROUPED, **settings)
    company.add_events(100, days_back=2, spread=1)
    second = read(*GROUPED, state=first.state, **settings)
    for stream in GROUPED:
        bookmark = first.bookmark(stream)
        assert bookmark
        assert all(row["hour"] >= bookmark for row in second.records(stream))


def test_a_change_of_granularity_starts_again(read: Sync, company: Company) -> None:
    settings: dict[str, Any] = {"start_date": ago(company, days=9)}
    first = read(*GROUPED, **settings)
    second = read(*GROUPED, state=first.state, pendo_event_granularity="day", **settings)
    check(load(second), company, GROUPED, granularity="day")


# Time zones.


@pytest.mark.parametrize("granularity", ["hour", "day"])
@pytest.mark.parametrize(
    ("zone", "now"),
    [
        ("America/New_York", datetime(2026, 3, 12, 9, tzinfo=timezone.utc)),
        ("America/New_York", datetime(2025, 11, 6, 9, tzinfo=timezone.utc)),
        ("Asia/Kolkata", datetime(2026, 3, 12, 9, tzinfo=timezone.utc)),
        ("Australia/Sydney", datetime(2026, 4, 9, 9, tzinfo=timezone.utc)),
        ("Australia/Sydney", datetime(2025, 10, 9, 9, tzinfo=timezone.utc)),
        ("Australia/Lord_Howe", datetime(2025, 10, 9, 9, tzinfo=timezone.utc)),
        ("America/Santiago", datetime(2025, 9, 11, 9, tzinfo=timezone.utc)),
        ("Europe/Tallinn", datetime(2026, 4, 2, 9, tzinfo=timezone.utc)),
    ],
)
class TestTimeZones:
    """The clocks of the subscription change in the middle of what is read."""

    @pytest.fixture
    def company(self, zone: str, now: datetime) -> Company:
        """A company in that zone."""
        return Company(scale=0.02, now=now, time_zone=zone, usage_days=7, usage_per_day=40)

    @pytest.mark.parametrize("hours", [0, 7, 13, 19.5])
    def test_full(
        self, granularity: str, hours: float, read: Sync, company: Company, pendo: PendoServer
    ) -> None:
        since = company.now - timedelta(days=6, hours=hours)
        streams = ("pendo_events", "pendo_guide_events")
        run = read(*streams, start_date=text(since), pendo_event_granularity=granularity)
        check(load(run), company, streams, granularity=granularity, since=since)
        assert len(asked(pendo, "events")) <= 10

    def test_every_state(self, granularity: str, read: Sync, company: Company) -> None:
        """A run may end anywhere; the next one completes the table, with lookback 0 too."""
        settings = {
            "start_date": ago(company, days=8),
            "pendo_event_granularity": granularity,
            "pendo_lookback_days": 0,
        }
        streams = ("pendo_events",)
        assert check_every_state(read, company, streams, settings, granularity) >= 8

    def test_windows_tile(self, granularity: str, read: Sync, company: Company) -> None:
        """Cut anywhere, all of a range comes, and nothing but whole buckets."""
        edges = [company.now - timedelta(hours=each) for each in (150.5, 101, 77.25, 50, 0)]
        runs = [
            read(
                "pendo_events",
                start_date=text(low),
                end_date=text(high),
                pendo_event_granularity=granularity,
            )
            for low, high in pairwise(edges)
        ]
        check(load(*runs), company, ["pendo_events"], granularity=granularity, since=edges[0])
        for run, high in zip(runs, edges[1:], strict=True):
            assert all(row[granularity] < text(high) for row in run.records("pendo_events"))


def check_every_state(
    read: Sync,
    company: Company,
    streams: tuple[str, ...],
    settings: dict[str, Any],
    granularity: str = "hour",
) -> int:
    """Kill the run after each STATE message that says something new, and continue from it."""
    first = read(*streams, **settings)
    states, last = 0, None
    for place, message in enumerate(first.messages):
        if message["type"] == "STATE" and message["value"] != last:
            last = message["value"]
            states += 1
            second = read(*streams, state=last, **settings)
            tables = Tables().load(first.messages[: place + 1]).load(second.messages)
            check(tables, company, streams, granularity=granularity)
    return states


def test_single_interactions_tile(read: Sync, company: Company) -> None:
    edges = [company.now - timedelta(hours=each) for each in (150.5, 101, 77.25, 50, 0)]
    runs = [
        read(*SINGLE, start_date=text(low), end_date=text(high)) for low, high in pairwise(edges)
    ]
    check(load(*runs), company, SINGLE, since=edges[0])
    for run, high in zip(runs, edges[1:], strict=True):
        for stream in SINGLE:
            assert all(row["browser_time"] < text(high) for row in run.records(stream))


# The limits of the service.


@pytest.mark.parametrize("granularity", ["hour", "day"])
@pytest.mark.parametrize("status", [504, 408, 500])
def test_the_bucket_limit_halves_windows(
    status: int, granularity: str, read: Sync, company: Company, pendo: PendoServer
) -> None:
    pendo.limits = Limits(bucket_limit=1, limit_status=status)
    run = read(*EVENTS, start_date=ago(company, days=3), pendo_event_granularity=granularity)
    check(load(run), company, granularity=granularity, since=company.now - 3 * DAY)
    for source in ("events", "guideEvents"):
        hours = 73
        # Each hour once; the first windows, several of them at once, fail and are cut.
        assert len(asked(pendo, source)) <= 6 * hours


@pytest.mark.parametrize("status", [504, 408, 500])
def test_the_row_limit_halves_windows(
    status: int, read: Sync, company: Company, pendo: PendoServer
) -> None:
    since = company.now - 4 * DAY
    per_hour: dict[str, int] = {}
    for row in company.rows("pendo_events", since=since):
        per_hour[row["hour"]] = per_hour.get(row["hour"], 0) + 1
    pendo.limits = Limits(row_limit=max(per_hour.values()), limit_status=status)
    run = read("pendo_events", start_date=text(since))
    check(load(run), company, ["pendo_events"], since=since)
    counts = {each["count"] for each in asked(pendo) if each["status"] == 200}
    assert max(counts) > 1
    assert any(each["status"] == status for each in asked(pendo))
    assert len(asked(pendo)) <= 3 * 97


def test_windows_grow_again(
    read: Sync, company: Company, pendo: PendoServer, caplog: pytest.LogCaptureFixture
) -> None:
    since = company.now - 40 * DAY
    edge = int((since + 5 * DAY).timestamp() * 1000)

    def slow(request: Request) -> Fault | None:
        series = json.loads(request.body)["request"]["pipeline"][0]["source"]["timeSeries"]
        heavy = series["first"] < edge and series["count"] > 3
        return Fault(status=504, body="upstream request timeout") if heavy else None

    pendo.fault = slow
    run = read("pendo_events", start_date=text(since), max_concurrency=2)
    check(load(run), company, ["pendo_events"])
    requests = sorted(asked(pendo), key=lambda each: int(each["first"]))
    late = [each["count"] for each in requests if each["first"] >= edge + 6 * 86_400_000]
    assert late
    assert set(late[:-1]) == {24}
    assert len(asked(pendo)) <= 40 + 5 * 24
    assert "too much at once" in log_text(caplog)


def test_a_bucket_that_never_works_fails_the_stream_and_keeps_what_was_read(
    read: Sync, company: Company, pendo: PendoServer
) -> None:
    bad = int(floor(company.now - 2 * DAY).timestamp() * 1000)

    def broken(request: Request) -> Fault | None:
        source = json.loads(request.body)["request"]["pipeline"][0]["source"]
        if "events" not in source:
            return None
        series = source["timeSeries"]
        covers = series["first"] <= bad < series["first"] + series["count"] * 3_600_000
        return Fault(status=504, body="upstream request timeout") if covers else None

    pendo.fault = broken
    settings: dict[str, Any] = {"start_date": ago(company, days=9), "pendo_lookback_days": 0}
    streams = ("pendo_events", "pendo_guide_events")
    first = read(*streams, max_retries=2, **settings)
    assert first.exit_code == 1
    assert "pendo_events" in first.error
    bookmark = first.bookmark("pendo_events")
    assert bookmark
    assert ago(company, days=3, hours=1) <= bookmark < ago(company, days=1)
    expected.check_events(Tables().load(first.messages), company, "pendo_guide_events")
    pendo.reset()
    second = read(*streams, state=first.state, **settings)
    check(Tables().load(first.messages).load(second.messages), company, streams)


# Killed.


@pytest.mark.parametrize("granularity", ["hour", "day"])
def test_every_state_is_one_to_continue_from(
    granularity: str, read: Sync, company: Company
) -> None:
    settings = {"start_date": ago(company, days=8), "pendo_event_granularity": granularity}
    streams = ("pendo_page_events", "pendo_poll_events", "pendo_track_events")
    assert check_every_state(read, company, streams, settings, granularity) >= 8


def test_states_come_with_the_windows(read: Sync, company: Company) -> None:
    """A backfill of years that is killed goes on where it was."""
    run = read("pendo_events", start_date=ago(company, days=8))
    bookmarks = [
        state["bookmarks"]["pendo_events"].get("replication_key_value") for state in run.states
    ]
    assert len({each for each in bookmarks if each}) >= 7
    assert bookmarks[-1] == text(floor(company.now) - HOUR)


# Pages and features rewrite history.

RULED = [
    ("pendo_page_events", "pages", "page_id", "pageId", "pageEvents"),
    ("pendo_feature_events", "features", "feature_id", "featureId", "featureEvents"),
]


def edit_rule(company: Company, table: str, key: str) -> None:
    if table == "pages":
        company.edit_page_rule(key)
    else:
        company.edit_feature_rule(key)


def busiest(company: Company, stream: str, column: str) -> str:
    """The object, not a deleted one, with the most rows."""
    ids: list[str] = [
        row[column] for row in company.rows(stream) if not row[column].startswith("deleted")
    ]
    return max(set(ids), key=ids.count)


def check_ruled(tables: Tables, company: Company, stream: str, column: str, key: str) -> None:
    """Rows of the old rule may stay in a target, since no API tells that they are gone."""
    wanted = expected.pendo(stream, expected.exact_rows(company, stream))
    needed = {expected.identity(row) for row in wanted}
    held = {expected.identity(row): row for row in tables.rows[stream].values()}
    assert needed <= held.keys(), f"{len(needed - held.keys())} of {len(needed)} missing"
    assert {held[each][column] for each in held.keys() - needed} <= {key}


@pytest.mark.parametrize("granularity", ["hour", "day"])
@pytest.mark.parametrize(("stream", "table", "column", "parameter", "source"), RULED)
def test_a_changed_rule_has_its_events_read_again(
    *,
    granularity: str,
    stream: str,
    table: str,
    column: str,
    parameter: str,
    source: str,
    read: Sync,
    company: Company,
    pendo: PendoServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings: dict[str, Any] = {
        "start_date": ago(company, days=9),
        "pendo_lookback_days": 1,
        "pendo_event_granularity": granularity,
    }
    first = read(stream, **settings)
    key = busiest(company, stream, parameter)
    before = company.rows(stream)
    edit_rule(company, table, key)
    assert company.rows(stream) != before
    pendo.reset()
    caplog.clear()
    second = read(stream, state=first.state, **settings)
    tables = load(first, second)
    raw = expected.exact_rows(company, stream, granularity=granularity)
    needed = {expected.identity(row) for row in expected.pendo(stream, raw)}
    held = {expected.identity(row): row for row in tables.rows[stream].values()}
    assert needed <= held.keys(), f"{len(needed - held.keys())} of {len(needed)} missing"
    assert {held[each][column] for each in held.keys() - needed} <= {key}
    single = [each for each in asked(pendo, source) if parameter in each["params"]]
    assert {each["params"][parameter] for each in single} == {key}
    assert all(each["params"]["appId"] for each in single)
    assert stream in log_text(caplog)
    assert key in log_text(caplog)
    pendo.reset()
    third = read(stream, state=second.state, **settings)
    assert third.exit_code == 0
    assert not [each for each in asked(pendo, source) if parameter in each["params"]]


@pytest.mark.parametrize(("stream", "table", "column", "parameter", "source"), RULED)
def test_a_changed_rule_is_ignored_by_setting(
    *,
    stream: str,
    table: str,
    column: str,
    parameter: str,
    source: str,
    read: Sync,
    company: Company,
    pendo: PendoServer,
) -> None:
    del column
    settings: dict[str, Any] = {
        "start_date": ago(company, days=9),
        "pendo_lookback_days": 0,
        "pendo_reread_on_rule_change": False,
    }
    first = read(stream, **settings)
    edit_rule(company, table, busiest(company, stream, parameter))
    pendo.reset()
    second = read(stream, state=first.state, **settings)
    assert second.exit_code == 0
    assert not [each for each in asked(pendo, source) if parameter in each["params"]]
    assert f"/api/v1/{table[:-1]}" not in {request.path for request in pendo.requests}


def test_an_object_that_is_being_rebuilt_waits(
    read: Sync, company: Company, pendo: PendoServer
) -> None:
    stream = "pendo_feature_events"
    settings: dict[str, Any] = {"start_date": ago(company, days=9), "pendo_lookback_days": 0}
    runs = [read(stream, **settings)]
    key = busiest(company, stream, "featureId")
    company.edit_feature_rule(key)
    company.edit("features", key, dirty=True)
    for dirty, single in ((True, False), (True, False), (False, True), (False, False)):
        company.edit("features", key, dirty=dirty)
        pendo.reset()
        runs.append(read(stream, state=runs[-1].state, **settings))
        again = [each for each in asked(pendo) if "featureId" in each["params"]]
        assert bool(again) == single, (dirty, runs[-1].state)
    check_ruled(load(*runs), company, stream, "feature_id", key)


def test_several_rules_changed_and_every_state_between_them(read: Sync, company: Company) -> None:
    stream = "pendo_page_events"
    settings: dict[str, Any] = {"start_date": ago(company, days=9), "pendo_lookback_days": 0}
    first = read(stream, **settings)
    keys = list(company.tables["pages"])[:3]
    for key in keys:
        company.edit_page_rule(key)
    wanted = expected.pendo(stream, expected.exact_rows(company, stream))
    needed = {expected.identity(row) for row in wanted}
    second = read(stream, state=first.state, **settings)
    last = None
    for place, message in enumerate(second.messages):
        if message["type"] == "STATE" and message["value"] != last:
            last = message["value"]
            third = read(stream, state=last, **settings)
            tables = load(first).load(second.messages[: place + 1]).load(third.messages)
            held = {expected.identity(row) for row in tables.rows[stream].values()}
            assert needed <= held, f"after message {place}: {last}"


def test_a_first_run_that_is_killed_still_notices_rules_that_change_meanwhile(
    read: Sync, company: Company
) -> None:
    stream = "pendo_page_events"
    settings: dict[str, Any] = {"start_date": ago(company, days=9), "pendo_lookback_days": 0}
    first = read(stream, **settings)
    states = [
        place
        for place, message in enumerate(first.messages)
        if message["type"] == "STATE"
        and message["value"]["bookmarks"][stream].get("replication_key_value")
    ]
    place = states[len(states) // 2]
    key = busiest(company, stream, "pageId")
    company.edit_page_rule(key)
    second = read(stream, state=first.messages[place]["value"], **settings)
    tables = Tables().load(first.messages[: place + 1]).load(second.messages)
    check_ruled(tables, company, stream, "page_id", key)


def test_a_clock_that_is_ahead_reads_no_day_in_progress(
    read: Sync, company: Company, clock: Clock
) -> None:
    """Rows of a bucket that goes on are read again by the next runs' lookback."""
    clock.ahead = timedelta(minutes=40)
    settings: dict[str, Any] = {"start_date": ago(company, days=9)}
    first = read("pendo_events", **settings)
    company.tick(1800)
    company.add_events(40, spread=0.01)
    company.tick(2 * 3600)
    second = read("pendo_events", state=first.state, **settings)
    assert (first.exit_code, second.exit_code) == (0, 0)
    check(load(first, second), company, ["pendo_events"])
