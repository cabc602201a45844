"""The sandbox servers answer as the vendors' documentation says."""

from __future__ import annotations

import base64
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox import Company, Fault, OAuthApp, PendoServer, PipedriveServer, Request, refuse
from tests.sandbox.changes import add_attribute, change_type, clear_out
from tests.sandbox.endpoints import ENDPOINTS
from tests.sandbox.fields import CUSTOM_TYPES, of_code
from tests.sandbox.pendo import LISTS, OF_APPS
from tests.sandbox.relations import LONG_HISTORY
from tests.sandbox.sales import DEAL_OPTIONAL
from tests.sandbox.tables import ALL_TABLES
from tests.sandbox.usage import DEFAULT_APP

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, Mapping

Row = dict[str, Any]
V2 = [
    path
    for path, endpoint in ENDPOINTS.items()
    if endpoint.paging == "cursor" and not endpoint.parent and not endpoint.required
]
CHILDREN = [path for path, endpoint in ENDPOINTS.items() if endpoint.parent]
ALL_STATUSES = "open,won,lost,deleted"
ALL_PROJECTS = "open,completed,canceled,deleted"
FOLDERS = ("inbox", "drafts", "sent", "archive")


class Answer:
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)


def send(
    url: str,
    headers: dict[str, str] | None = None,
    *,
    body: bytes | None = None,
    **params: Any,
) -> Answer:
    if params:
        url += "?" + urllib.parse.urlencode(params, doseq=True)
    request = urllib.request.Request(url, body, headers or {})
    try:
        with OPENER.open(request, timeout=20) as answer:
            return Answer(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as problem:
        with problem:
            return Answer(problem.code, dict(problem.headers), problem.read())


def get(server: PipedriveServer, path: str, **params: Any) -> Answer:
    return send(server.url + path, {"x-api-token": "sandbox-token"}, **params)


def walk(server: PipedriveServer, path: str, **params: Any) -> list[Row]:
    """Every row of a cursor list."""
    rows: list[Row] = []
    while True:
        answer = get(server, path, **params)
        assert answer.status == 200, answer.body
        rows += answer.json["data"]
        cursor = (answer.json.get("additional_data") or {}).get("next_cursor")
        if not cursor:
            return rows
        params["cursor"] = cursor


def walk_offset(server: PipedriveServer, path: str, **params: Any) -> list[Row]:
    """Every row of an offset list."""
    rows: list[Row] = []
    params.setdefault("start", 0)
    while True:
        answer = get(server, path, **params)
        assert answer.status == 200, answer.body
        rows += answer.json["data"] or []
        block = answer.json.get("additional_data")
        if block is None:
            # Without a paging block, a page that is not full is the last one.
            if len(answer.json["data"] or []) < params["limit"]:
                return rows
            params["start"] += params["limit"]
            continue
        block = block.get("pagination", block)
        if not block["more_items_in_collection"]:
            return rows
        params["start"] = block["next_start"]


def by_id(rows: list[Row], key: str = "id") -> dict[Any, Row]:
    found = {row[key]: row for row in rows}
    assert len(found) == len(rows), "a row came twice"
    return found


@pytest.fixture
def company() -> Company:
    return Company(scale=0.05)


@pytest.fixture
def server(company: Company) -> Iterator[PipedriveServer]:
    with PipedriveServer(company) as running:
        yield running
        assert not running.errors


@pytest.fixture(scope="module")
def still() -> Iterator[PipedriveServer]:
    """A server for the tests that change nothing."""
    with PipedriveServer(Company(scale=0.05)) as running:
        yield running
        assert not running.errors


@pytest.fixture
def pendo(company: Company) -> Iterator[PendoServer]:
    with PendoServer(company) as running:
        yield running
        assert not running.errors


# The invented company


def test_same_arguments_make_the_same_company() -> None:
    first, second = Company(scale=0.01, seed=3), Company(scale=0.01, seed=3)
    assert first.tables == second.tables
    assert first.accounts == second.accounts
    assert Company(scale=0.01, seed=4).tables["deals"] != first.tables["deals"]


def test_full_size() -> None:
    start = time.monotonic()
    company = Company()
    assert time.monotonic() - start < 10
    sizes = {name: len(rows) for name, rows in company.tables.items()}
    deals = list(company.tables["deals"].values())
    assert sizes["deals"] == 8000
    assert sizes["activities"] == 12000
    assert sum(row["is_archived"] for row in deals) == 600
    assert 120 <= sum(row["is_deleted"] for row in deals) <= 200
    assert any(row["is_deleted"] and row["is_archived"] for row in deals)
    shared = Counter(row["update_time"] for row in deals if row["update_time"])
    assert shared.most_common(1)[0][1] > 500, "no second is fuller than a page"
    assert len(company.accounts) > 300


def test_ugly_parts(company: Company) -> None:
    tables = company.tables
    assert any(row["update_time"] is None for row in tables["deals"].values())
    assert any(row["update_time"] is None for row in tables["persons"].values())
    assert any(row["modified"] is None for row in tables["users"].values())
    assert any(row["last_login"] == "0000-00-00 00:00:00" for row in tables["users"].values())
    assert any(row["active_flag"] == 1 for row in tables["files"].values())
    assert any(row["publishedAt"] == 0 for row in tables["guides"].values())
    assert any("brand_new_attribute" in row for row in tables["deals"].values())
    custom = [row for row in tables["deal_fields"].values() if row["is_custom_field"]]
    assert {row["field_type"] for row in custom} == set(CUSTOM_TYPES)
    assert len({row["field_name"] for row in custom}) < len(custom)
    assert all(len(row["field_code"]) == 40 for row in custom)


def test_accounts_are_organizations(company: Company) -> None:
    for domain, key in company.accounts.items():
        assert company.tables["organizations"][key]["website"] == f"https://{domain}"
    texts = json.dumps([row["audience"] for row in company.tables["guides"].values()])
    assert any(domain in texts for domain in company.accounts)


def test_counters_follow_edits(company: Company) -> None:
    deal = next(key for key, row in company.tables["deals"].items() if row["org_id"])
    row = company.tables["deals"][deal]
    org = company.tables["organizations"][row["org_id"]]
    company.edit("deals", deal, status="open")
    opened, products = org["open_deals_count"], row["products_count"]
    company.edit("deals", deal, status="won")
    assert org["open_deals_count"] == opened - 1
    before = row["update_time"]
    item = company.add_product_to_deal(deal, 1)
    assert row["products_count"] == products + 1 == len(company.deal_items[deal])
    assert row["update_time"] > before
    before = row["update_time"]
    company.remove_product_from_deal(item["id"])
    assert row["products_count"] == products
    assert row["update_time"] > before


def test_line_items_may_leave_their_deal_unmoved(company: Company) -> None:
    company.items_move_deals = False
    item = next(iter(company.tables["deal_products"].values()))
    deal = company.get("deals", item["deal_id"])
    company.edit("deal_products", item["id"], quantity=99)
    assert company.get("deals", item["deal_id"]) == deal
    company.items_move_deals = True
    company.edit("deal_products", item["id"], quantity=98)
    assert company.get("deals", item["deal_id"])["update_time"] == company.stamp("deals")


def test_deleted_deals_are_gone_after_thirty_days(company: Company) -> None:
    company.delete("deals", 2)
    assert company.tables["deals"][2]["status"] == "deleted"
    company.tick(29 * 86400)
    assert 2 in company.tables["deals"]
    company.tick(2 * 86400)
    assert 2 not in company.tables["deals"]
    assert all(row["deal_id"] != 2 for row in company.tables["deal_products"].values())


@pytest.mark.parametrize("table", sorted(ALL_TABLES))
def test_every_table_takes_new_rows_and_edits(company: Company, table: str) -> None:
    info = ALL_TABLES[table]
    row = company.add(table)
    key = next(key for key, each in company.tables[table].items() if each is row)
    assert not info.key or row[info.key] == key
    company.edit(table, key, brand_new_attribute=1)
    if info.updated:
        assert row[info.updated] == company.stamp(table)
    prefix = "pendo_" if table in LISTS.values() else "pipedrive_"
    assert any(kept(table, each) >= kept(table, row) for each in company.rows(prefix + table))
    company.delete(table, key)
    assert (key in company.tables[table]) == (table in {"deals", "projects"})


def kept(table: str, row: Row) -> ItemsView[str, Any]:
    """The attributes that the API returns as the company keeps them."""
    longer = {
        "deal_participants": {"person_id", "added_by_user_id"},
        "organization_relationships": {"rel_owner_org_id", "rel_linked_org_id"},
    }
    return {name: row[name] for name in row if name not in longer.get(table, ())}.items()


# Pipedrive, completeness


def test_every_list_answers(server: PipedriveServer) -> None:
    assert len(ENDPOINTS) == 53
    for path, endpoint in ENDPOINTS.items():
        params: Row = dict.fromkeys(endpoint.required, 1)
        if "folder" in params:
            params["folder"] = "inbox"
        parents = server.company.tables[endpoint.parent] if endpoint.parent else [""]
        answer = get(server, path.replace("{id}", str(next(iter(parents)))), **params)
        assert answer.status == 200, path
        assert answer.json["success"] is True
        assert answer.headers["content-type"].startswith("application/json")
        assert server.requests[-1].cost == endpoint.cost
    assert server.tokens == sum(endpoint.cost for endpoint in ENDPOINTS.values())


@pytest.mark.parametrize("path", V2)
@pytest.mark.parametrize("limit", [7, 500])
def test_cursor_walks_are_complete(still: PipedriveServer, path: str, limit: int) -> None:
    endpoint = ENDPOINTS[path]
    params: Row = {"limit": limit}
    if endpoint.optional:
        params["include_fields"] = ",".join(endpoint.optional)
    if "status" in endpoint.params:
        params["status"] = ALL_PROJECTS if endpoint.table == "projects" else ALL_STATUSES
    rows = still.company.tables[endpoint.table].values()
    wanted = by_id(
        [row for row in rows if endpoint.keep is None or endpoint.keep(row)],
        ALL_TABLES[endpoint.table].key,
    )
    orders: list[Row] = [{}]
    if "sort_by" in endpoint.params:
        orders += [
            {"sort_by": name, "sort_direction": direction}
            for name in endpoint.sort
            for direction in ("asc", "desc")
        ]
    for order in orders if limit == 500 else orders[:5]:
        found = walk(still, path, **params, **order)
        assert by_id(found, ALL_TABLES[endpoint.table].key) == wanted
        if order:
            name, down = order["sort_by"], order["sort_direction"] == "desc"
            values = [(row[name] is not None, row[name] or 0) for row in found]
            assert values == sorted(values, reverse=down)


@pytest.mark.parametrize("path", ["/v1/files", "/v1/leads", "/v1/leads/archived", "/v1/notes"])
def test_offset_walks_are_complete(still: PipedriveServer, path: str) -> None:
    endpoint = ENDPOINTS[path]
    rows = still.company.rows(f"pipedrive_{endpoint.table}")
    wanted = by_id([row for row in rows if endpoint.keep is None or endpoint.keep(row)])
    for order in ({}, {"sort": "update_time ASC"}, {"sort": "update_time DESC"}, {"sort": "id"}):
        found = walk_offset(still, path, limit=17, **order)
        assert by_id(found) == wanted
        values = [row["update_time"] or "" for row in found]
        if "update_time" in order.get("sort", ""):
            assert values == sorted(values, reverse=order["sort"].endswith("DESC"))


def test_archived_and_deleted_deals_are_apart(server: PipedriveServer) -> None:
    rows = server.company.tables["deals"].values()
    main = by_id(walk(server, "/api/v2/deals", limit=500))
    archive = by_id(walk(server, "/api/v2/deals/archived", limit=500))
    assert set(main) == {r["id"] for r in rows if not r["is_archived"] and not r["is_deleted"]}
    assert set(archive) == {r["id"] for r in rows if r["is_archived"] and not r["is_deleted"]}
    gone = walk(server, "/api/v2/deals", limit=500, status="deleted")
    assert gone
    assert all(row["is_deleted"] and row["status"] == "deleted" for row in gone)
    won = walk(server, "/api/v2/deals", limit=500, status="won")
    assert {row["status"] for row in won} == {"won"}


def test_line_items_of_many_deals(server: PipedriveServer) -> None:
    company = server.company
    deals = sorted(company.deal_items)[:100]
    wanted = {item for deal in deals for item in company.deal_items[deal]}
    joined = ",".join(map(str, deals))
    found = walk(server, "/api/v2/deals/products", deal_ids=joined, limit=9)
    assert set(by_id(found)) == wanted
    repeated = walk(server, "/api/v2/deals/products", deal_ids=deals, limit=500)
    assert by_id(repeated) == by_id(found)


def test_line_items_of_deleted_deals(company: Company) -> None:
    deal = next(key for key in company.deal_items if not company.tables["deals"][key]["is_deleted"])
    company.delete("deals", deal)
    with PipedriveServer(company) as server:
        assert get(server, "/api/v2/deals/products", deal_ids=deal).json["data"]
    with PipedriveServer(company, items_of_deleted=False) as server:
        assert get(server, "/api/v2/deals/products", deal_ids=deal).json["data"] == []


def test_optional_attributes_come_when_asked(server: PipedriveServer) -> None:
    plain = get(server, "/api/v2/deals", limit=1).json["data"][0]
    assert not set(plain) & set(DEAL_OPTIONAL)
    asked = get(server, "/api/v2/deals", limit=1, include_fields="notes_count").json["data"][0]
    assert set(asked) - set(plain) == {"notes_count"}


def test_custom_field_options(server: PipedriveServer) -> None:
    company = server.company
    code = next(
        row["field_code"]
        for row in company.tables["deal_fields"].values()
        if row["field_type"] == "enum" and row["is_custom_field"]
    )
    option = company.tables["deal_fields"][code]["options"][0]
    company.edit("deals", 1, custom_fields={code: option["id"], "f" * 40: "x"})
    row = get(server, "/api/v2/deals", ids="1", custom_fields=code).json["data"][0]
    assert row["custom_fields"] == {code: option["id"]}
    row = get(server, "/api/v2/deals", ids="1", include_option_labels="true").json["data"][0]
    assert row["custom_fields"][code] == {"id": option["id"], "label": option["label"]}


def test_leads_carry_v1_custom_fields(server: PipedriveServer) -> None:
    rows = walk_offset(server, "/v1/leads", limit=500)
    codes = {
        row["field_code"]: row["field_type"]
        for row in server.company.tables["deal_fields"].values()
        if row["is_custom_field"]
    }
    seen = {codes[name] for row in rows for name in row if name in codes}
    assert seen == set(CUSTOM_TYPES)
    money = [(row, name) for row in rows for name in row if codes.get(name) == "monetary"]
    assert all(isinstance(row[name], float) and row[f"{name}_currency"] for row, name in money)
    assert all("custom_fields" not in row for row in rows)


# Pipedrive, what belongs to other rows


@pytest.mark.parametrize("path", CHILDREN)
def test_children_of_all_parents_are_complete(still: PipedriveServer, path: str) -> None:
    company, endpoint = still.company, ENDPOINTS[path]
    found: list[Row] = []
    for parent in company.tables[endpoint.parent]:
        url, params = path.replace("{id}", str(parent)), dict.fromkeys(endpoint.required, parent)
        if endpoint.paging == "cursor":
            rows = walk(still, url, limit=2, **params)
        elif endpoint.paging == "object":
            rows = [get(still, url).json["data"]]
        elif endpoint.table == "deal_flow":
            flow = walk_offset(still, url, limit=90, items="dealChange", all_changes=1)
            rows = [row["data"] for row in flow]
        elif endpoint.paging:
            rows = walk_offset(still, url, limit=2)
        else:
            rows = get(still, url, **params).json["data"] or []
        assert not any(set(endpoint.hidden) & set(row) for row in rows)
        found += [row | dict.fromkeys(endpoint.hidden, parent) for row in rows]
    assert found
    wanted = company.rows(f"pipedrive_{endpoint.table}")
    assert texts(found) == texts(wanted)


def texts(rows: list[Row]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


@pytest.mark.parametrize("path", CHILDREN)
@pytest.mark.parametrize("parent", ["987654", "nobody"])
def test_unknown_parents(still: PipedriveServer, path: str, parent: str) -> None:
    params = dict.fromkeys(ENDPOINTS[path].required, 987654)
    answer = get(still, path.replace("{id}", parent), **params)
    assert answer.status == 404
    assert answer.json["success"] is False
    assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("name", ["installments", "products"])
def test_every_form_of_a_list_of_deals(still: PipedriveServer, name: str) -> None:
    rows = still.company.rows(f"pipedrive_deal_{name}")
    deals = sorted({row["deal_id"] for row in rows})[:100]
    wanted = by_id([row for row in rows if row["deal_id"] in deals])
    path = f"/api/v2/deals/{name}"
    forms: list[Row] = [{"deal_ids": ",".join(map(str, deals))}]
    forms += [{"deal_ids": deals}, {"deal_ids[]": deals}]
    for params in forms:
        assert by_id(walk(still, path, limit=9, **params)) == wanted
    down = walk(still, path, deal_ids=deals, sort_by="deal_id", sort_direction="desc")
    assert [row["deal_id"] for row in down] == sorted(
        (row["deal_id"] for row in down), reverse=True
    )


def test_flow_of_a_deal(server: PipedriveServer) -> None:
    company = server.company
    histories = Counter(row["item_id"] for row in company.tables["deal_flow"].values())
    (deal, count), *others = histories.most_common()
    assert count == LONG_HISTORY > 500
    assert all(2 <= other <= 30 for _, other in others)
    path = f"/v1/deals/{deal}/flow"
    changes = walk_offset(server, path, limit=500, items="dealChange", all_changes=1)
    assert len(changes) == LONG_HISTORY
    assert {row["object"] for row in changes} == {"dealChange"}
    times = [row["timestamp"] for row in changes]
    assert times == sorted(times, reverse=True)
    values = [row["data"][name] for row in changes for name in ("old_value", "new_value")]
    assert {type(value) for value in values} >= {int, float, str, list, dict, type(None)}
    few = walk_offset(server, path, limit=500, items="dealChange")
    assert 0 < len(few) < len(changes)
    assert few == [row for row in changes if len(row["data"]["field_key"]) < 40]
    note = company.add("notes", deal_id=deal)
    company.add("files", deal_id=deal)
    mixed = walk_offset(server, path, limit=500, all_changes=1)
    assert {row["object"] for row in mixed} >= {"dealChange", "note", "file"}
    assert next(row["data"]["id"] for row in mixed if row["object"] == "note") == note["id"]


def test_edits_of_deals_are_in_their_flow(server: PipedriveServer) -> None:
    company = server.company
    deal = company.tables["deals"][1]
    before, code = deal["title"], "f" * 40
    company.edit("deals", 1, title="Other", custom_fields=deal["custom_fields"] | {code: 17})
    rows = get(server, "/v1/deals/1/flow", all_changes=1, items="dealChange").json["data"]
    changes = {row["data"]["field_key"]: row["data"] for row in rows[:2]}
    assert (changes["title"]["old_value"], changes["title"]["new_value"]) == (before, "Other")
    assert (changes[code]["old_value"], changes[code]["new_value"]) == (None, 17)
    assert changes["title"]["log_time"] == deal["update_time"][:19].replace("T", " ")
    count = len(company.tables["deal_flow"])
    company.edit("deals", 1, title="Other")
    assert len(company.tables["deal_flow"]) == count


def test_relationships_look_different_from_both_ends(server: PipedriveServer) -> None:
    company = server.company
    tie = company.add(
        "organization_relationships", type="parent", rel_owner_org_id=3, rel_linked_org_id=5
    )
    path = "/v1/organizationRelationships"
    seen = {org: by_id(get(server, path, org_id=org).json["data"])[tie["id"]] for org in (3, 5)}
    assert seen[3]["calculated_type"] == "daughter"
    assert seen[5]["calculated_type"] == "parent"
    assert seen[3]["calculated_related_org_id"] == 5
    assert seen[5]["related_organization_name"] == company.tables["organizations"][3]["name"]
    assert seen[3]["rel_owner_org_id"] == seen[5]["rel_owner_org_id"]
    assert seen[3]["rel_owner_org_id"]["value"] == 3


# Pipedrive, other lists


def test_only_active_goals_unless_asked(still: PipedriveServer) -> None:
    path = "/v1/goals/find"
    active = get(still, path).json["data"]["goals"]
    rest = get(still, path, is_active="false").json["data"]["goals"]
    assert active == get(still, path, is_active="true").json["data"]["goals"]
    assert {row["is_active"] for row in active} == {True}
    assert {row["is_active"] for row in rest} == {False}
    assert by_id(active + rest) == still.company.tables["goals"]
    won = get(still, path, **{"type.name": "deals_won"}).json["data"]["goals"]
    assert {row["type"]["name"] for row in won} == {"deals_won"}


def test_mail_folders(still: PipedriveServer) -> None:
    path = "/v1/mailbox/mailThreads"
    found = []
    for folder in FOLDERS:
        rows = walk_offset(still, path, folder=folder, limit=3)
        assert "additional_data" not in get(still, path, folder=folder).json
        times = [row["last_message_timestamp"] for row in rows]
        assert times == sorted(times, reverse=True)
        found += [row | {"folder": folder} for row in rows]
    assert texts(found) == texts(still.company.rows("pipedrive_mail_threads"))
    assert len({row["id"] for row in found}) < len(found), "no thread is in two folders"


def test_projects(still: PipedriveServer) -> None:
    company = still.company
    main = walk(still, "/api/v2/projects", limit=5)
    archived = walk(still, "/api/v2/projects/archived", limit=5)
    assert main
    assert archived
    assert by_id(main + archived) == by_id(company.rows("pipedrive_projects"))
    gone = walk(still, "/api/v2/projects", status="deleted")
    gone += walk(still, "/api/v2/projects/archived", status="deleted")
    assert gone
    assert by_id(main + archived + gone) == company.tables["projects"]
    deal = next(row["deal_ids"][0] for row in main if row["deal_ids"])
    mine = walk(still, "/api/v2/projects", deal_id=deal)
    assert mine == [row for row in main if deal in row["deal_ids"]]
    fields = by_id(walk(still, "/api/v2/projectFields", limit=10), "field_code")
    custom = {code: row for code, row in fields.items() if row["is_custom_field"]}
    assert {row["field_type"] for row in custom.values()} == set(CUSTOM_TYPES)
    assert {code for row in main + archived for code in row["custom_fields"]} <= set(custom)
    boards = get(still, "/api/v2/boards").json
    assert boards["additional_data"] is None
    assert by_id(boards["data"]) == company.tables["project_boards"]
    parts = walk(still, "/api/v2/tasks", is_done="true", parent_task_id="null")
    assert {(row["is_done"], row["parent_task_id"]) for row in parts} == {(True, None)}


def test_small_v1_lists(still: PipedriveServer) -> None:
    company = still.company
    names = {row["name"] for row in get(still, "/v1/leadSources").json["data"]}
    assert {row["source_name"] for row in company.tables["leads"].values()} <= names
    teams = get(still, "/v1/legacyTeams", order_by="name").json["data"]
    assert by_id(teams) == company.tables["legacy_teams"]
    assert [row["name"] for row in teams] == sorted(row["name"] for row in teams)
    assert not any(
        "users" in row for row in get(still, "/v1/legacyTeams", skip_users=1).json["data"]
    )
    assert by_id(walk_offset(still, "/v1/callLogs", limit=7)) == company.tables["call_logs"]
    assert get(still, "/v1/callLogs").json["additional_data"]["pagination"]["limit"] == 50
    assert by_id(get(still, "/v1/noteFields").json["data"]) == company.tables["note_fields"]


def test_lead_fields_are_those_of_deals(still: PipedriveServer) -> None:
    rows = by_id(walk_offset(still, "/v1/leadFields", limit=100), "key")
    assert len(rows) > 200
    assert {row["id"] for row in rows.values() if row["is_subfield"]} == {None}
    leads = still.company.tables["leads"].values()
    assert {name for row in leads for name in row} - {"id", "brand_new_attribute"} <= set(rows)
    fields = still.company.tables["deal_fields"].values()
    assert {row["field_code"] for row in fields if row["is_custom_field"]} <= set(rows)


# Pipedrive, time filters


def test_since_is_inclusive_and_until_exclusive(server: PipedriveServer) -> None:
    company = server.company
    moment = company.edit("persons", 3, name="Edge")["update_time"]
    assert [r["id"] for r in get(server, "/api/v2/persons", updated_since=moment).json["data"]] == [
        3
    ]
    before = walk(server, "/api/v2/persons", updated_until=moment, limit=500)
    assert 3 not in by_id(before)
    assert all(row["update_time"] is not None for row in before)
    nothing = get(server, "/api/v2/persons", updated_since=moment, updated_until=moment)
    assert nothing.json["data"] == []


def test_rows_without_update_time_are_not_in_a_time_filter(server: PipedriveServer) -> None:
    server.company.edit("persons", 4, update_time=None)
    everything = walk(server, "/api/v2/persons", limit=500)
    assert 4 in by_id(everything)
    since = walk(server, "/api/v2/persons", limit=500, updated_since="1971-01-01T00:00:00Z")
    assert 4 not in by_id(since)


def test_v1_time_filters(server: PipedriveServer) -> None:
    company = server.company
    note = company.edit("notes", 5, content="new")["update_time"].replace(" ", "T") + "Z"
    assert [row["id"] for row in get(server, "/v1/notes", updated_since=note).json["data"]] == [5]
    key = next(iter(company.tables["leads"]))
    lead = company.edit("leads", key, title="new")["update_time"]
    assert lead.endswith(".000Z")
    found = get(server, "/v1/leads", updated_since=lead[:19] + "Z").json["data"]
    assert [row["id"] for row in found] == [key]


@pytest.mark.parametrize(
    "moment",
    [
        "2025-01-01T00:00:00.000Z",
        "2025-01-01T00:00:00",
        "2025-01-01 00:00:00",
        "2025-01-01T00:00:00+00:00",
        "2025-01-01",
        "2025-02-30T00:00:00Z",
        "1735689600",
        "",
    ],
)
def test_wrong_times_are_refused(still: PipedriveServer, moment: str) -> None:
    for path in ("/api/v2/deals", "/api/v2/products", "/v1/leads", "/v1/notes"):
        answer = get(still, path, updated_since=moment)
        assert answer.status == 400
        assert answer.json["success"] is False


# Pipedrive, strictness


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/api/v2/deals", {"limit": 501}),
        ("/api/v2/deals", {"limit": 0}),
        ("/api/v2/deals", {"limit": "all"}),
        ("/api/v2/deals", {"start": 0}),
        ("/api/v2/deals", {"api_token": "sandbox-token"}),
        ("/api/v2/deals", {"sort_by": "title"}),
        ("/api/v2/deals", {"sort_direction": "ASC"}),
        ("/api/v2/deals", {"status": "all_not_deleted"}),
        ("/api/v2/deals", {"include_fields": "notes_count,weather"}),
        ("/api/v2/deals", {"cursor": "abc"}),
        ("/api/v2/deals", {"ids": ",".join(map(str, range(1, 102)))}),
        ("/api/v2/deals", {"custom_fields": ",".join("abcdefghijklmnop")}),
        ("/api/v2/deals/archived", {"include_labels": "true"}),
        ("/api/v2/deals/products", {}),
        ("/api/v2/deals/products", {"deal_ids": ",".join(map(str, range(1, 102)))}),
        ("/api/v2/deals/products", {"deal_ids": "1", "updated_since": "2025-01-01T00:00:00Z"}),
        ("/api/v2/activities", {"type": "call"}),
        ("/api/v2/persons", {"status": "deleted"}),
        ("/api/v2/pipelines", {"updated_since": "2025-01-01T00:00:00Z"}),
        ("/api/v2/stages", {"updated_since": "2025-01-01T00:00:00Z"}),
        ("/api/v2/products", {"updated_until": "2025-01-01T00:00:00Z"}),
        ("/api/v2/dealFields", {"include_fields": "required_fields,ui_visibility"}),
        ("/api/v2/productFields", {"include_fields": "required_fields"}),
        ("/v1/leads/archived", {"updated_since": "2025-01-01T00:00:00Z"}),
        ("/v1/leads", {"sort": "update_time UP"}),
        ("/v1/leads", {"sort": "value"}),
        ("/v1/leads", {"limit": 501}),
        ("/v1/files", {"limit": 101}),
        ("/v1/files", {"updated_since": "2025-01-01T00:00:00Z"}),
        ("/v1/notes", {"start": -1}),
        ("/v1/users", {"limit": 100}),
        ("/v1/callLogs", {"limit": 51}),
        ("/v1/deals/1/flow", {"items": "weather"}),
        ("/v1/mailbox/mailThreads", {}),
        ("/v1/mailbox/mailThreads", {"folder": "spam"}),
        ("/v1/mailbox/mailThreads/1/mailMessages", {"limit": 100}),
        ("/v1/goals/find", {"is_active": "all"}),
        ("/v1/noteFields", {"start": 0}),
        ("/v1/leadSources", {"limit": 10}),
        ("/v1/organizationRelationships", {}),
        ("/api/v2/deals/installments", {}),
        ("/api/v2/deals/installments", {"deal_ids": "1", "sort_by": "amount"}),
        ("/api/v2/deals/installments", {"deal_ids": list(range(1, 102))}),
        ("/api/v2/deals/1/followers", {"sort_by": "add_time"}),
        ("/api/v2/projects", {"updated_since": "2025-01-01T00:00:00Z"}),
        ("/api/v2/projects", {"status": "won"}),
        ("/api/v2/projects/archived", {"deal_id": 1}),
        ("/api/v2/projectFields", {"include_fields": "ui_visibility"}),
        ("/api/v2/boards", {"limit": 10}),
        ("/api/v2/phases", {}),
        ("/api/v2/tasks", {"limit": 501}),
    ],
)
def test_refused_requests(still: PipedriveServer, path: str, params: Row) -> None:
    answer = get(still, path, **params)
    assert answer.status == 400
    assert answer.json["success"] is False
    assert answer.json["data"] is None


def test_a_cursor_belongs_to_its_query(server: PipedriveServer) -> None:
    first = get(server, "/api/v2/deals", limit=5, sort_by="update_time").json
    cursor = first["additional_data"]["next_cursor"]
    decoded = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    assert set(decoded) == {"field", "fieldValue", "sortDirection", "id"}
    same = get(server, "/api/v2/deals", limit=500, sort_by="update_time", cursor=cursor)
    assert same.status == 200
    again = get(server, "/api/v2/deals", limit=500, sort_by="update_time", cursor=cursor)
    assert again.body == same.body
    for other in (
        {"sort_by": "id"},
        {"sort_by": "update_time", "sort_direction": "desc"},
        {"sort_by": "update_time", "status": "open"},
    ):
        assert get(server, "/api/v2/deals", cursor=cursor, **other).status == 400
    assert get(server, "/api/v2/persons", sort_by="update_time", cursor=cursor).status == 400


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/deals", 410),
        ("/v1/deals/1", 410),
        ("/v1/deals/1/products", 410),
        ("/v1/persons/collection", 410),
        ("/v1/stages", 410),
        ("/api/v1/leads", 404),
        ("/api/v1/users", 404),
        ("/api/v1/mailbox/mailThreads", 404),
        ("/api/v2/notes", 404),
        ("/v2/deals", 404),
        ("/", 404),
    ],
)
def test_paths_that_are_not_there(still: PipedriveServer, path: str, status: int) -> None:
    answer = get(still, path)
    assert answer.status == status
    assert answer.json["success"] is False


def test_only_get(server: PipedriveServer) -> None:
    answer = send(server.url + "/api/v2/deals", {"x-api-token": "sandbox-token"}, body=b"{}")
    assert answer.status == 405


# Pipedrive, ends of lists


@pytest.mark.parametrize(
    ("page_end", "block"),
    [("null", {"next_cursor": None}), ("key", {}), ("block", None)],
)
def test_ends_of_cursors(company: Company, page_end: str, block: Row | None) -> None:
    with PipedriveServer(company, page_end=page_end) as server:
        answer = get(server, "/api/v2/pipelines").json
    assert answer.get("additional_data") == block
    assert ("additional_data" in answer) == (block is not None)


def test_ends_differ_by_default(server: PipedriveServer) -> None:
    ends = Counter(
        json.dumps(get(server, path, limit=500).json.get("additional_data"))
        for path in ("/api/v2/pipelines", "/api/v2/stages", "/api/v2/personFields")
    )
    assert ends == {'{"next_cursor": null}': 1, "{}": 1, "null": 1}


def test_offset_blocks(company: Company) -> None:
    with PipedriveServer(company) as server:
        assert "pagination" in get(server, "/v1/notes").json["additional_data"]
        assert "start" in get(server, "/v1/leads").json["additional_data"]
        roles = get(server, "/v1/roles").json["additional_data"]["pagination"]
        assert roles["more_items_in_collection"] is False
        assert "next_start" in roles
        company.tables["notes"].clear()
        company.touch("notes")
        assert get(server, "/v1/notes").json["data"] is None
    with PipedriveServer(company, v1_block="none") as server:
        assert "additional_data" not in get(server, "/v1/leads").json


def test_offsets_shift_when_a_row_leaves(server: PipedriveServer) -> None:
    company = server.company
    notes = list(company.tables["notes"])

    def delete_first(request: Request) -> None:
        if request.params.get("start") == "10":
            company.delete("notes", notes[0])

    server.before_answer = delete_first
    found = walk_offset(server, "/v1/notes", limit=10)
    # The row behind the first page moved into it after it was read.
    assert set(notes) - set(by_id(found)) == {notes[10]}


def test_edits_move_rows_to_the_end_of_an_update_time_walk(server: PipedriveServer) -> None:
    company = server.company
    first = get(server, "/api/v2/deals", limit=20, sort_by="update_time").json["data"]

    def edit(request: Request) -> None:
        if request.number == 4:
            company.edit("deals", first[0]["id"], title="moved")

    server.before_answer = edit
    found = walk(server, "/api/v2/deals", limit=20, sort_by="update_time")
    assert Counter(row["id"] for row in found)[first[0]["id"]] == 2
    assert found[-1]["title"] == "moved"


# Pipedrive, access


@pytest.mark.parametrize("headers", [{}, {"x-api-token": "other"}, {"Authorization": "Bearer x"}])
def test_wrong_credentials(server: PipedriveServer, headers: dict[str, str]) -> None:
    answer = send(server.url + "/api/v2/deals", headers)
    assert answer.status == 401
    assert answer.json["errorCode"] == 401
    assert answer.headers["x-401-by-gw"] == "true"
    assert "x-correlation-id" in answer.headers
    assert server.tokens == 0


def test_me(server: PipedriveServer) -> None:
    answer = get(server, "/v1/users/me")
    assert answer.json["data"]["company_domain"] == "fernhill"
    assert server.tokens == 2


def refresh(server: PipedriveServer, token: str, secret: str = "sandbox-secret") -> Answer:
    basic = base64.b64encode(f"sandbox-client:{secret}".encode()).decode()
    form = urllib.parse.urlencode({"grant_type": "refresh_token", "refresh_token": token})
    return send(
        server.url + "/oauth/token",
        {
            "Authorization": f"Basic {basic}",
            "Content-Type": "application/x-www-form-urlencoded",
        },
        body=form.encode(),
    )


def test_oauth(company: Company) -> None:
    app = OAuthApp(rotate=True)
    with PipedriveServer(company, token=None, oauth=app) as server:
        first = app.refresh_token
        assert refresh(server, first, "wrong").status == 401
        assert refresh(server, "wrong").status == 400
        answer = refresh(server, first).json
        assert answer["api_domain"] == server.url
        assert answer["expires_in"] == 3599
        assert answer["refresh_token"] == app.refresh_token != first
        assert refresh(server, first).json == {"error": "invalid_grant"}
        bearer = {"Authorization": f"Bearer {answer['access_token']}"}
        assert send(server.url + "/api/v2/deals", bearer).status == 200
        app.expire()
        assert send(server.url + "/api/v2/deals", bearer).status == 401


# Pipedrive, limits


def test_burst_limit_and_block(company: Company) -> None:
    with PipedriveServer(company, burst=5, block_after=3, block_seconds=0.3) as server:
        left = []
        for _ in range(5):
            answer = get(server, "/v1/currencies")
            assert answer.status == 200
            assert answer.headers["x-ratelimit-limit"] == "5"
            assert answer.headers["x-ratelimit-reset"] in {"1", "2"}
            left.append(answer.headers["x-ratelimit-remaining"])
        assert left == ["4", "3", "2", "1", "0"]
        refused = get(server, "/v1/currencies")
        assert refused.status == 429
        assert refused.json["error"] == "request over limit"
        assert refused.headers["x-ratelimit-remaining"] == "0"
        assert get(server, "/v1/currencies").status == 429
        blocked = get(server, "/v1/currencies")
        assert blocked.status == 403
        assert blocked.headers["content-type"].startswith("text/html")
        assert server.tokens == 5 * 20
        time.sleep(2.1)
        assert get(server, "/v1/currencies").status == 200


def test_daily_budget(company: Company) -> None:
    with PipedriveServer(company, daily_tokens=45) as server:
        left = [
            get(server, "/v1/currencies").headers["x-daily-ratelimit-token-remaining"]
            for _ in range(3)
        ]
        assert left == ["25", "5", "0"]
        refused = get(server, "/v1/currencies")
        assert refused.status == 429
        assert refused.headers["x-daily-ratelimit-token-limit"] == "45"
        assert refused.headers["x-daily-ratelimit-token-remaining"] == "0"
        server.new_day()
        assert get(server, "/v1/currencies").status == 200
    with PipedriveServer(company, daily_tokens=45, daily_headers=False) as server:
        headers = get(server, "/v1/currencies").headers
        assert not any(name.startswith("x-daily") for name in headers)


# Faults and the log


@pytest.mark.parametrize("status", [402, 403, 404, 410, 415])
def test_lists_that_a_plan_does_not_have(server: PipedriveServer, status: int) -> None:
    server.fault = refuse(status, "/api/v2/projects", "/api/v2/products/{id}/variations")
    for path in ("/api/v2/projects", "/api/v2/products/1/variations"):
        answer = get(server, path)
        assert (answer.status, answer.json["success"]) == (status, False)
    assert get(server, "/api/v2/projects/archived").status == 200
    assert get(server, "/api/v2/products/1/followers").status == 200
    assert server.tokens == 20
    counted = server.stats()["paths"]["/api/v2/products/{id}/variations"]
    assert counted == {"requests": 1, "tokens": 0, "failed": 1}


@pytest.mark.parametrize("status", [402, 403, 500, 502, 503, 504])
def test_fault_status(server: PipedriveServer, status: int) -> None:
    server.fault = lambda _: Fault(status=status, body={"x": 1}, headers={"Retry-After": "3"})
    answer = get(server, "/api/v2/deals")
    assert (answer.status, answer.json, answer.headers["retry-after"]) == (status, {"x": 1}, "3")
    assert server.tokens == 0
    server.fault = lambda _: Fault(status=status, body="<html>")
    assert get(server, "/api/v2/deals").headers["content-type"].startswith("text/html")


def test_fault_drop_and_truncate(server: PipedriveServer) -> None:
    server.fault = lambda _: Fault(drop=True)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError, urllib.error.URLError)):
        get(server, "/api/v2/deals")
    server.fault = lambda _: Fault(truncate=100)
    with pytest.raises(http.client.IncompleteRead) as caught:
        get(server, "/api/v2/deals")
    assert len(caught.value.partial) == 100
    assert [request.status for request in server.requests] == [0, 200]


def test_fault_garbage_redirect_mutate_delay(server: PipedriveServer) -> None:
    server.fault = lambda _: Fault(garbage=True)
    answer = get(server, "/api/v2/deals")
    assert answer.status == 200
    with pytest.raises(json.JSONDecodeError):
        _ = answer.json
    server.fault = lambda _: Fault(redirect="http://127.0.0.1:9/")
    answer = get(server, "/api/v2/deals")
    assert (answer.status, answer.headers["location"]) == (302, "http://127.0.0.1:9/")
    server.fault = lambda _: Fault(mutate=lambda body: body.replace(b"true", b"false", 1))
    assert get(server, "/api/v2/deals").json["success"] is False
    server.fault = lambda _: Fault(delay=0.2)
    start = time.monotonic()
    assert get(server, "/api/v2/deals").status == 200
    assert time.monotonic() - start >= 0.2


def test_the_log(server: PipedriveServer) -> None:
    get(server, "/api/v2/deals/products", deal_ids=[1, 2], limit=3)
    request = server.requests[0]
    assert (request.method, request.path, request.status) == ("GET", "/api/v2/deals/products", 200)
    assert request.params == {"deal_ids": "1,2", "limit": "3"}
    assert request.headers["x-api-token"] == "sandbox-token"
    assert (request.cost, request.number) == (10, 1)
    server.reset()
    assert (server.requests, server.tokens) == ([], 0)


def test_in_flight_and_keep_alive(company: Company) -> None:
    with PipedriveServer(company, latency=0.1) as server:
        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(lambda _: get(server, "/v1/currencies").status, range(8))
            assert set(answers) == {200}
        assert server.max_in_flight == 4
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=5)
        for _ in range(3):
            connection.request("GET", "/v1/currencies", headers={"x-api-token": "sandbox-token"})
            answer = connection.getresponse()
            answer.read()
            assert not answer.will_close
        connection.close()


def test_changes_over_http() -> None:
    summaries, tables = [], []
    for _ in range(2):
        company = Company(scale=0.02)
        with PipedriveServer(company) as server:
            before = company.stamp("deals")
            answer = send(server.url + "/_sandbox/changes?count=80", body=b"")
            assert answer.status == 200
            summaries.append(answer.json)
            tables.append(company.tables)
            found = walk(
                server, "/api/v2/deals", limit=500, updated_since=before, status=ALL_STATUSES
            )
            assert len(found) >= 10
            stats = send(server.url + "/_sandbox/stats").json
            assert stats["requests"] == len(server.requests) == 1
            assert stats["paths"]["/api/v2/deals"] == {"requests": 1, "tokens": 10, "failed": 0}
    assert summaries[0] == summaries[1]
    assert tables[0] == tables[1]
    assert summaries[0]["changes"] == 80


def test_new_and_renamed_fields(server: PipedriveServer) -> None:
    company = server.company
    field = company.add_custom_field("deal", "enum", "Weather")
    company.edit("deals", 1, custom_fields={field["field_code"]: field["options"][0]["id"]})
    company.rename_custom_field("deal", field["field_code"], "Climate")
    rows = by_id(walk(server, "/api/v2/dealFields", limit=50), "field_code")
    assert rows[field["field_code"]]["field_name"] == "Climate"
    assert list(rows)[-1] == field["field_code"]


# Pipedrive, deletes and drift


@pytest.mark.parametrize(
    ("table", "path", "child", "link"),
    [
        ("persons", "/api/v2/persons/{id}/followers", "person_followers", "person_id"),
        ("organizations", "/api/v2/organizations/{id}/followers", "organization_followers", ""),
        ("products", "/api/v2/products/{id}/variations", "product_variations", "product_id"),
        ("notes", "/v1/notes/{id}/comments", "note_comments", "object_id"),
        ("mail_threads", "/v1/mailbox/mailThreads/{id}/mailMessages", "mail_messages", ""),
        ("roles", "/v1/roles/{id}/assignments", "role_assignments", "role_id"),
    ],
)
def test_what_belongs_to_a_deleted_row_vanishes(
    server: PipedriveServer, table: str, path: str, child: str, link: str
) -> None:
    company = server.company
    link = link or ENDPOINTS[path].links[0]
    value = next(iter(company.tables[child].values()))[link]
    url = path.replace("{id}", str(value))
    assert get(server, url).json["data"]
    company.delete(table, int(value))
    assert get(server, url).status == 404
    assert all(row[link] != value for row in company.tables[child].values())


def test_flow_of_a_deleted_deal(server: PipedriveServer) -> None:
    company = server.company
    deal = next(iter(company.tables["deal_flow"].values()))["item_id"]
    company.delete("deals", deal)
    newest = get(server, f"/v1/deals/{deal}/flow", limit=1).json["data"][0]["data"]
    assert (newest["field_key"], newest["new_value"]) == ("status", "deleted")
    company.tick(31 * 86400)
    assert get(server, f"/v1/deals/{deal}/flow").status == 404
    assert all(row["item_id"] != deal for row in company.tables["deal_flow"].values())


def test_deleted_projects_are_gone_after_thirty_days(company: Company) -> None:
    task = next(iter(company.tables["tasks"].values()))
    key = task["project_id"]
    company.delete("projects", key)
    assert key not in by_id(company.rows("pipedrive_projects"))
    assert company.tables["projects"][key]["update_time"] == company.stamp("projects")
    company.tick(31 * 86400)
    assert key not in company.tables["projects"]
    assert task["id"] not in company.tables["tasks"]


def test_merged_organizations(server: PipedriveServer) -> None:
    company = server.company
    tables, gone, kept = company.tables, 2, 3
    company.edit("persons", 1, org_id=gone)
    lead = company.edit("leads", next(iter(tables["leads"])), organization_id=gone)
    for org, user in ((gone, 1), (kept, 1), (gone, 39)):
        company.add("organization_followers", organization_id=org, user_id=user)
    company.add("organization_relationships", rel_owner_org_id=gone, rel_linked_org_id=kept)
    tie = company.add("organization_relationships", rel_owner_org_id=gone, rel_linked_org_id=9)
    people = tables["organizations"][kept]["people_count"]
    moved = {key for key, row in tables["persons"].items() if row["org_id"] == gone}
    since = company.merge("organizations", gone, kept)["update_time"]
    changed = by_id(walk(server, "/api/v2/organizations", limit=500, updated_since=since))
    assert kept in changed
    assert gone not in by_id(walk(server, "/api/v2/organizations", limit=500))
    assert get(server, f"/api/v2/organizations/{gone}/followers").status == 404
    users = [row["user_id"] for row in walk(server, f"/api/v2/organizations/{kept}/followers")]
    assert {1, 39} <= set(users)
    assert len(users) == len(set(users))
    assert tables["organizations"][kept]["people_count"] == people + len(moved)
    persons = by_id(walk(server, "/api/v2/persons", updated_since=since, limit=500))
    assert set(persons) == moved
    assert lead["organization_id"] == kept
    ties = by_id(get(server, "/v1/organizationRelationships", org_id=kept).json["data"])
    assert tie["id"] in ties
    assert all(row["calculated_related_org_id"] != kept for row in ties.values())
    for table in ("persons", "deals", "notes", "activities", "files"):
        assert all(row["org_id"] != gone for row in tables[table].values())


def test_merged_persons(server: PipedriveServer) -> None:
    company = server.company
    tables, gone, kept = company.tables, 4, 7
    company.edit("deals", 1, person_id=gone)
    company.edit("activities", 2, participants=[{"person_id": gone, "primary": True}])
    for deal, person in ((1, gone), (1, kept), (3, gone)):
        company.add("deal_participants", deal_id=deal, person_id=person)
    company.edit("projects", 1, person_ids=[gone, kept])
    company.merge("persons", gone, kept)
    assert gone not in by_id(walk(server, "/api/v2/persons", limit=500))
    assert tables["deals"][1]["person_id"] == kept
    assert tables["activities"][2]["participants"] == [{"person_id": kept, "primary": True}]
    assert tables["projects"][1]["person_ids"] == [kept]
    for deal in (1, 3):
        rows = walk_offset(server, f"/v1/deals/{deal}/participants", limit=10)
        people = Counter(row["person_id"]["value"] for row in rows)
        assert (people[gone], people[kept]) == (0, 1)
    assert tables["persons"][kept]["update_time"] == tables["deals"][1]["update_time"]


def test_converted_lead(server: PipedriveServer) -> None:
    company = server.company
    key, lead = max(company.tables["leads"].items(), key=lambda item: len(item[1]))
    codes = {name[:40] for name in lead if len(name) >= 40}
    assert codes
    deal = company.convert_lead(key)
    since = company.stamp("deals")
    leads = walk_offset(server, "/v1/leads", limit=500)
    leads += walk_offset(server, "/v1/leads/archived", limit=500)
    assert key not in by_id(leads)
    params = {"updated_since": since, "include_fields": "source_lead_id"}
    found = get(server, "/api/v2/deals", **params).json["data"]
    assert [(row["id"], row["source_lead_id"]) for row in found] == [(deal["id"], key)]
    assert set(found[0]["custom_fields"]) == codes
    assert found[0]["title"] == lead["title"]


def test_removed_links(server: PipedriveServer) -> None:
    company = server.company
    tables = company.tables
    follower = next(iter(tables["deal_followers"].values()))
    deal, user = follower["deal_id"], follower["user_id"]
    company.remove_follower("deal", deal, user)
    assert user not in by_id(walk(server, f"/api/v2/deals/{deal}/followers"), "user_id")
    assert tables["deals"][deal]["update_time"] == company.stamp("deals")
    company.children_move_parents = False
    participant = next(iter(tables["deal_participants"].values()))
    deal, person = participant["deal_id"], participant["person_id"]
    before = tables["deals"][deal]["update_time"]
    company.remove_participant(deal, person)
    rows = walk_offset(server, f"/v1/deals/{deal}/participants", limit=10)
    assert person not in {row["person_id"]["value"] for row in rows}
    assert tables["deals"][deal]["update_time"] == before
    with pytest.raises(KeyError):
        company.remove_participant(deal, person)
    company.remove_role_assignment(2, 1)
    rows = walk_offset(server, "/v1/roles/2/assignments", limit=10)
    assert 1 not in by_id(rows, "user_id")


def test_moved_mail_thread(server: PipedriveServer) -> None:
    company = server.company
    threads = company.tables["mail_threads"].values()
    thread = next(row for row in threads if row["folders"] == ["inbox", "sent"])
    company.move_mail_thread(thread["id"], "archive", "sent")
    assert thread["update_time"] == company.stamp("mail_threads")
    assert (thread["archived_flag"], thread["has_sent_flag"]) == (1, 1)
    for folder in FOLDERS:
        listed = by_id(walk_offset(server, "/v1/mailbox/mailThreads", folder=folder, limit=50))
        assert (thread["id"] in listed) == (folder in {"archive", "sent"})


def test_clearing_out(company: Company) -> None:
    before = {table: set(rows) for table, rows in company.tables.items()}
    gone = clear_out(company)
    for table in ("persons", "organizations", "activities", "products", "leads", "notes"):
        assert before[table] - set(company.tables[table]) == gone[table]
    for table in ("deals", "projects"):
        assert {company.tables[table][key]["status"] for key in gone[table]} == {"deleted"}
    assert len(gone["persons"]) == len(gone["organizations"]) == len(gone["leads"]) == 2
    twin = Company(scale=0.05)
    assert clear_out(twin) == gone
    assert twin.tables == company.tables
    assert clear_out(company, 2) != gone


@pytest.mark.parametrize("field_type", CUSTOM_TYPES)
def test_new_custom_field_with_values(server: PipedriveServer, field_type: str) -> None:
    company = server.company
    since = company.tick().strftime("%Y-%m-%dT%H:%M:%SZ")
    code = company.add_custom_field("deal", field_type, "Mood", filled=2)["field_code"]
    for path in ("/api/v2/deals", "/api/v2/deals/archived"):
        rows = walk(server, path, updated_since=since)
        assert len(rows) == 2
        assert all(row["custom_fields"][code] is not None for row in rows)
    leads = walk_offset(server, "/v1/leads", limit=500)
    leads += walk_offset(server, "/v1/leads/archived", limit=500)
    filled = [row for row in leads if code in row]
    assert Counter(row["is_archived"] for row in filled) == {False: 2, True: 2}
    assert {row["update_time"] for row in filled} == {company.stamp("leads")}
    assert all(isinstance(row[code], (str, int, float)) for row in filled)
    listed = by_id(walk_offset(server, "/v1/leadFields", limit=500), "key")
    assert {name for row in filled for name in of_code(row, code)} <= set(listed)
    assert listed[code]["name"] == "Mood"


@pytest.mark.parametrize("entity", ["person", "organization", "product", "project"])
def test_custom_fields_come_and_go(server: PipedriveServer, entity: str) -> None:
    company, path = server.company, f"/api/v2/{entity}s"
    code = company.add_custom_field(entity, "monetary", "Budget", filled=3)["field_code"]
    rows = walk(server, path, limit=500)
    filled = [row for row in rows if code in row["custom_fields"]]
    assert len(filled) == 3
    assert {row["update_time"] for row in filled} == {company.stamp(f"{entity}s")}
    company.delete_custom_field(entity, code)
    first = next(iter(company.tables[f"{entity}s"].values()))
    for other in list(first["custom_fields"]):
        company.delete_custom_field(entity, other)
    assert company.add(f"{entity}s")["custom_fields"] == {}
    rows = walk(server, path, limit=500)
    assert not any(code in row["custom_fields"] for row in rows)
    assert code not in by_id(walk(server, f"/api/v2/{entity}Fields", limit=500), "field_code")


def test_deleted_custom_field_of_deals(server: PipedriveServer) -> None:
    company = server.company
    fields = company.tables["deal_fields"].values()
    kinds = {row["field_code"]: row["field_type"] for row in fields if row["is_custom_field"]}
    code = next(code for code, kind in kinds.items() if kind == "address")

    def deals() -> list[Row]:
        paths = ("/api/v2/deals", "/api/v2/deals/archived")
        return [row for path in paths for row in walk(server, path, limit=500)]

    before = deals()
    assert any(code in row["custom_fields"] for row in before)
    company.delete_custom_field("deal", code)
    for row in before:
        row["custom_fields"].pop(code, None)
    assert deals() == before
    for path in ("/v1/leads", "/v1/leads/archived", "/v1/leadFields"):
        assert code not in json.dumps(walk_offset(server, path, limit=500))


def test_changed_options(server: PipedriveServer) -> None:
    company = server.company
    fields = company.tables["deal_fields"]
    code, option = next(
        (code, value)
        for row in company.tables["deals"].values()
        for code, value in row["custom_fields"].items()
        if fields[code]["field_type"] == "enum" and value is not None
    )

    def defined() -> tuple[Row, Row]:
        of_deals = by_id(walk(server, "/api/v2/dealFields", limit=500), "field_code")
        return of_deals[code], by_id(walk_offset(server, "/v1/leadFields", limit=500), "key")[code]

    money = next(key for key, row in fields.items() if row["subfields"] and len(key) == 40)
    company.rename_custom_field("deal", money, "New money")
    listed = by_id(walk_offset(server, "/v1/leadFields", limit=500), "key")
    assert {row["name"] for key, row in listed.items() if money in key} == {
        "New money",
        "currency of New money",
    }
    company.rename_custom_field("deal", code, "New name")
    company.rename_field_option("deal", code, option, "New label")
    deal_field, lead_field = defined()
    assert deal_field["field_name"] == lead_field["name"] == "New name"
    for options in (deal_field["options"], lead_field["options"]):
        assert by_id(options)[option]["label"] == "New label"
    company.remove_field_option("deal", code, option)
    deal_field, lead_field = defined()
    for options in (deal_field["options"], lead_field["options"]):
        assert len(options) == 4
        assert option not in by_id(options)
    assert lead_field["options_deleted"] == [{"id": option, "label": "New label"}]
    deals = company.tables["deals"].values()
    assert any(row["custom_fields"].get(code) == option for row in deals)


def test_unknown_attributes_and_other_types(server: PipedriveServer) -> None:
    company = server.company
    since = company.tick().strftime("%Y-%m-%dT%H:%M:%SZ")
    first = add_attribute(company, "persons", "mood", {"level": 3}, 4)
    second = change_type(company, "persons", "first_name", lambda value: [value], 2)
    assert (len(first), len(second)) == (4, 2)
    rows = by_id(walk(server, "/api/v2/persons", limit=500))
    assert {key for key, row in rows.items() if row.get("mood") == {"level": 3}} == set(first)
    assert {key for key, row in rows.items() if isinstance(row["first_name"], list)} == set(second)
    changed = by_id(walk(server, "/api/v2/persons", updated_since=since, limit=500))
    assert set(changed) == {*first, *second}
    twin = Company(scale=0.05)
    twin.tick()
    assert add_attribute(twin, "persons", "mood", {"level": 3}, 4) == first


# Pendo


def ask(server: PendoServer, path: str, key: str = "sandbox-key", **params: Any) -> Answer:
    return send(server.url + path, {"x-pendo-integration-key": key}, **params)


@pytest.mark.parametrize(("path", "table"), LISTS.items())
def test_pendo_lists(pendo: PendoServer, path: str, table: str) -> None:
    everything = ask(pendo, path, expand="*").json
    assert everything == pendo.company.rows(f"pendo_{table}")
    default = ask(pendo, path).json
    if table not in OF_APPS:
        assert default == everything
    else:
        assert default == [row for row in everything if row["appId"] == DEFAULT_APP]
        assert 0 < len(default) < len(everything)
    assert ask(pendo, path, expand="*", limit=1, offset=1).json == everything


def test_pendo_refusals(pendo: PendoServer) -> None:
    refused = ask(pendo, "/api/v1/page", key="other")
    assert refused.status == 403
    assert ask(pendo, "/api/v1/group").status == 404
    assert ask(pendo, "/api/v1/page/abc").status == 404
    pendo.fault = lambda _: Fault(status=429)
    assert ask(pendo, "/api/v1/page").status == 429
