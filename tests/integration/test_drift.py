"""Attributes and types that the catalog does not tell of: the schema is sent again, in time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_pendo_pipedrive.core.drift import Watch
from tests import harness
from tests.sandbox.server import Fault

if TYPE_CHECKING:
    from tests.harness import Run
    from tests.integration.conftest import Sync
    from tests.sandbox.company import Company
    from tests.sandbox.pipedrive import PipedriveServer

Record = dict[str, Any]


def assert_schemas_in_time(run: Run) -> None:
    """Each record fits the schema that was sent last before it, and no attribute is unknown."""
    schemas: dict[str, Any] = {}
    for message in run.messages:
        if message["type"] == "SCHEMA":
            schemas[message["stream"]] = jsonschema.Draft7Validator(message["schema"])
        elif message["type"] == "RECORD":
            validator = schemas[message["stream"]]
            validator.validate(message["record"])
            properties = validator.schema["properties"]
            named = {name for name, value in message["record"].items() if value is not None}
            assert named <= properties.keys()


def schemas_of(run: Run, stream: str) -> list[Record]:
    return [each["schema"] for each in run.of_type("SCHEMA") if each["stream"] == stream]


def live(company: Company, table: str, number: int) -> list[int]:
    """The ids of some rows that are neither archived nor deleted."""
    rows = company.tables[table].items()
    keys = [k for k, row in rows if not row.get("is_archived") and not row.get("is_deleted")]
    return keys[:number]


@pytest.mark.parametrize(
    ("values", "types"),
    [
        (["new"], {"string"}),
        ([1, None, 3], {"number"}),
        ([1, 2.5], {"number"}),
        ([True], {"boolean"}),
        ([{"a": 1}], {"object"}),
        ([[1, 2]], {"array"}),
        ([1, "1", True], {"number", "string", "boolean"}),
        ([True, 1], {"boolean", "number", "string"}),
        ([None], None),
    ],
)
def test_an_attribute_of_a_new_api_version(
    values: list[Any], types: set[str] | None, company: Company, sync_only: Sync
) -> None:
    sync_only("pipedrive_persons")
    keys = live(company, "persons", len(values))
    for key, value in zip(keys, values, strict=True):
        company.edit("persons", key, attribute_of_tomorrow=value)
    run = sync_only("pipedrive_persons")
    assert run.exit_code == 0
    assert_schemas_in_time(run)
    first, *later = schemas_of(run, "pipedrive_persons")
    assert "attribute_of_tomorrow" not in first["properties"]
    if types is None:
        assert later == []
    else:
        assert set(later[-1]["properties"]["attribute_of_tomorrow"]["type"]) == {*types, "null"}
    written = {each["id"]: each for each in run.records("pipedrive_persons")}
    assert [written[key]["attribute_of_tomorrow"] for key in keys] == values


def test_it_is_reported_once(
    company: Company, sync_only: Sync, small_pages: int, caplog: pytest.LogCaptureFixture
) -> None:
    sync_only("pipedrive_persons")
    assert len(company.tables["persons"]) > 3 * small_pages
    for key in list(company.tables["persons"]):
        company.edit("persons", key, attribute_of_tomorrow="x")
    run = sync_only("pipedrive_persons")
    assert len(schemas_of(run, "pipedrive_persons")) == 2
    lines = [line for line in harness.log_text(caplog).splitlines() if "of_tomorrow" in line]
    assert len(lines) == 1
    assert "pipedrive_persons" in lines[0]


@pytest.mark.parametrize(
    ("column", "value", "types", "holder"),
    [
        # Text takes other scalars; every other column stays as it is stored.
        ("name", 12, {"string", "number"}, "name"),
        ("org_id", "12", {"string"}, "org_id__string"),
        ("org_id", 1.5, {"number"}, "org_id__number"),
        ("org_id", {"value": 12}, {"object"}, "org_id__object"),
        ("label_ids", "1,2", {"string"}, "label_ids__string"),
        ("birthday", "yesterday", {"string"}, "birthday__string"),
        ("name", ["a", 1], {"array"}, "name__array"),
    ],
)
def test_a_type_that_changes(
    column: str, value: Any, types: set[str], holder: str, company: Company, sync_only: Sync
) -> None:
    sync_only("pipedrive_persons")
    (key,) = live(company, "persons", 1)
    company.tables["persons"][key][column] = value
    company.touch("persons", key)
    run = sync_only("pipedrive_persons")
    assert run.exit_code == 0
    assert_schemas_in_time(run)
    before, after = schemas_of(run, "pipedrive_persons")
    assert set(after["properties"][holder]["type"]) == {*types, "null"}
    if holder != column:
        assert after["properties"][column] == before["properties"][column]
    written = {each["id"]: each for each in run.records("pipedrive_persons")}
    assert json.dumps(written[key][holder], default=float) == json.dumps(value)
    assert (written[key][column] is None) == (holder != column)


def test_the_next_run_keeps_the_types(company: Company, sync_only: Sync) -> None:
    sync_only("pipedrive_persons")
    first, second, third = live(company, "persons", 3)
    company.edit("persons", first, attribute_of_tomorrow=1)
    one = sync_only("pipedrive_persons")
    company.edit("persons", second, attribute_of_tomorrow="high")
    company.edit("persons", third, attribute_of_tomorrow=2)
    two = sync_only("pipedrive_persons", state=one.state)
    assert_schemas_in_time(two)
    before, after = schemas_of(two, "pipedrive_persons")
    column = "attribute_of_tomorrow"
    assert before["properties"][column] == after["properties"][column]
    assert before == schemas_of(one, "pipedrive_persons")[-1]
    written = {each["id"]: each for each in two.records("pipedrive_persons")}
    assert written[second][column] is None
    assert written[second][f"{column}__string"] == "high"
    assert written[third][column] == 2


def test_a_primary_key_stays_where_it_is(company: Company, sync_only: Sync) -> None:
    sync_only("pipedrive_currencies")
    key = next(iter(company.tables["currencies"]))
    company.tables["currencies"][key]["id"] = "EUR"
    company.touch("currencies", key)
    run = sync_only("pipedrive_currencies")
    assert run.exit_code == 0
    assert_schemas_in_time(run)
    assert "EUR" in {each["id"] for each in run.records("pipedrive_currencies")}


def test_a_custom_field_added_after_discovery(company: Company, sync_only: Sync) -> None:
    sync_only("pipedrive_deals")
    field = company.add_custom_field("deal", "monetary", "Bonus of tomorrow")
    code = field["field_code"]
    first, second = live(company, "deals", 2)
    company.edit("deals", first, custom_fields={code: {"value": 9.95, "currency": "EUR"}})
    company.edit("deals", second, custom_fields={code: None})
    run = sync_only("pipedrive_deals")
    assert run.exit_code == 0
    assert_schemas_in_time(run)
    before, after = schemas_of(run, "pipedrive_deals")
    assert code not in before["properties"]["custom_fields"]["properties"]
    added = after["properties"]["custom_fields"]["properties"][code]
    # The account's own definition tells the type, not the value.
    assert added["description"] == "Bonus of tomorrow (monetary)"
    assert set(added["properties"]) == {"value", "currency"}


def test_what_a_catalog_deselects_stays_out(
    company: Company, config: dict[str, Any], sync: Sync
) -> None:
    catalog = harness.select(harness.discover(config), "pipedrive_persons")
    entry = next(e for e in catalog["streams"] if e["tap_stream_id"] == "pipedrive_persons")
    for name in ("attribute_of_tomorrow", "job_title"):
        entry["schema"]["properties"].pop(name, None)
        breadcrumb = ["properties", name]
        entry["metadata"] = [e for e in entry["metadata"] if e["breadcrumb"] != breadcrumb]
        entry["metadata"].append({"breadcrumb": breadcrumb, "metadata": {"selected": False}})
    for key in live(company, "persons", 3):
        company.edit("persons", key, attribute_of_tomorrow="x", job_title="y", other="z")
    run = sync(catalog=catalog)
    assert_schemas_in_time(run)
    records = run.records("pipedrive_persons")
    assert not any({"attribute_of_tomorrow", "job_title"} & each.keys() for each in records)
    properties = schemas_of(run, "pipedrive_persons")[-1]["properties"]
    assert "other" in properties
    assert not {"attribute_of_tomorrow", "job_title"} & properties.keys()


def test_a_stream_map_sees_it_too(company: Company, sync_only: Sync) -> None:
    sync_only("pipedrive_persons")
    (key,) = live(company, "persons", 1)
    company.edit("persons", key, attribute_of_tomorrow="x")
    maps = {"pipedrive_persons": {"__alias__": "people", "shout": "name.upper()"}}
    run = sync_only("pipedrive_persons", stream_maps=maps)
    assert_schemas_in_time(run)
    assert {"shout", "attribute_of_tomorrow"} <= schemas_of(run, "people")[-1]["properties"].keys()


def test_records_that_fit_are_written_as_they_came(
    company: Company, pipedrive: PipedriveServer, sync_only: Sync
) -> None:
    # Whitespace between tokens would break the lines of the output.
    plain = sync_only("pipedrive_persons")

    def pretty(body: bytes) -> bytes:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=True).encode()

    pipedrive.fault = lambda request: (
        Fault(mutate=pretty) if request.path.endswith("/persons") else None
    )
    again = sync_only("pipedrive_persons")
    assert len(company.tables["persons"]) == len(plain.records("pipedrive_persons"))
    assert again.records("pipedrive_persons") == plain.records("pipedrive_persons")


# The watch by itself.

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "x", "2026-01-31"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=4,
)
RECORDS = st.lists(st.dictionaries(st.sampled_from("abcde"), VALUES, max_size=3), max_size=3)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # Others may be busy too.
@given(pages=st.lists(RECORDS, max_size=3), known=st.sampled_from(["string", "object", "integer"]))
def test_whatever_comes_fits_afterwards(pages: list[list[Record]], known: str) -> None:
    inner = {"properties": {"a": {"type": ["array", "null"], "items": {"type": "integer"}}}}
    definition = {"type": [known, "null"], **(inner if known == "object" else {})}
    watch = Watch({"type": "object", "properties": {"a": definition}})
    for records in pages:
        before = watch.schema
        values = [sorted(map(repr, _held(each))) for each in records]
        found = watch.widen(records)
        assert (watch.schema == before) == (not found)
        for record in records:
            jsonschema.validate(record, watch.schema)
            named = {name for name, value in record.items() if value is not None}
            assert named <= watch.schema["properties"].keys()
        # No value is lost, and nothing more is found in the same page.
        assert values == [sorted(map(repr, _held(each))) for each in records]
        assert watch.widen(records) == []


def _held(record: Record) -> list[Any]:
    return [value for value in record.values() if value is not None]
