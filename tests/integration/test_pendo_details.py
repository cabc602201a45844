"""Streams with a request for each object: report results, what was seen, visitors' histories."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tap_pendo_pipedrive.core.stream import ApiStream
from tests.harness import Run, Tables, discover, log_text
from tests.integration import expected
from tests.sandbox import Company, Fault, Limits, PendoServer

if TYPE_CHECKING:
    from tests.integration.conftest import Sync

SEEN = ("pendo_guides_seen", "pendo_polls_seen")
HISTORY = "pendo_visitor_history"
DAY = timedelta(days=1)
NOW = datetime(2026, 3, 12, 9, 0, tzinfo=timezone.utc)


@pytest.fixture
def company() -> Company:
    """A company with a few days of usage."""
    return Company(scale=0.02, now=NOW, usage_days=5, usage_per_day=60)


def load(*runs: Run) -> Tables:
    tables = Tables()
    for run in runs:
        assert (run.exit_code, run.error) == (0, "")
        tables.load(run.messages)
    return tables


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# Report results.


def test_results_of_reports(read: Sync, company: Company, caplog: pytest.LogCaptureFixture) -> None:
    for kind in ("Visitor", "Account", "Path", "Funnel"):
        company.add("reports", type=kind)
    run = read("pendo_report_results")
    expected.check(load(run), company, ["pendo_report_results"])
    kinds = {row["id"]: row["type"] for row in company.rows("reports")}
    asked = {row["report_id"] for row in run.records("pendo_report_results")}
    assert {kinds[key] for key in asked} == {"Visitor", "Account"}
    for key, kind in kinds.items():
        skipped = f"skipping report {key}" in log_text(caplog)
        assert skipped == (kind in {"Path", "Funnel"}), kind


def test_a_row_of_a_report_keeps_its_key(read: Sync, company: Company) -> None:
    first, second = read("pendo_report_results"), read("pendo_report_results")
    keys = [row["row_key"] for row in first.records("pendo_report_results")]
    assert keys == [row["row_key"] for row in second.records("pendo_report_results")]
    assert company.rows("pendo_report_results")


def test_a_report_that_is_down_fails_the_stream(
    read: Sync, company: Company, pendo: PendoServer
) -> None:
    """A failure that may pass is no reason to skip a report in silence."""
    key = next(row["id"] for row in company.rows("reports") if row["type"] == "Visitor")
    pendo.fault = lambda r: Fault(status=503) if key in r.path else None
    run = read("pendo_report_results", max_retries=1)
    assert run.exit_code == 1
    assert "pendo_report_results" in run.error


# What was seen.


@pytest.mark.parametrize("response", ["response", "pollResponse"])
@pytest.mark.parametrize("needs_time_series", [False, True])
def test_what_was_seen(
    *,
    needs_time_series: bool,
    response: str,
    read: Sync,
    company: Company,
    pendo: PendoServer,
) -> None:
    """The documentation contradicts itself about the time series; both readings work."""
    pendo.limits = Limits(ever_needs_time_series=needs_time_series, response_name=response)
    tables = load(read(*SEEN))
    assert tables.rows["pendo_guides_seen"]
    wanted = expected.rows(company, "pendo_guides_seen")
    expected.compare("pendo_guides_seen", tables.rows["pendo_guides_seen"], wanted)
    polls = [
        {("response" if name == "response" else name): value for name, value in row.items()}
        for row in expected.rows(company, "pendo_polls_seen").values()
    ]
    column = "response" if response == "response" else "poll_response"
    polls = [{**row, column: row["response"]} for row in polls]
    if column != "response":
        for row in polls:
            del row["response"]
    found = tables.rows["pendo_polls_seen"]
    assert set(found) == set(expected.rows(company, "pendo_polls_seen"))
    for row in polls:
        key = (row["visitor_id"], row["account_id"], row["guide_id"], row["poll_id"])
        held = found[key]
        assert held.get("response", held.get("poll_response")) == row[column]


def test_guides_of_other_applications_were_seen_too(read: Sync, company: Company) -> None:
    run = read("pendo_guides_seen")
    homes = {row["id"]: row["appId"] for row in company.rows("guides")}
    apps = {homes[row["guideId"]] for row in company.rows("pendo_guides_seen")}
    assert len(apps) > 1
    assert {homes[row["guide_id"]] for row in run.records("pendo_guides_seen")} == apps


def test_an_unknown_refusal_fails_the_stream(read: Sync, pendo: PendoServer) -> None:
    pendo.fault = lambda r: (
        Fault(status=400, body="something else") if b"guidesSeenEver" in r.body else None
    )
    run = read(*SEEN)
    assert run.exit_code == 1
    assert "pendo_guides_seen" in run.error
    assert "pendo_polls_seen" not in run.error


# Visitors' histories.


def history(company: Company, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """Rows of the whole days of a range, of identified visitors."""
    raw = expected.exact_rows(company, HISTORY, since=since, until=until)
    known = {row["visitorId"] for row in company.rows("pendo_visitors")}
    rows = [row for row in raw if row["visitorId"] in known]
    rows = [row for row in rows if not row["visitorId"].startswith("_PENDO_T_")]
    return expected.pendo(HISTORY, rows)


def midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def test_history_is_deselected_by_default(
    pendo_config: dict[str, Any], sync: Sync, pendo: PendoServer
) -> None:
    entry = next(
        each for each in discover(pendo_config)["streams"] if each["tap_stream_id"] == HISTORY
    )
    (root,) = [each["metadata"] for each in entry["metadata"] if not each["breadcrumb"]]
    assert root["selected-by-default"] is False
    run = sync()
    assert HISTORY not in run.streams
    assert not [request for request in pendo.requests if request.path.endswith("/history")]


def test_history(read: Sync, company: Company, pendo: PendoServer) -> None:
    pendo.latency = 0.002
    since = NOW - 4 * DAY
    run = read(HISTORY, start_date=text(since))
    wanted = history(company, midnight(since), midnight(NOW))
    assert wanted
    expected.check_rows(HISTORY, load(run).rows[HISTORY].values(), wanted)
    asked = [request for request in pendo.requests if request.path.endswith("/history")]
    visitors = len(expected.rows(company, "pendo_visitors"))
    assert len(asked) <= visitors * 4
    assert pendo.max_in_flight > 1
    assert not pendo.errors


@pytest.mark.parametrize("lookback", [0, 1])
def test_history_goes_on_from_every_state(
    lookback: int, read: Sync, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ApiStream, "STATE_MSG_FREQUENCY", 1)
    settings: dict[str, Any] = {
        "start_date": text(NOW - 5 * DAY),
        "pendo_lookback_days": lookback,
    }
    first = read(HISTORY, **settings)
    wanted = history(company, midnight(NOW - 5 * DAY), midnight(NOW))
    last, states, least = None, 0, len(first.records(HISTORY))
    for place, message in enumerate(first.messages):
        if message["type"] != "STATE" or message["value"] == last:
            continue
        last = message["value"]
        states += 1
        second = read(HISTORY, state=last, **settings)
        tables = Tables().load(first.messages[: place + 1]).load(second.messages)
        expected.check_rows(HISTORY, tables.rows[HISTORY].values(), wanted)
        least = min(least, len(second.records(HISTORY)))
    assert states >= 4
    assert least < len(first.records(HISTORY)) * 0.8


def test_history_of_the_days_since(read: Sync, company: Company) -> None:
    settings: dict[str, Any] = {"start_date": text(NOW - 3 * DAY), "pendo_lookback_days": 0}
    runs = [read(HISTORY, **settings)]
    for hours in (5, 30):
        company.tick(hours * 3600)
        company.add_events(60, spread=hours / 24 * 0.9)
        runs.append(read(HISTORY, state=runs[-1].state, **settings))
    wanted = history(company, midnight(NOW - 3 * DAY), midnight(company.now))
    expected.check_rows(HISTORY, load(*runs).rows[HISTORY].values(), wanted)


def test_history_reaches_180_days_back_at_most(
    read: Sync, company: Company, pendo: PendoServer
) -> None:
    known = company.analytics.people.visitors
    for key in list(known)[3:]:
        del known[key]
    for row in known.values():
        auto = row["metadata"].setdefault("auto", {})
        auto |= {"firstvisit": 1_500_000_000_000, "lastvisit": int(NOW.timestamp() * 1000)}
    run = read(HISTORY, start_date="2020-01-01T00:00:00Z")
    assert run.exit_code == 0
    starts = {
        int(request.params["starttime"])
        for request in pendo.requests
        if request.path.endswith("/history")
    }
    assert min(starts) >= int((NOW - 180 * DAY).timestamp() * 1000) - 1
    assert len(starts) == 179


def test_history_of_ids_with_any_characters(read: Sync, company: Company) -> None:
    ids = ['o"brien', "a/b?c=d&e=f#g", "100% sure", "美咲@例え.jp", " spaces around ", "trailing\\"]
    for key in ids:
        company.add_events(3, spread=0.3, visitor=key)
    company.tick(86_400)
    run = read(HISTORY, start_date=text(NOW - DAY))
    assert set(ids) <= {row["visitor_id"] for row in run.records(HISTORY)}


def test_history_until_the_end_date(read: Sync, company: Company) -> None:
    since, until = midnight(NOW - 4 * DAY), midnight(NOW - 2 * DAY)
    run = read(HISTORY, start_date=text(since), end_date=text(until))
    wanted = history(company, since, until)
    expected.check_rows(HISTORY, load(run).rows[HISTORY].values(), wanted)


def test_refused_histories_fail_the_stream_with_the_reason(
    read: Sync, pendo: PendoServer, caplog: pytest.LogCaptureFixture
) -> None:
    pendo.history_refused = True
    run = read(HISTORY, "pendo_segments", start_date=text(NOW - DAY))
    assert run.exit_code == 1
    assert HISTORY in run.error
    assert "422" in log_text(caplog)
    assert run.records("pendo_segments")
    assert len([r for r in pendo.requests if r.path.endswith("/history")]) < 20


def test_a_visitor_deleted_meanwhile_is_skipped(
    read: Sync, company: Company, pendo: PendoServer
) -> None:
    gone = 'o"brien'
    deleted = False

    def delete(request: Any) -> None:
        nonlocal deleted
        if request.path.endswith("/history") and not deleted:
            deleted = True
            company.delete_visitor(gone)

    pendo.before_answer = delete
    run = read(HISTORY, start_date=text(NOW - 3 * DAY))
    assert deleted
    assert (run.exit_code, run.error) == (0, "")
    wanted = history(company, midnight(NOW - 3 * DAY), midnight(NOW))
    found = {expected.identity(row) for row in run.records(HISTORY)}
    assert {expected.identity(row) for row in wanted} <= found


def test_bodies_of_the_lists_are_asked_for_once_for_each_stream(
    read: Sync, pendo: PendoServer
) -> None:
    read(*SEEN, "pendo_guides", "pendo_report_results", "pendo_reports")
    paths = [request.path for request in pendo.requests if request.method == "GET"]
    assert paths.count("/api/v1/guide") <= 3
    assert paths.count("/api/v1/report") <= 2
    assert json.dumps(paths)
