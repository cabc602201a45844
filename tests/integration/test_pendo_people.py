"""Visitors, accounts and their metadata: paged by id, whatever the ids and the rows look like."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tap_pendo_pipedrive.streams.pendo import people
from tests.harness import Run, Tables, discover, log_text, run_tap
from tests.integration import expected
from tests.sandbox import Company, Fault, Limits, PendoServer
from tests.sandbox.people import ACCOUNT_FIELDS, STRANGE_ACCOUNTS, STRANGE_VISITORS, VISITOR_FIELDS

if TYPE_CHECKING:
    from tests.integration.conftest import Sync

PEOPLE = {
    "pendo_visitors": ("visitors", "visitor_id"),
    "pendo_accounts": ("accounts", "account_id"),
}


def load(*runs: Run) -> Tables:
    tables = Tables()
    for run in runs:
        assert (run.exit_code, run.error) == (0, "")
        tables.load(run.messages)
    return tables


def pipelines(server: PendoServer) -> list[list[dict[str, Any]]]:
    """The pipelines that were asked for."""
    bodies = [request.body for request in server.requests if request.method == "POST"]
    return [json.loads(body)["request"]["pipeline"] for body in bodies]


@pytest.mark.parametrize("size", [1, 2, 7, 50, 10_000])
def test_pages_of_any_size(
    size: int, read: Sync, company: Company, pendo: PendoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "ROWS", size)
    run = read(*PEOPLE)
    tables = load(run)
    expected.check(tables, company, PEOPLE)
    ids = {row["visitor_id"] for row in run.records("pendo_visitors")}
    assert set(STRANGE_VISITORS) <= ids
    assert set(STRANGE_ACCOUNTS) <= {row["account_id"] for row in run.records("pendo_accounts")}
    rows = len(company.rows("pendo_visitors")) + len(company.rows("pendo_accounts"))
    # Each page repeats the last row of the one before.
    assert len(pipelines(pendo)) <= (2 * rows if size == 1 else rows / (size - 1) + 4)


@pytest.mark.parametrize("missing_first", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_several_rows_of_an_id_at_the_edges_of_pages(
    *,
    size: int,
    missing_first: bool,
    read: Sync,
    company: Company,
    pendo: PendoServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where an id has a row for each application, a page may hold one id only."""
    monkeypatch.setattr(people, "ROWS", size)
    pendo.limits = Limits(visitors_per_app=True, missing_first=missing_first)
    expected.check(load(read(*PEOPLE)), company, PEOPLE)


def test_a_page_that_comes_again_and_again_ends(
    read: Sync, company: Company, pendo: PendoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that ignores the filter must not keep the tap busy for ever."""
    monkeypatch.setattr(people, "ROWS", 5)

    def ignore(body: bytes) -> bytes:
        rows = sorted(company.rows("pendo_accounts"), key=lambda row: str(row["accountId"]))
        del body
        return json.dumps({"results": rows[:5]}).encode()

    pendo.fault = lambda r: Fault(mutate=ignore) if b'"accounts"' in r.body else None
    run = read(*PEOPLE)
    assert run.exit_code == 1
    assert "pendo_accounts" in run.error
    assert len(pendo.requests) < 100


def test_anonymous_visitors_come_by_setting(read: Sync, company: Company) -> None:
    run = read("pendo_visitors", pendo_include_anonymous_visitors=True)
    raw = expected.exact_rows(company, "pendo_visitors")
    wanted = expected.pendo("pendo_visitors", raw, anonymous=True)
    assert any(row["visitor_id"].startswith("_PENDO_T_") for row in wanted)
    tables = load(run)
    expected.compare(
        "pendo_visitors",
        tables.rows["pendo_visitors"],
        {(row["visitor_id"],): row for row in wanted},
    )


@pytest.mark.parametrize("stream", PEOPLE)
def test_applications_are_named(
    stream: str, read: Sync, company: Company, pendo: PendoServer
) -> None:
    table, key = PEOPLE[stream]
    app = -323232
    run = read(stream, pendo_app_ids=[app])
    known = company.analytics.people
    homes = known.visitor_apps if table == "visitors" else known.account_apps
    wanted = {k: row for k, row in expected.rows(company, stream).items() if app in homes[k[0]]}
    assert 0 < len(wanted) < len(expected.rows(company, stream))
    expected.compare(stream, load(run).rows[stream], wanted)
    assert {json.dumps(each[0]["source"][table]) for each in pipelines(pendo)} == {
        json.dumps({"appId": [app]})
    }
    assert key in run.of_type("SCHEMA")[0]["key_properties"]


def test_a_second_run_reads_what_changed_and_what_has_no_time(
    read: Sync, company: Company, pendo: PendoServer
) -> None:
    first = read(*PEOPLE)
    visitor, account = 'o"brien', STRANGE_ACCOUNTS[2]
    company.edit_visitor(visitor, "custom", nickname="New")
    company.edit_account(account, "agent", plan="enterprise")
    company.add_visitor('brand "new" \\ one', ["another account"])
    pendo.reset()
    second = read(*PEOPLE, state=first.state)
    expected.check(load(first, second), company, PEOPLE)
    for stream, (_, key) in PEOPLE.items():
        rows = expected.rows(company, stream)
        bookmark = first.bookmark(stream) or ""
        again = {row[key] for row in second.records(stream)}
        assert again == {
            row[key]
            for row in rows.values()
            if row["last_updated_at"] is None or row["last_updated_at"][:19] >= bookmark[:19]
        }
        assert len(again) < len(rows) / 2
        assert second.bookmark(stream) == max(
            row["last_updated_at"] for row in rows.values() if row["last_updated_at"]
        )
    filters = {step["filter"] for each in pipelines(pendo) for step in each if "filter" in step}
    assert all("metadata.auto.lastupdated >= " in text for text in filters)


@pytest.mark.parametrize("size", [2, 10_000])
def test_rows_without_a_time_are_kept_behind_a_start_date(
    size: int, read: Sync, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "ROWS", size)
    start = "2025-10-01T12:00:00Z"
    run = read(*PEOPLE, start_date=start)
    without = 0
    for stream in PEOPLE:
        wanted = {
            key: row
            for key, row in expected.rows(company, stream).items()
            if row["last_updated_at"] is None or row["last_updated_at"] >= start[:19]
        }
        without += sum(row["last_updated_at"] is None for row in wanted.values())
        expected.compare(stream, load(run).rows[stream], wanted)
    assert without > 2


def test_equal_times_of_a_push_of_metadata(
    read: Sync, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "ROWS", 3)
    company.tick_per_edit = 0
    ids = [row["visitorId"] for row in company.rows("pendo_visitors")]
    for key in ids[:40]:
        company.edit_visitor(key, "custom", nickname="First")
    first = read("pendo_visitors")
    for key in ids[30:70]:
        company.edit_visitor(key, "custom", nickname="Second")
    second = read("pendo_visitors", state=first.state)
    expected.check(load(first, second), company, ["pendo_visitors"])


def test_windows_tile(read: Sync, company: Company) -> None:
    edges = [None, "2025-06-01T00:00:00Z", "2025-12-24T18:00:00Z", None]
    seen: list[set[Any]] = []
    tables = Tables()
    for low, high in pairwise(edges):
        settings = {k: v for k, v in (("start_date", low), ("end_date", high)) if v}
        run = read(*PEOPLE, **settings)
        tables.load(run.messages)
        seen.append(
            {row["visitor_id"] for row in run.records("pendo_visitors") if row["last_updated_at"]}
        )
    expected.check(tables, company, PEOPLE)
    assert all(seen)
    assert not seen[0] & seen[1]
    assert not seen[1] & seen[2]


def test_a_visitor_deleted_in_the_middle_of_the_walk_loses_no_other(
    read: Sync, company: Company, pendo: PendoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "ROWS", 10)
    ids = sorted(row["visitorId"] for row in company.rows("pendo_visitors"))
    ids = [each for each in ids if not each.startswith("_PENDO_T_")]
    arrivals = 0

    def delete(request: Any) -> None:
        nonlocal arrivals
        if b'"visitors"' not in request.body:
            return
        arrivals += 1
        if arrivals == 3:
            for key in (ids[2], ids[18], ids[19], ids[20]):
                company.delete_visitor(key)

    pendo.before_answer = delete
    run = read("pendo_visitors")
    assert arrivals > 3
    found = {row["visitor_id"] for row in run.records("pendo_visitors")}
    kept = {row["visitorId"] for row in company.rows("pendo_visitors")}
    assert {each for each in kept if not each.startswith("_PENDO_T_")} <= found


# Metadata.


def test_metadata_streams_have_a_record_for_each_field(read: Sync, company: Company) -> None:
    streams = ("pendo_visitor_metadata", "pendo_account_metadata")
    run = read(*streams)
    expected.check(load(run), company, streams)
    assert len(run.records(streams[0])) == sum(map(len, VISITOR_FIELDS.values()))
    assert len(run.records(streams[1])) == sum(map(len, ACCOUNT_FIELDS.values()))


KINDS = {
    "string": {"string"},
    "boolean": {"boolean", "string"},
    "integer": {"integer", "number", "string"},
    "float": {"number", "string"},
    "time": {"integer", "string"},
    "list": {"array", "string"},
    "": {"object", "array", "string", "number", "boolean"},
}


@pytest.mark.parametrize(
    ("stream", "fields"), [("pendo_visitors", VISITOR_FIELDS), ("pendo_accounts", ACCOUNT_FIELDS)]
)
def test_metadata_is_typed_from_all_groups_and_open(
    stream: str, fields: dict[str, dict[str, str]], pendo_config: dict[str, Any]
) -> None:
    catalog = discover(pendo_config)
    entry = next(each for each in catalog["streams"] if each["tap_stream_id"] == stream)
    metadata = entry["schema"]["properties"]["metadata"]
    assert metadata.get("additionalProperties", True) is not False
    assert set(metadata["properties"]) == set(fields)
    for group, names in fields.items():
        definition = metadata["properties"][group]
        assert definition["additionalProperties"] is True
        assert set(definition["properties"]) == set(names)
        for name, kind in names.items():
            assert set(definition["properties"][name]["type"]) == KINDS[kind] | {"null"}


@pytest.mark.parametrize("status", [404, 500])
def test_metadata_stays_open_when_its_schema_cannot_be_read(
    *,
    status: int,
    pendo_config: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    company: Company,
    pendo: PendoServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pendo.fault = lambda r: Fault(status=status) if "/metadata/schema/" in r.path else None
    run = run_tap(monkeypatch, pendo_config | {"max_retries": 1})
    assert "untyped" in log_text(caplog)
    expected.check(Tables().load(run.messages), company, PEOPLE)
    for message in run.of_type("SCHEMA"):
        if message["stream"] in PEOPLE:
            assert message["schema"]["properties"]["metadata"]["properties"] == {}
