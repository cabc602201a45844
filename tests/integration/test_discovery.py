"""What the catalog and the SCHEMA messages promise, and that every record keeps it."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from tests.harness import discover, log_text
from tests.integration.expected import (
    ALL_PENDO,
    CATALOG,
    CHILDREN,
    LIVE_IDS,
    PIPEDRIVE,
    STREAMS,
)
from tests.sandbox import Company, Fault

if TYPE_CHECKING:
    from tests.integration.conftest import Sync
    from tests.sandbox import PendoServer, PipedriveServer
    from tests.sandbox.server import Request

# JSON schema types of a custom field's value, by field type (the v2 encodings).
KINDS = {
    "varchar": {"string"},
    "varchar_auto": {"string"},
    "text": {"string"},
    "phone": {"string"},
    "double": {"number"},
    "monetary": {"object"},
    "enum": {"integer"},
    "set": {"array"},
    "date": {"string"},
    "daterange": {"object"},
    "time": {"object", "string"},
    "timerange": {"object", "string"},
    "address": {"object"},
    "user": {"integer"},
    "org": {"integer"},
    "people": {"integer"},
}
FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
def is_rfc3339(value: Any) -> bool:
    if not isinstance(value, str):
        return True
    moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    return value[10] == "T" and value.endswith("Z") and moment.tzinfo is not None


@FORMATS.checks("date", raises=ValueError)
def is_date(value: Any) -> bool:
    return not isinstance(value, str) or bool(date.fromisoformat(value))


def entries(catalog: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["tap_stream_id"]: entry for entry in catalog["streams"]}


@pytest.mark.parametrize("services", [("pipedrive",), ("pendo",), ("pipedrive", "pendo")])
def test_catalog_has_exactly_the_streams_of_the_services_that_are_on(
    services: tuple[str, ...], config: dict[str, Any]
) -> None:
    settings = {k: v for k, v in config.items() if k.startswith(services)}
    wanted = {name for name in CATALOG if name.startswith(services)}
    assert set(entries(discover(settings))) == wanted


@pytest.mark.parametrize(
    ("own", "other"), [("pipedrive", "pendo"), ("pendo", "pipedrive")], ids=["pipedrive", "pendo"]
)
def test_service_without_credentials_is_not_asked(
    own: str, other: str, config: dict[str, Any], request: pytest.FixtureRequest, sync: Sync
) -> None:
    credential = {"pipedrive": "pipedrive_api_token", "pendo": "pendo_integration_key"}[other]
    run = sync(**{credential: ""})
    assert run.exit_code == 0
    assert run.streams
    assert all(stream.startswith(own) for stream in run.streams)
    assert request.getfixturevalue(other).requests == []


def test_keys_and_replication_of_each_stream(config: dict[str, Any]) -> None:
    for name, entry in entries(discover(config)).items():
        stream = CATALOG[name]
        root = next(m["metadata"] for m in entry["metadata"] if not m["breadcrumb"])
        assert entry["key_properties"] == stream.keys, name
        assert root["table-key-properties"] == stream.keys, name
        assert entry.get("replication_key") == stream.replication_key, name
        method = "INCREMENTAL" if stream.replication_key else "FULL_TABLE"
        assert entry["replication_method"] == method, name


def test_schema_messages_have_the_keys_too(sync: Sync) -> None:
    for message in sync().of_type("SCHEMA"):
        stream = STREAMS[message["stream"]]
        assert message["key_properties"] == stream.keys
        wanted = [stream.replication_key] if stream.replication_key else []
        assert message.get("bookmark_properties", []) == wanted


def test_every_column_but_the_key_is_nullable_and_described(config: dict[str, Any]) -> None:
    for name, entry in entries(discover(config)).items():
        for column, definition in entry["schema"]["properties"].items():
            kinds = definition.get("type", ["null"])
            if column in CATALOG[name].keys:
                assert "null" not in kinds, (name, column)
            else:
                assert "null" in kinds, (name, column)
            assert definition.get("description"), (name, column)


def test_every_record_matches_its_schema(sync: Sync) -> None:
    run = sync()
    schemas = {m["stream"]: m["schema"] for m in run.of_type("SCHEMA")}
    seen = set()
    for stream, schema in schemas.items():
        Draft202012Validator.check_schema(schema)
        validator = Draft202012Validator(schema, format_checker=FORMATS)
        for record in run.records(stream):
            problems = [f"{e.json_path}: {e.message}"[:200] for e in validator.iter_errors(record)]
            assert problems == [], (stream, STREAMS[stream].key_of(record))
            seen.add(stream)
    assert seen == set(STREAMS)


def test_schema_comes_before_its_records(sync: Sync) -> None:
    announced = set()
    for message in sync().messages:
        if message["type"] == "SCHEMA":
            announced.add(message["stream"])
        elif message["type"] == "RECORD":
            assert message["stream"] in announced


@pytest.mark.parametrize(
    ("stream", "table"),
    [
        ("pipedrive_deals", "deal_fields"),
        ("pipedrive_leads", "deal_fields"),
        ("pipedrive_persons", "person_fields"),
        ("pipedrive_organizations", "organization_fields"),
        ("pipedrive_products", "product_fields"),
    ],
)
def test_custom_fields_are_typed_from_their_definitions(
    stream: str, table: str, config: dict[str, Any], company: Company
) -> None:
    column = entries(discover(config))[stream]["schema"]["properties"]["custom_fields"]
    custom = {r["field_code"]: r for r in company.rows(table) if r["is_custom_field"]}
    assert set(column["properties"]) == set(custom)
    for code, row in custom.items():
        definition = column["properties"][code]
        assert set(definition["type"]) == KINDS[row["field_type"]] | {"null"}, row["field_type"]
        assert row["field_name"] in definition["description"]
    assert column.get("additionalProperties", True) is not False


def test_definitions_are_read_from_all_of_their_pages(
    config: dict[str, Any], company: Company, pipedrive: PipedriveServer
) -> None:
    """More definitions than the largest page holds."""
    for number in range(500):
        company.add_custom_field("deal", "varchar", f"Field {number}")
    column = entries(discover(config))["pipedrive_deals"]["schema"]["properties"]["custom_fields"]
    custom = [row for row in company.rows("deal_fields") if row["is_custom_field"]]
    assert len(column["properties"]) == len(custom) > 600
    assert len([r for r in pipedrive.requests if r.path == "/api/v2/dealFields"]) == 2


def test_a_field_added_after_discovery_comes_out(
    sync: Sync, config: dict[str, Any], company: Company
) -> None:
    catalog = discover(config)
    code = company.add_custom_field("person", "varchar", "Brand new")["field_code"]
    key = next(iter(company.tables["persons"]))
    values = company.get("persons", key)["custom_fields"]
    company.edit("persons", key, custom_fields=values | {code: "here"})
    run = sync(catalog=catalog)
    record = next(r for r in run.records("pipedrive_persons") if r["id"] == key)
    assert record["custom_fields"][code] == "here"


@pytest.mark.parametrize("status", [402, 403])
def test_forbidden_definitions_leave_custom_fields_open(
    status: int,
    sync: Sync,
    company: Company,
    pipedrive: PipedriveServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def forbid(request: Request) -> Fault | None:
        return Fault(status=status) if request.path == "/api/v2/personFields" else None

    pipedrive.fault = forbid
    run = sync()
    assert run.exit_code == 0
    schema = next(m for m in run.of_type("SCHEMA") if m["stream"] == "pipedrive_persons")["schema"]
    column = schema["properties"]["custom_fields"]
    assert not column.get("properties")
    assert column.get("additionalProperties", True) is True
    records = run.records("pipedrive_persons")
    assert len(records) == len(company.rows("persons"))
    assert any(record["custom_fields"] for record in records)
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert any("pipedrive_persons" in text and "untyped" in text for text in warnings)
    assert len([each for each in pipedrive.requests if each.path == "/api/v2/personFields"]) == 1
    assert "pipedrive_person_fields" in log_text(caplog).rsplit("Skipped as forbidden", 1)[1]


def test_leads_keep_custom_fields_when_definitions_are_forbidden(
    sync: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    pipedrive.fault = lambda r: Fault(status=403) if r.path == "/api/v2/dealFields" else None
    run = sync()
    codes = {name[:40] for row in company.rows("leads") for name in row if len(name) >= 40}
    found = {code for row in run.records("pipedrive_leads") for code in row["custom_fields"]}
    assert found == codes


def test_services_are_named_by_their_prefix(
    pendo: PendoServer, pipedrive: PipedriveServer, config: dict[str, Any]
) -> None:
    assert len(PIPEDRIVE | CHILDREN | LIVE_IDS) == 51
    assert len(ALL_PENDO) == 20
    assert set(entries(discover(config))) == set(CATALOG)


def test_streams_that_a_catalog_lacks_cost_nothing(
    pipedrive: PipedriveServer, sync_only: Sync
) -> None:
    sync_only("pipedrive_currencies")
    pipedrive.reset()
    run = sync_only("pipedrive_currencies")
    assert set(run.streams) == {"pipedrive_currencies"}
    assert {request.path for request in pipedrive.requests} == {"/v1/currencies"}
