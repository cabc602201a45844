"""A first run: every row of every stream, with few requests."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from tap_pendo_pipedrive.streams.pendo.events import EventStream
from tests import harness
from tests.harness import Run, Tables, discover, select
from tests.integration import expected
from tests.integration.expected import STREAMS
from tests.sandbox import Company, PendoServer, PipedriveServer

if TYPE_CHECKING:
    from tests.integration.conftest import Sync
    from tests.sandbox.server import Request


class FullSync:
    """One run over a company whose larger lists have several pages."""

    def __init__(self) -> None:
        self.company = Company(scale=0.12)
        with (
            PipedriveServer(self.company) as pipedrive,
            PendoServer(self.company) as pendo,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(EventStream, "selected_by_default", False)
            self.config = {
                "pipedrive_api_token": pipedrive.token,
                "pipedrive_api_url": pipedrive.url,
                "pendo_integration_key": pendo.key,
                "pendo_api_url": pendo.url,
            }
            self.run: Run = harness.run_tap(patch, self.config)
            self.pipedrive = list(pipedrive.requests)
            self.pendo = list(pendo.requests)
            self.bugs = [*pipedrive.errors, *pendo.errors]
        self.tables = Tables().load(self.run.messages)

    def to(self, path: str) -> list[Request]:
        return [request for request in [*self.pipedrive, *self.pendo] if request.path == path]


@pytest.fixture(scope="module")
def full() -> FullSync:
    """A full sync that several tests look at."""
    return FullSync()


def test_succeeds(full: FullSync) -> None:
    assert (full.run.exit_code, full.run.error, full.bugs) == (0, "", [])
    refused = [r.path for r in [*full.pipedrive, *full.pendo] if r.status != 200]
    # Reports on anything but visitors and accounts have no results to export.
    kinds = {row["id"]: row["type"] for row in full.company.rows("reports")}
    without = [key for key, kind in kinds.items() if kind not in {"Visitor", "Account"}]
    assert sorted(refused) == sorted(f"/api/v1/report/{key}/results.json" for key in without)


@pytest.mark.parametrize("stream", STREAMS)
def test_table_equals_the_companys_rows(full: FullSync, stream: str) -> None:
    assert full.company.rows(stream)
    expected.check(full.tables, full.company, [stream])


@pytest.mark.parametrize("stream", STREAMS)
def test_every_row_comes_once(full: FullSync, stream: str) -> None:
    keys = [STREAMS[stream].key_of(record) for record in full.run.records(stream)]
    assert len(keys) == len(set(keys))


def test_the_company_has_what_the_comparison_is_about(full: FullSync) -> None:
    """Without such rows the comparison would pass for the wrong reason."""
    deals = full.company.rows("deals")
    kinds = {(row["is_archived"], row["is_deleted"]) for row in deals}
    assert kinds == {(a, d) for a in (False, True) for d in (False, True)}
    assert any(row["update_time"] is None for row in deals)
    assert any("brand_new_attribute" in row for row in deals)
    files = full.company.rows("files")
    assert any(row["active_flag"] is not True and row["active_flag"] == 1 for row in files)
    assert any(row["last_login"].startswith("0000") for row in full.company.rows("users"))
    types = {row["field_code"]: row["field_type"] for row in full.company.rows("deal_fields")}
    codes = {name[:40] for row in full.company.rows("leads") for name in row if len(name) >= 40}
    v1_types = {types[code] for code in codes}
    assert {"enum", "set", "monetary", "daterange", "time", "timerange", "address"} <= v1_types


def test_unknown_attributes_pass_through(full: FullSync) -> None:
    deals = [row for row in full.run.records("pipedrive_deals") if "brand_new_attribute" in row]
    leads = [row for row in full.run.records("pipedrive_leads") if "brand_new_attribute" in row]
    pages = [row for row in full.run.records("pendo_pages") if "brand_new_attribute" in row]
    assert deals[0]["brand_new_attribute"] == {"since": "this morning", "level": 3}
    assert leads[0]["brand_new_attribute"] == "hello"
    assert pages[0]["brand_new_attribute"] == ["?"]


def test_leads_have_custom_fields_in_the_encoding_of_deals(full: FullSync) -> None:
    types = {row["field_code"]: row["field_type"] for row in full.company.rows("deal_fields")}
    shapes: dict[str, set[type]] = {}
    for lead in full.run.records("pipedrive_leads"):
        assert not [name for name in lead if len(name) >= 40]
        for code, value in lead["custom_fields"].items():
            shapes.setdefault(types[code], set()).add(type(value))
    assert shapes["enum"] == {int}
    assert shapes["set"] == {list}
    assert shapes["monetary"] == shapes["daterange"] == shapes["address"] == {dict}
    assert shapes["varchar"] == {str}


def test_lists_are_asked_for_in_the_largest_pages(full: FullSync) -> None:
    largest = {"/v1/callLogs": "50", "/v1/files": "100"}
    paged = [request for request in full.pipedrive if "limit" in request.params]
    for request in paged:
        assert request.params["limit"] == largest.get(request.path, "500")
    unpaged = {request.path for request in full.pipedrive if "limit" not in request.params}
    assert unpaged == {
        "/api/v2/boards",
        "/api/v2/phases",
        "/v1/activityTypes",
        "/v1/currencies",
        "/v1/filters",
        "/v1/goals/find",
        "/v1/leadLabels",
        "/v1/leadSources",
        "/v1/legacyTeams",
        "/v1/noteFields",
        "/v1/permissionSets",
        *(f"/v1/roles/{row['id']}/settings" for row in full.company.rows("roles")),
        "/v1/users",
    }


def test_no_more_requests_than_pages(full: FullSync) -> None:
    company = full.company
    current = [row for row in company.rows("deals") if not row["is_archived"]]
    assert len(full.to("/api/v2/deals")) == math.ceil(len(current) / 500) > 1
    activities = math.ceil(len(company.rows("activities")) / 500)
    assert len(full.to("/api/v2/activities")) == activities > 1
    assert len(full.to("/api/v2/persons")) == math.ceil(len(company.rows("persons")) / 500) > 1
    assert len(full.to("/v1/users")) == len(full.to("/v1/roles")) == 1


def test_field_definitions_are_fetched_once(full: FullSync) -> None:
    for stream in STREAMS:
        if stream.endswith("_fields"):
            assert len(full.to(STREAMS[stream].path)) == 1, stream


@pytest.mark.parametrize("child", ["products", "installments"])
def test_children_of_deals_cost_a_request_for_a_hundred_deals(full: FullSync, child: str) -> None:
    path = f"/api/v2/deals/{child}"
    deals = full.company.rows("deals")
    archived = [row for row in deals if row["is_archived"]]
    batches = math.ceil((len(deals) - len(archived)) / 100) + math.ceil(len(archived) / 100)
    requests = full.to(path)
    first_pages = [request for request in requests if "cursor" not in request.params]
    assert len(first_pages) == batches
    asked = [int(key) for request in first_pages for key in request.params["deal_ids"].split(",")]
    assert sorted(asked) == sorted(row["id"] for row in deals)
    items = full.company.rows(f"deal_{child}")
    assert len(requests) - len(first_pages) <= len(items) / 500


def test_every_optional_attribute_is_asked_for(full: FullSync) -> None:
    asked = {
        request.path: set(request.params["include_fields"].split(","))
        for request in full.pipedrive
        if "include_fields" in request.params
    }
    assert asked["/api/v2/deals"] == asked["/api/v2/deals/archived"]
    assert len(asked["/api/v2/deals"]) == 16
    assert len(asked["/api/v2/persons"]) == 24
    assert len(asked["/api/v2/organizations"]) == 19
    assert asked["/api/v2/activities"] == {"attendees"}
    definitions = {"ui_visibility", "important_fields", "required_fields"}
    for entity in ("deal", "person", "organization"):
        assert asked[f"/api/v2/{entity}Fields"] == definitions
    for entity in ("activity", "product"):
        assert asked[f"/api/v2/{entity}Fields"] == {"ui_visibility"}


def test_credentials_are_in_headers_only(full: FullSync) -> None:
    token, key = full.config["pipedrive_api_token"], full.config["pendo_integration_key"]
    assert {request.headers.get("x-api-token") for request in full.pipedrive} == {token}
    assert {request.headers.get("x-pendo-integration-key") for request in full.pendo} == {key}
    for request in [*full.pipedrive, *full.pendo]:
        address = request.path + "?" + urlencode(request.query)
        assert token not in address
        assert key not in address
        assert "authorization" not in request.headers
    assert not [request for request in full.pendo if "x-api-token" in request.headers]


def test_pendo_lists_name_all_applications(full: FullSync) -> None:
    for name in ("page", "feature", "guide", "tracktype"):
        assert {tuple(r.params.items()) for r in full.to(f"/api/v1/{name}")} == {(("expand", "*"),)}
    assert {tuple(r.params.items()) for r in full.to("/api/v1/report")} == {()}
    for request in full.to("/api/v1/aggregation"):
        source = json.loads(request.body)["request"]["pipeline"][0]["source"]
        for params in source.values():
            assert "guideId" in params or params["appId"] == 'expandAppIds("*")'


def test_without_start_date_nothing_is_filtered(full: FullSync) -> None:
    assert not [request for request in full.pipedrive if "updated_since" in request.params]


def test_without_archived(sync: Sync, company: Company, pipedrive: PipedriveServer) -> None:
    run = sync(pipedrive_include_archived=False)
    assert run.exit_code == 0
    for stream in ("pipedrive_deals", "pipedrive_leads"):
        wanted = {
            key: row
            for key, row in expected.rows(company, stream).items()
            if not row["is_archived"]
        }
        expected.compare(stream, Tables().load(run.messages).rows[stream], wanted)
    assert not [request for request in pipedrive.requests if request.path.endswith("/archived")]


def test_without_deleted(sync: Sync, company: Company) -> None:
    run = sync(pipedrive_include_deleted=False)
    wanted = {
        key: row
        for key, row in expected.rows(company, "pipedrive_deals").items()
        if not row["is_deleted"]
    }
    assert len(wanted) < len(company.rows("pipedrive_deals"))
    expected.compare("pipedrive_deals", Tables().load(run.messages).rows["pipedrive_deals"], wanted)


@pytest.mark.parametrize("apps", [[-323232], [5184920477540352, 6023374587543552]])
def test_pendo_app_ids_limit_what_belongs_to_applications(
    sync: Sync, company: Company, apps: list[int]
) -> None:
    run = sync(pendo_app_ids=apps)
    tables = Tables().load(run.messages)
    found = 0
    for stream in ("pendo_pages", "pendo_features", "pendo_guides"):
        wanted = {
            key: row for key, row in expected.rows(company, stream).items() if row["app_id"] in apps
        }
        found += len(wanted)
        expected.compare(stream, tables.rows[stream], wanted)
    assert found
    expected.check(tables, company, ["pendo_reports"])


def test_deselected_streams_make_no_request(
    sync: Sync, config: dict[str, Any], pipedrive: PipedriveServer, pendo: PendoServer
) -> None:
    catalog = select(discover(config), "pipedrive_users", "pendo_pages")
    for server in (pipedrive, pendo):
        server.reset()
    run = sync(catalog=catalog)
    assert sorted(run.streams) == ["pendo_pages", "pipedrive_users"]
    assert [request.path for request in pendo.requests] == ["/api/v1/page"]
    lists = [r.path for r in pipedrive.requests if not r.path.endswith("Fields")]
    assert lists == ["/v1/users"]


def test_deselected_property_is_dropped(
    sync: Sync, config: dict[str, Any], company: Company
) -> None:
    catalog = select(discover(config), "pipedrive_persons")
    entry = next(e for e in catalog["streams"] if e["tap_stream_id"] == "pipedrive_persons")
    for metadata in entry["metadata"]:
        if metadata["breadcrumb"] == ["properties", "job_title"]:
            metadata["metadata"]["selected"] = False
    run = sync(catalog=catalog)
    schema = next(m for m in run.of_type("SCHEMA") if m["stream"] == "pipedrive_persons")["schema"]
    assert "job_title" not in schema["properties"]
    wanted = expected.rows(company, "pipedrive_persons")
    for row in wanted.values():
        del row["job_title"]
    tables = Tables().load(run.messages)
    expected.compare("pipedrive_persons", tables.rows["pipedrive_persons"], wanted)


@pytest.mark.parametrize("parent", ["deselected", "absent"])
def test_products_of_deals_without_the_deals(
    parent: str, sync: Sync, config: dict[str, Any], company: Company
) -> None:
    child = "pipedrive_deal_products"
    catalog = select(discover(config), child)
    if parent == "absent":
        catalog["streams"] = [e for e in catalog["streams"] if e["tap_stream_id"] == child]
    run = sync(catalog=catalog)
    assert run.exit_code == 0
    assert run.records("pipedrive_deals") == []
    expected.check(Tables().load(run.messages), company, [child])


def test_deals_without_their_products_cost_no_request_for_them(
    sync_only: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    run = sync_only("pipedrive_deals")
    assert not [r for r in pipedrive.requests if r.path == "/api/v2/deals/products"]
    expected.check(Tables().load(run.messages), company, ["pipedrive_deals"])


@pytest.mark.parametrize(
    ("page_end", "v1_block"), [("null", "nested"), ("key", "flat"), ("block", "none")]
)
def test_any_documented_way_to_end_a_list(
    page_end: str,
    v1_block: str,
    monkeypatch: pytest.MonkeyPatch,
    company: Company,
    small_pages: int,
) -> None:
    with PipedriveServer(company, page_end=page_end, v1_block=v1_block) as server:
        config = {"pipedrive_api_token": server.token, "pipedrive_api_url": server.url}
        run = harness.run_tap(monkeypatch, config)
        assert len(server.requests) > 50
    assert run.exit_code == 0
    expected.check(Tables().load(run.messages), company, expected.PIPEDRIVE)


def test_no_more_requests_in_flight_than_max_concurrency(
    sync: Sync, pipedrive: PipedriveServer
) -> None:
    pipedrive.latency = 0.01
    sync(max_concurrency=2)
    assert pipedrive.max_in_flight == 2


def test_empty_company(sync: Sync, company: Company) -> None:
    people = company.analytics.people
    people.visitors.clear()
    people.accounts.clear()
    for table in list(company.tables):
        company.tables[table].clear()
        company.touch(table)
    company.deal_items.clear()
    run = sync()
    assert (run.exit_code, run.error) == (0, "")
    assert sorted(run.streams) == sorted(STREAMS)
    described = {"pendo_account_metadata", "pendo_visitor_metadata"}
    assert {message["stream"] for message in run.of_type("RECORD")} == described
