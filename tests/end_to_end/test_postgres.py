"""`tap | target-postgres` into a real PostgreSQL, compared row by row with the sandbox's data."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.end_to_end.expected import (
    RFC_3339,
    STREAMS,
    Rows,
    differences,
    expect_all,
    expected,
)
from tests.harness import parse, run_command
from tests.named import FIELDS, columns, named
from tests.sandbox.company import TABLES

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Warehouse
    from tests.sandbox.company import Company
    from tests.sandbox.pendo import PendoServer
    from tests.sandbox.pipedrive import PipedriveServer

#: Streams that the API filters by time, and their child.
INCREMENTAL = [
    f"pipedrive_{name}"
    for name in (
        "activities",
        "deals",
        "deal_products",
        "leads",
        "notes",
        "organizations",
        "persons",
        "products",
    )
]
#: Lists that are asked for by parent, and those that come by folder.
BY_PARENT = {"/api/v2/phases", "/v1/organizationRelationships"}
MAIL = "/v1/mailbox/mailThreads"
DATE = re.compile(r"\d{4}-\d\d-\d\d")


def kind_of(value: Any) -> str:
    """The kind of column that a value needs."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float, list, dict)):
        return type(value).__name__
    if RFC_3339.fullmatch(value):
        return "timestamp"
    return "date" if DATE.fullmatch(value) else "text"


#: Kinds of values that a column holds -> types that such a column may have.
TYPES: list[tuple[set[str], set[str]]] = [
    ({"boolean"}, {"boolean"}),
    ({"int"}, {"bigint", "numeric"}),
    ({"int", "float"}, {"numeric"}),
    ({"timestamp"}, {"timestamp without time zone", "timestamp with time zone"}),
    ({"date"}, {"date"}),
    ({"dict"}, {"jsonb"}),
    ({"list"}, {"ARRAY", "jsonb"}),
    ({"text", "date"}, {"text"}),
    ({"boolean", "int", "float", "timestamp", "date", "dict", "list", "text"}, {"jsonb", "text"}),
]


def type_differences(stream: str, columns: dict[str, str], rows: Rows) -> list[str]:
    """Compare the types of a table's columns with the values that they hold."""
    found: list[str] = []
    for name in {name for row in rows.values() for name in row}:
        kinds = {kind_of(row[name]) for row in rows.values() if row.get(name) is not None}
        allowed = next(types for held, types in TYPES if kinds <= held)
        if name not in columns:
            if not kinds and name.startswith("brand_new"):
                continue  # Nothing but nulls tells of it.
            found.append(f"{stream}.{name}: no such column")
        elif kinds and columns[name] not in allowed:
            found.append(f"{stream}.{name}: {columns[name]} for {sorted(kinds)}")
    return found


def assert_equal(warehouse: Warehouse, *moments: dict[str, Rows]) -> None:
    """Every table holds what the company has, row by row and column by column."""
    assert warehouse.tables() == set(STREAMS)
    found: list[str] = []
    for stream in STREAMS:
        columns = warehouse.columns(stream)
        rows = warehouse.rows(stream)
        found += type_differences(stream, columns, moments[-1][stream])
        history = [moment[stream] for moment in moments]
        found += differences(stream, rows, history, columns=set(columns))
    assert not found, "\n".join([f"{len(found)} differences", *found[:60]])


def a_busy_day(company: Company) -> None:
    """Edit, archive, un-archive, delete and add rows, some of each in every table that can."""
    company.tick(3600)
    deals = company.tables["deals"]
    live = [key for key, row in deals.items() if not row["is_deleted"] and not row["is_archived"]]
    archived = [key for key, row in deals.items() if row["is_archived"] and not row["is_deleted"]]
    for table in TABLES:
        rows = company.tables[table]
        name = next(
            name
            for name in ("name", "title", "subject", "content", "field_name", "file_name")
            if name in next(iter(rows.values()))
        )
        keys = list(rows)
        company.edit(table, keys[0], **{name: f'Edited: "{table}" \\ é 🚀'})
        company.edit(table, keys[-1], **{name: ""})
        if table != "deal_products":
            company.add(table, **{name: f"Added to {table}"})
    # Line items change with their deals.
    items = list(company.tables["deal_products"])
    company.edit("deal_products", items[0], quantity=3, item_price=1.1, sum=3.3)
    company.remove_product_from_deal(items[1])
    product = next(iter(company.tables["products"]))
    company.add_product_to_deal(live[5], product)
    company.add_product_to_deal(archived[2], product)
    company.edit("deals", live[0], value=1234567890.12, currency="JPY")
    company.edit("deals", live[1], value=0.1, expected_close_date="2026-12-31")
    company.archive_deal(live[2])
    company.archive_deal(live[3])
    company.unarchive_deal(archived[0])
    company.edit("deals", archived[1], title="Edited in the archive")
    company.delete("deals", live[4])
    company.delete("deals", archived[3])
    leads = [key for key, row in company.tables["leads"].items() if not row["is_archived"]]
    company.archive_lead(leads[0])
    put_away = next(key for key, row in company.tables["leads"].items() if row["is_archived"])
    company.edit("leads", put_away, is_archived=False)
    for table in ("activities", "notes", "files", "persons", "organizations", "leads", "products"):
        company.delete(table, list(company.tables[table])[3])
    company.add_custom_field("deal", "monetary", "A field of today")


def test_full_then_incremental(
    company: Company,
    pipedrive: PipedriveServer,
    pendo: PendoServer,
    config: dict[str, Any],
    warehouse: Warehouse,
) -> None:
    first = warehouse.load(config)
    before = expect_all(company)
    assert_equal(warehouse, before)

    asked = pipedrive.stats()["paths"].items()
    before_children = sum(each["requests"] for path, each in asked if "{id}" in path)

    a_busy_day(company)
    pipedrive.reset()
    pendo.reset()
    second = warehouse.load(config, first)
    after = expect_all(company)
    assert_equal(warehouse, before, after)
    # One page of each list, and what belongs to the deals that changed, archived ones apart.
    paths = {path: asked["requests"] for path, asked in pipedrive.stats()["paths"].items()}
    for child in ("products", "installments"):
        assert paths.pop(f"/api/v2/deals/{child}") <= 2
    by_parent = {
        path: count for path, count in paths.items() if "{id}" in path or path in BY_PARENT
    }
    assert sum(by_parent.values()) < before_children / 3
    # Discovery has asked for the definitions of custom fields and metadata.
    entities = ("deal", "person", "organization", "product", "project")
    twice = {"/v1/goals/find", *(f"/api/v2/{entity}Fields" for entity in entities)}
    # Each folder, and whether that was all.
    once = {path: 2 if path in twice else 8 if path == MAIL else 1 for path in paths}
    assert paths == once | by_parent
    assert pendo.stats()["requests"] == sum(stream.startswith("pendo_") for stream in STREAMS) + 2

    # Nothing has changed: no bookmark moves, and what comes again is the rows at the bookmarks.
    idle = run_command(*warehouse.workbench.tap(config, second)[3:])
    messages = parse(idle.stdout.splitlines())
    states = [message["value"] for message in messages if message["type"] == "STATE"]
    assert states[-1] == second
    again = Counter(message["stream"] for message in messages if message["type"] == "RECORD")
    assert sum(again[stream] for stream in INCREMENTAL) < sum(map(len, after.values())) / 10


def test_what_sql_sees(
    company: Company,
    config: dict[str, Any],
    warehouse: Warehouse,
) -> None:
    # The same facts once more, asked for in SQL, as a user would.
    deal = next(
        key
        for key, row in company.tables["deals"].items()
        if not row["is_archived"] and not row["is_deleted"]
    )
    code = next(
        row["field_code"]
        for row in company.rows("pipedrive_deal_fields")
        if row["is_custom_field"] and row["field_type"] == "monetary"
    )
    company.edit(
        "deals",
        deal,
        value=19.99,
        expected_close_date="2026-05-01",
        custom_fields={code: {"value": 1.1, "currency": "EUR"}},
        update_time="2026-02-28T23:59:59Z",
    )
    page = next(iter(company.tables["pages"]))
    company.edit("pages", page, lastUpdatedAt=1_770_000_000_123)
    warehouse.load(config)
    with warehouse.connect() as connection:
        row = connection.execute(
            "SELECT value::text AS value, update_time::text AS updated,"
            " expected_close_date + 1 AS next_day,"
            " custom_fields -> %s ->> 'value' AS amount,"
            " (SELECT count(*) FROM pipedrive_deals WHERE is_archived) AS archived"
            " FROM pipedrive_deals WHERE id = %s",
            (code, deal),
        ).fetchone()
        seen = connection.execute(
            "SELECT last_updated_at::text AS time FROM pendo_pages WHERE id = %s", (page,)
        ).fetchone()
        joined = connection.execute(
            "SELECT count(*) AS n FROM pipedrive_deal_products"
            " JOIN pipedrive_deals ON pipedrive_deals.id = deal_id"
        ).fetchone()
    assert row == {
        "value": "19.99",
        "updated": "2026-02-28 23:59:59",
        "next_day": dt.date(2026, 5, 2),
        "amount": "1.1",
        "archived": sum(row["is_archived"] for row in company.tables["deals"].values()),
    }
    assert seen == {"time": "2026-02-02 02:40:00.123"}
    assert joined == {"n": len(company.tables["deal_products"])}


def expect_named(company: Company) -> dict[str, Rows]:
    """Tell what the tables of records with custom fields hold in the named form."""
    with company.lock:
        return {
            stream: {
                key: named(row, company.rows(table))
                for key, row in expected(company, stream).items()
            }
            for stream, table in FIELDS.items()
        }


def test_named_custom_fields(
    company: Company, config: dict[str, Any], warehouse: Warehouse
) -> None:
    config |= {"pipedrive_custom_fields": "named"}
    lists = [f"pipedrive_{table}" for table in set(FIELDS.values())]
    state = warehouse.load(config, streams=[*FIELDS, *lists])
    before = expect_named(company)
    found: list[str] = []
    for stream, wanted in before.items():
        types = warehouse.columns(stream)
        assert "custom_fields" not in types
        found += type_differences(stream, types, wanted)
        found += differences(stream, warehouse.rows(stream), [wanted], columns=set(types))
    assert not found, "\n".join([f"{len(found)} differences", *found[:60]])

    # A new field, and values that go: a label is read as it is, and what was cleared is null.
    field = company.add_custom_field("deal", "enum", "How they found us")
    option = field["options"][2]
    kept = columns(company.rows("deal_fields"))
    deal, code = next(
        (key, code)
        for key, row in company.tables["deals"].items()
        for code in row["custom_fields"]
        if row["custom_fields"][code] is not None and not row["is_deleted"]
    )
    company.edit("deals", deal, custom_fields={field["field_code"]: option["id"]})
    warehouse.load(config, state, streams=[*FIELDS, *lists])
    after = expect_named(company)
    types = warehouse.columns("pipedrive_deals")
    rows = warehouse.rows("pipedrive_deals")
    moments = [before["pipedrive_deals"], after["pipedrive_deals"]]
    found = differences("pipedrive_deals", rows, moments, columns=set(types))
    assert not found, "\n".join([f"{len(found)} differences", *found[:60]])
    cleared = next(row for row in rows if row["id"] == deal)
    assert [cleared[name] for name in kept[code].values()] == [None] * len(kept[code])
    with warehouse.connect() as connection:
        read = connection.execute(
            "SELECT id, cf_how_they_found_us AS label, cf_how_they_found_us_id AS option"
            " FROM pipedrive_deals WHERE cf_how_they_found_us IS NOT NULL"
        ).fetchall()
        mapped = connection.execute(
            "SELECT column_name FROM pipedrive_deal_fields WHERE field_code = %s",
            (field["field_code"],),
        ).fetchone()
    assert read == [{"id": deal, "label": option["label"], "option": option["id"]}]
    assert mapped == {"column_name": "cf_how_they_found_us"}
