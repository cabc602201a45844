"""Custom fields as columns of their own: names, types, labels, and what changes between runs."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from tap_pendo_pipedrive.streams.pipedrive.custom_fields import streams
from tap_pendo_pipedrive.tap import TapPendoPipedrive
from tests.harness import Tables, discover, run_tap, select
from tests.integration import expected
from tests.integration.test_discovery import FORMATS, entries
from tests.named import COLUMNS, FIELDS, columns, named, plain_name, with_column_names
from tests.sandbox import Fault
from tests.sandbox.fields import CUSTOM_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness import Record, Run
    from tests.sandbox import Company, PipedriveServer
    from tests.sandbox.server import Request

    Late = Callable[..., Run]
    Load = Callable[..., Run]

each_stream = pytest.mark.parametrize("stream", sorted(FIELDS))
DEALS, LEADS, PERSONS = "pipedrive_deals", "pipedrive_leads", "pipedrive_persons"


@pytest.fixture
def settings(pipedrive_config: dict[str, Any]) -> dict[str, Any]:
    return pipedrive_config | {"pipedrive_custom_fields": "named"}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]) -> Load:
    """Discover, then read these streams only; keyword `state`, others are settings."""

    def run(*names: str, state: dict[str, Any] | None = None, **extra: Any) -> Run:
        catalog = select(discover(settings | extra), *names)
        result = run_tap(monkeypatch, settings | extra, catalog=catalog, state=state)
        assert result.exit_code == 0, result.error
        return result

    return run


def schema_of(config: dict[str, Any], stream: str) -> dict[str, Any]:
    schema: dict[str, Any] = entries(discover(config))[stream]["schema"]
    return schema


def custom(company: Company, entity: str, kind: str, at: int = 0) -> Record:
    """A custom field of this type."""
    rows = company.rows(f"{entity}_fields")
    return [r for r in rows if r["is_custom_field"] and r["field_type"] == kind][at]


def column_of(company: Company, entity: str, code: str) -> str:
    name: str = columns(company.rows(f"{entity}_fields"))[code][""]
    return name


def give(company: Company, table: str, key: Any, **values: Any) -> None:
    """Give a record values of custom fields, by code."""
    held = company.get(table, key)["custom_fields"]
    company.edit(table, key, custom_fields=held | values)


def record(run: Run, stream: str, key: Any) -> Record:
    """The last record with this id."""
    return [each for each in run.records(stream) if each["id"] == key][-1]


def deal_id(company: Company) -> Any:
    deals = company.tables["deals"].values()
    return next(row["id"] for row in deals if not row["is_archived"] and not row["is_deleted"])


def asked(server: PipedriveServer, path: str) -> int:
    return sum(request.path == path for request in server.requests)


def warnings(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    found = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    return [message for message in found if text in message]


# What discovery says.


def types_of(definition: dict[str, Any]) -> Any:
    """A column's type in the words of :mod:`tests.named`."""
    kinds = [kind for kind in definition["type"] if kind != "null"]
    assert len(kinds) < len(definition["type"]), "not nullable"
    if kinds == ["array"]:
        return [types_of(definition["items"])]
    assert len(kinds) == 1
    return definition.get("format", kinds[0])


@each_stream
def test_schema_has_typed_columns_for_each_field(
    stream: str, settings: dict[str, Any], company: Company
) -> None:
    schema = schema_of(settings, stream)
    rows = company.rows(FIELDS[stream])
    fields = {row["field_code"]: row for row in rows}
    assert "custom_fields" not in schema["properties"]
    wanted = columns(rows)
    found = {name for name in schema["properties"] if name.startswith("cf_")}
    assert found == {name for each in wanted.values() for name in each.values()}
    for code, each in wanted.items():
        kind = fields[code]["field_type"]
        for end, name in each.items():
            definition = schema["properties"][name]
            assert types_of(definition) == COLUMNS[kind][end], (kind, name)
            label = f"{fields[code]['field_name']} ({kind})"
            assert definition["description"].startswith(label)
            assert end.replace("_", " ") in definition["description"]


def test_the_sandbox_has_a_field_of_every_type_and_names_that_collide(company: Company) -> None:
    """Else the other tests would not see what they are for."""
    rows = [row for row in company.rows("deal_fields") if row["is_custom_field"]]
    assert {row["field_type"] for row in rows} == set(CUSTOM_TYPES) < set(COLUMNS)
    names = Counter(plain_name(row["field_name"]) for row in rows)
    assert max(names.values()) > 1
    assert any(not name.isascii() for name in names)


def test_leads_have_the_columns_of_deals(settings: dict[str, Any]) -> None:
    found = [
        {n: d for n, d in schema_of(settings, s)["properties"].items() if n.startswith("cf_")}
        for s in (DEALS, LEADS)
    ]
    assert found[0] == found[1] != {}


def test_types_that_the_tap_does_not_know(load: Load, company: Company) -> None:
    for kind, value in (
        ("autocomplete", {"anything": [1]}),
        ("a_new_type", 1.5),
        ("int", 7),
        ("boolean", 1),
    ):
        code = company.add_custom_field("deal", kind, f"A field of {kind}")["field_code"]
        give(company, "deals", deal_id(company), **{code: value})
    run = load(DEALS)
    found = record(run, DEALS, deal_id(company))
    assert found["cf_a_field_of_autocomplete"] == {"anything": [1]}
    assert found["cf_a_field_of_a_new_type"] == 1.5
    assert found["cf_a_field_of_int"] == 7
    assert found["cf_a_field_of_boolean"] is True
    schema = run.of_type("SCHEMA")[0]["schema"]
    Draft202012Validator(schema).validate(json.loads(json.dumps(found, default=float)))
    anything = schema["properties"]["cf_a_field_of_autocomplete"]["type"]
    assert set(anything) == {"object", "array", "string", "number", "boolean", "null"}


# What the records hold.


def test_every_row_of_every_stream(load: Load, company: Company) -> None:
    """Current and archived rows, compared with the company's own data."""
    run = load(*FIELDS)
    for stream, table in FIELDS.items():
        fields = json.loads(json.dumps(company.rows(table)))
        wanted = {key: named(row, fields) for key, row in expected.rows(company, stream).items()}
        tables = Tables().load(run.messages)
        expected.compare(stream, tables.rows[stream], wanted)
        assert len(wanted) >= len(company.rows(stream)) > 0
    for stream in (DEALS, LEADS):
        assert {row["is_archived"] for row in run.records(stream)} == {True, False}


def test_every_record_matches_its_schema_and_has_all_columns(load: Load) -> None:
    run = load(*FIELDS)
    for stream in FIELDS:
        schema = next(m["schema"] for m in run.of_type("SCHEMA") if m["stream"] == stream)
        wanted = {name for name in schema["properties"] if name.startswith("cf_")}
        validator = Draft202012Validator(schema, format_checker=FORMATS)
        filled = set()
        for each in run.records(stream):
            assert [e.message[:200] for e in validator.iter_errors(each)] == [], each["id"]
            assert {name for name in each if name.startswith("cf_")} == wanted
            filled |= {name for name in wanted if each[name] is not None}
        assert len(filled) > len(wanted) / 2, stream


def test_encodings_of_an_option(load: Load, company: Company) -> None:
    one, many = custom(company, "deal", "enum"), custom(company, "deal", "set")
    option, others = one["options"][1], many["options"][1:3]
    column, columns_ = (column_of(company, "deal", row["field_code"]) for row in (one, many))
    ids = [other["id"] for other in others]
    labels = [other["label"] for other in others]
    for choice, choices in (
        (option["id"], ids),
        (str(option["id"]), [str(n) for n in ids]),
        (str(option["id"]), ",".join(str(n) for n in ids)),
        ({"id": option["id"], "label": option["label"]}, [{"id": n, "label": "x"} for n in ids]),
    ):
        values = {one["field_code"]: choice, many["field_code"]: choices}
        give(company, "deals", deal_id(company), **values)
        found = record(load(DEALS), DEALS, deal_id(company))
        assert (found[column], found[f"{column}_id"]) == (option["label"], option["id"])
        assert (found[columns_], found[f"{columns_}_ids"]) == (labels, ids)


def test_an_option_that_is_gone_leaves_its_id(
    load: Load, company: Company, pipedrive: PipedriveServer
) -> None:
    one, many = custom(company, "deal", "enum"), custom(company, "deal", "set")
    gone, (first, last) = one["options"][0]["id"], many["options"][:2]
    values = {one["field_code"]: gone, many["field_code"]: [first["id"], last["id"]]}
    for key in company.tables["deals"]:
        give(company, "deals", key, **values)
    for field in (one, many):
        company.edit("deal_fields", field["field_code"], options=field["options"][1:])
    pipedrive.reset()
    run = load(DEALS)
    column, columns_ = (column_of(company, "deal", row["field_code"]) for row in (one, many))
    assert len(run.records(DEALS)) == len(company.rows("deals"))
    for found in run.records(DEALS):
        assert (found[column], found[f"{column}_id"]) == (None, gone)
        assert found[columns_] == [None, last["label"]]
        assert found[f"{columns_}_ids"] == [first["id"], last["id"]]
    # Discovery, the sync, and once more because the options might be new.
    assert asked(pipedrive, "/api/v2/dealFields") == 3


def test_an_option_that_is_gone_keeps_the_label_that_the_value_has(
    load: Load, company: Company
) -> None:
    field = custom(company, "deal", "enum")
    value = {field["field_code"]: {"id": 99, "label": "Once upon a time"}}
    give(company, "deals", deal_id(company), **value)
    column = column_of(company, "deal", field["field_code"])
    found = record(load(DEALS), DEALS, deal_id(company))
    assert (found[column], found[f"{column}_id"]) == ("Once upon a time", 99)


def test_a_label_that_changes_reaches_rows_that_are_read_again(
    load: Load, company: Company
) -> None:
    field = custom(company, "person", "enum")
    code, (option, *rest) = field["field_code"], field["options"]
    column = column_of(company, "person", code)
    key = next(iter(company.tables["persons"]))
    give(company, "persons", key, **{code: option["id"]})
    first = load(PERSONS)
    assert record(first, PERSONS, key)[column] == option["label"]
    company.edit("person_fields", code, options=[option | {"label": "Renamed"}, *rest])
    company.edit("persons", key, name="Edited")
    second = load(PERSONS, state=first.state)
    assert record(second, PERSONS, key)[column] == "Renamed"


def test_bare_values_of_compound_types(load: Load, company: Company) -> None:
    """Older copies of the migration guide show times as a bare text."""
    bare = {"time": "09:30:00", "timerange": "10:00:00", "address": "1 Main St", "monetary": 5}
    fields = {kind: custom(company, "deal", kind) for kind in bare}
    give(company, "deals", deal_id(company), **{fields[k]["field_code"]: bare[k] for k in bare})
    found = record(load(DEALS), DEALS, deal_id(company))
    for kind, field in fields.items():
        names = columns(company.rows("deal_fields"))[field["field_code"]]
        assert [found[name] for name in names.values()] == [bare[kind]] + [None] * (len(names) - 1)


def test_parts_that_the_tap_does_not_know_come_out_too(load: Load, company: Company) -> None:
    code = custom(company, "deal", "address")["field_code"]
    give(company, "deals", deal_id(company), **{code: {"value": "Pole", "geoHash": "z", "x": None}})
    found = record(load(DEALS), DEALS, deal_id(company))
    column = column_of(company, "deal", code)
    assert (found[column], found[f"{column}_geohash"]) == ("Pole", "z")
    assert f"{column}_x" not in found


def test_leads_may_have_ids_of_zones_as_texts(load: Load, company: Company) -> None:
    code = custom(company, "deal", "timerange")["field_code"]
    names = columns(company.rows("deal_fields"))[code]
    lead = next(iter(company.tables["leads"]))
    parts = {"": "09:00:00", "_until": "10:00:00", "_timezone_id": "318"}
    company.edit("leads", lead, **{f"{code}{end}": part for end, part in parts.items()})
    found = record(load(LEADS), LEADS, lead)
    assert (found[names[""]], found[names["until"]]) == ("09:00:00", "10:00:00")
    assert found[names["timezone_id"]] == 318


def test_references_may_come_as_objects(load: Load, company: Company) -> None:
    code = custom(company, "deal", "people")["field_code"]
    give(company, "deals", deal_id(company), **{code: {"id": 12, "name": "Ana"}})
    found = record(load(DEALS), DEALS, deal_id(company))
    assert found[column_of(company, "deal", code)] == 12


def test_a_field_that_is_cleared_becomes_null(load: Load, company: Company) -> None:
    fields = [custom(company, "deal", kind) for kind in ("varchar", "monetary", "set")]
    key, (text, money, choices) = deal_id(company), (row["field_code"] for row in fields)
    amount = {"value": 12, "currency": "EUR"}
    options = [fields[2]["options"][0]["id"]]
    give(company, "deals", key, **{text: "Something", money: amount, choices: options})
    names = columns(company.rows("deal_fields"))
    checked = [name for code in (text, money, choices) for name in names[code].values()]
    first = load(DEALS)
    assert all(record(first, DEALS, key)[name] is not None for name in checked)
    give(company, "deals", key, **{text: None, money: None})
    values = company.get("deals", key)["custom_fields"]
    del values[choices]
    company.edit("deals", key, custom_fields=values)
    again = record(load(DEALS, state=first.state), DEALS, key)
    assert {name: again[name] for name in checked} == dict.fromkeys(checked)


def test_columns_can_be_deselected(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    catalog = select(discover(settings), DEALS)
    entry = entries(catalog)[DEALS]
    names = [name for name in entry["schema"]["properties"] if name.startswith("cf_")]
    for metadata in entry["metadata"]:
        if metadata["breadcrumb"] and metadata["breadcrumb"][-1] in names[::2]:
            metadata["metadata"]["selected"] = False
    run = run_tap(monkeypatch, settings, catalog=catalog)
    for found in run.records(DEALS):
        assert {name for name in found if name.startswith("cf_")} == set(names[1::2])


# Names that change, and names that stay.


def test_a_rename_moves_the_column_unless_it_is_pinned(load: Load, company: Company) -> None:
    loose, fixed = (company.add_custom_field("person", "monetary", n) for n in ("Loose", "Fixed"))
    pins = {fixed["field_code"]: "Anchored"}
    key = next(iter(company.tables["persons"]))
    amount = {"value": 3, "currency": "EUR"}
    give(company, "persons", key, **{row["field_code"]: amount for row in (loose, fixed)})
    first = load(PERSONS, pipedrive_custom_field_names=pins)
    for row in (loose, fixed):
        company.rename_custom_field("person", row["field_code"], "Renamed " + row["field_name"])
    company.edit("persons", key, name="Edited")
    second = load(PERSONS, state=first.state, pipedrive_custom_field_names=pins)
    before, after = (record(run, PERSONS, key) for run in (first, second))
    assert (before["cf_loose"], before["cf_loose_currency"]) == (3, "EUR")
    assert (after["cf_renamed_loose"], after["cf_renamed_loose_currency"]) == (3, "EUR")
    assert "cf_loose" not in after
    for each in (before, after):
        assert (each["cf_anchored"], each["cf_anchored_currency"]) == (3, "EUR")
        assert not any(name.endswith("_fixed") for name in each)


def test_a_column_of_one_field_may_be_derived_from_another(
    settings: dict[str, Any], company: Company
) -> None:
    both = [
        company.add_custom_field("deal", kind, name)["field_code"][:6]
        for kind, name in (("monetary", "Costs"), ("varchar", "Costs currency"))
    ]
    found = {n for n in schema_of(settings, DEALS)["properties"] if n.startswith("cf_costs")}
    first, second = both
    assert found == {
        f"cf_costs_{first}",
        f"cf_costs_{first}_currency",
        f"cf_costs_currency_{second}",
    }


def test_long_names_are_cut_where_postgres_would_cut_them(load: Load, company: Company) -> None:
    name = "Где находится место проведения мероприятия и кто за него отвечает"
    fields = [company.add_custom_field("deal", "address", f"{name} {n}") for n in (1, 2)]
    fields.append(company.add_custom_field("deal", "varchar", "x" * 200))
    for number, row in enumerate(fields):
        give(company, "deals", deal_id(company), **{row["field_code"]: str(number)})
    run = load(DEALS)
    schema = run.of_type("SCHEMA")[0]["schema"]
    assert max(len(name.encode()) for name in schema["properties"]) == 63
    found = record(run, DEALS, deal_id(company))
    held = {
        row["field_code"]: [
            n for n, d in schema["properties"].items() if row["field_name"] in d["description"]
        ]
        for row in fields
    }
    assert [len(names) for names in held.values()] == [11, 11, 1]
    assert len({name for names in held.values() for name in names}) == 23
    for number, names in enumerate(held.values()):
        assert found[names[0]] == str(number)


@pytest.mark.parametrize("form", ["nested", "named"])
def test_lists_of_fields_name_the_columns(form: str, load: Load, company: Company) -> None:
    code = custom(company, "deal", "monetary")["field_code"]
    pins = {code: "Net price"}
    run = load(
        *(f"pipedrive_{table}" for table in FIELDS.values()),
        "pipedrive_activity_fields",
        pipedrive_custom_fields=form,
        pipedrive_custom_field_names=pins,
    )
    for table in {*FIELDS.values(), "activity_fields"}:
        wanted = with_column_names(company.rows(table), pins)
        found = {row["field_code"]: row["column_name"] for row in run.records(f"pipedrive_{table}")}
        assert found == {row["field_code"]: row["column_name"] for row in wanted}
        if table == "deal_fields":
            assert found[code] == "cf_net_price"
            assert found["title"] == "title"


# Pins.


def test_pins_come_first_and_say_so_when_they_cannot(
    settings: dict[str, Any], company: Company, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [company.add_custom_field("deal", "varchar", "Stage of it") for _ in range(4)]
    loose, fixed, one, two = (row["field_code"] for row in rows)
    unknown = "0" * 40
    pins = {fixed: "Stage of it", one: "cf_Same", two: "SAME!", unknown: "nobody"}
    config = settings | {"pipedrive_custom_field_names": pins}
    names = schema_of(config, DEALS)["properties"]
    found = {name for name in names if name.startswith(("cf_stage", "cf_same"))}
    assert found == {
        "cf_stage_of_it",
        f"cf_stage_of_it_{loose[:6]}",
        f"cf_same_{one[:6]}",
        f"cf_same_{two[:6]}",
    }
    told = warnings(caplog, "pipedrive_custom_field_names")
    assert len(told) == 3
    assert {code for code in pins if any(code in text for text in told)} == {one, two, unknown}


def test_pins_of_any_entity_are_known(
    settings: dict[str, Any], company: Company, caplog: pytest.LogCaptureFixture
) -> None:
    pins = {
        custom(company, entity, "varchar")["field_code"]: f"mine in {entity}"
        for entity in ("deal", "person", "organization", "product", "project")
    }
    catalog = entries(discover(settings | {"pipedrive_custom_field_names": pins}))
    for stream, table in FIELDS.items():
        assert (
            f"cf_mine_in_{table.removesuffix('_fields')}"
            in (catalog[stream]["schema"]["properties"])
        )
    assert warnings(caplog, "pipedrive_custom_field_names") == []


def test_an_unknown_pin_is_named_where_a_list_of_fields_is_forbidden(
    settings: dict[str, Any], pipedrive: PipedriveServer, caplog: pytest.LogCaptureFixture
) -> None:
    pipedrive.fault = lambda r: Fault(status=403) if r.path == "/api/v2/productFields" else None
    discover(settings | {"pipedrive_custom_field_names": {"0" * 40: "nobody"}})
    assert len(warnings(caplog, "0" * 40)) == 1


# What is new since discovery.


@pytest.fixture
def late(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], pipedrive: PipedriveServer
) -> Late:
    """Read everything, with a change between discovery and the first rows."""

    def run(change: Callable[[], Any], **extra: Any) -> Run:
        changes, lock = [change], threading.Lock()

        def hook(request: Request) -> None:
            if "Fields" not in request.path:
                with lock:
                    while changes:
                        changes.pop()()

        pipedrive.fault = hook
        result = run_tap(monkeypatch, settings | extra)
        assert result.exit_code == 0, result.error
        return result

    return run


def test_a_field_added_after_discovery_gets_its_column(
    late: Late,
    company: Company,
    pipedrive: PipedriveServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Leads find what was read again for deals."""
    monkeypatch.setattr(streams, "PAUSE", 0.0)
    added: list[Record] = []

    def change() -> None:
        added.append(company.add_custom_field("deal", "monetary", "Brand new"))
        added.append(company.add_custom_field("deal", "enum", "Newer still"))
        added.append(company.add_custom_field("deal", "set", "Of leads"))
        money, choice, choices = added
        for key in company.tables["deals"]:
            give(company, "deals", key, **{money["field_code"]: {"value": 1, "currency": "EUR"}})
            give(company, "deals", key, **{choice["field_code"]: choice["options"][0]["id"]})
        lead = next(k for k, row in company.tables["leads"].items() if not row["is_archived"])
        company.edit("leads", lead, **{choice["field_code"]: str(choice["options"][1]["id"])})
        ids = ",".join(str(option["id"]) for option in choices["options"][:2])
        company.edit("leads", lead, **{choices["field_code"]: ids})

    run = late(change)
    label = added[1]["options"][0]["label"]
    assert len(run.records(DEALS)) == len(company.rows("deals"))
    for found in run.records(DEALS):
        assert (found["cf_brand_new"], found["cf_brand_new_currency"]) == (1, "EUR")
        assert (found["cf_newer_still"], found["cf_newer_still_id"]) == (
            label,
            added[1]["options"][0]["id"],
        )
        assert not any(added[0]["field_code"] in name for name in found)
    found = next(row for row in run.records(LEADS) if row.get("cf_of_leads"))
    assert found["cf_newer_still"] == added[1]["options"][1]["label"]
    assert found["cf_of_leads"] == [each["label"] for each in added[2]["options"][:2]]
    assert asked(pipedrive, "/api/v2/dealFields") == 2


def test_an_option_added_after_discovery_gets_its_label(late: Late, company: Company) -> None:
    field = custom(company, "deal", "enum")
    code, column = field["field_code"], column_of(company, "deal", field["field_code"])

    def change() -> None:
        new = {**field["options"][0], "id": 987_654, "label": "Brand new"}
        company.edit("deal_fields", code, options=[*field["options"], new])
        give(company, "deals", deal_id(company), **{code: 987_654})

    found = record(late(change), DEALS, deal_id(company))
    assert (found[column], found[f"{column}_id"]) == ("Brand new", 987_654)


@pytest.mark.parametrize("pause", [0.0, 60.0])
def test_codes_that_no_definition_has(
    pause: float,
    late: Late,
    company: Company,
    pipedrive: PipedriveServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Definitions are read again once for each thing, and not one after the other."""
    monkeypatch.setattr(streams, "PAUSE", pause)
    codes = ["a" * 40, "b" * 40, "c" * 40]
    keys = [k for k, row in company.tables["deals"].items() if not row["is_archived"]][:9]

    def change() -> None:
        for number, key in enumerate(keys):
            give(company, "deals", key, **{codes[number // 3]: {"value": number}})

    run = late(change)
    for number, key in enumerate(keys):
        assert record(run, DEALS, key)[f"cf_{codes[number // 3]}"] == {"value": number}
    assert asked(pipedrive, "/api/v2/dealFields") == 1 + (1 if pause else 3)


def test_pins_that_do_not_hold_are_named_once(
    late: Late, company: Company, caplog: pytest.LogCaptureFixture
) -> None:
    """Although the definitions are read twice."""
    one, two = (company.add_custom_field("deal", "text", name)["field_code"] for name in "xy")
    pins = {one: "same", two: "same", "0" * 40: "nobody"}

    def change() -> None:
        code = company.add_custom_field("deal", "text", "Brand new")["field_code"]
        give(company, "deals", deal_id(company), **{code: "here"})

    run = late(change, pipedrive_custom_field_names=pins)
    assert record(run, DEALS, deal_id(company))["cf_brand_new"] == "here"
    assert len(warnings(caplog, "pipedrive_custom_field_names")) == 3


def test_forbidden_definitions_leave_values_under_their_codes(
    load: Load, company: Company, pipedrive: PipedriveServer, caplog: pytest.LogCaptureFixture
) -> None:
    pipedrive.fault = lambda r: Fault(status=403) if r.path == "/api/v2/dealFields" else None
    run = load(DEALS, LEADS)
    for stream in (DEALS, LEADS):
        wanted = {
            key[0]: {f"cf_{code}": value for code, value in row["custom_fields"].items()}
            for key, row in expected.rows(company, stream).items()
        }
        for found in run.records(stream):
            values = {n: v for n, v in found.items() if n.startswith("cf_")}
            if stream == DEALS:
                assert values == wanted[found["id"]]
            assert set(values) == set(wanted[found["id"]])
        assert warnings(caplog, f"{stream}: its custom fields stay untyped")
    # In discovery, and in the sync.
    assert asked(pipedrive, "/api/v2/dealFields") == 2


def test_definitions_that_cannot_be_read_fail_the_stream(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], pipedrive: PipedriveServer
) -> None:
    """Better than values in columns that the next run leaves."""
    catalog = select(discover(settings), DEALS, "pipedrive_users")
    pipedrive.fault = lambda r: Fault(status=500) if r.path == "/api/v2/dealFields" else None
    run = run_tap(monkeypatch, settings | {"max_retries": 1}, catalog=catalog)
    assert run.exit_code == 1
    assert run.records(DEALS) == []
    assert run.records("pipedrive_users")


# The schema of what comes up in mid-run.


def test_property_of_a_column(settings: dict[str, Any], company: Company) -> None:
    tap = TapPendoPipedrive(config=settings)
    stream: Any = tap.streams[DEALS]
    for name, definition in stream.schema["properties"].items():
        assert stream.property_of((name,)) == definition
    assert stream.property_of(("custom_fields", "a" * 40)) is None
    assert stream.property_of(("cf_none",)) is None
    code = company.add_custom_field("deal", "date", "Brand new")["field_code"]
    written = stream.prepare({"id": 1, "custom_fields": {code: "2026-01-31"}})
    assert written["cf_brand_new"] == "2026-01-31"
    assert stream.property_of(("cf_brand_new",)) == {
        "type": ["string", "null"],
        "format": "date",
        "description": "Brand new (date)",
    }


def test_property_of_a_code(
    pipedrive_config: dict[str, Any], company: Company, pipedrive: PipedriveServer
) -> None:
    tap = TapPendoPipedrive(config=pipedrive_config)
    stream: Any = tap.streams[DEALS]
    held = stream.schema["properties"]["custom_fields"]["properties"]
    for code, definition in held.items():
        assert stream.property_of(("custom_fields", code)) == definition
    code = company.add_custom_field("deal", "monetary", "Brand new")["field_code"]
    assert stream.property_of(("custom_fields", code))["description"] == "Brand new (monetary)"
    assert stream.property_of(("custom_fields", "a" * 40)) is None
    assert stream.property_of(("title",)) == stream.schema["properties"]["title"]
    assert asked(pipedrive, "/api/v2/dealFields") == 2


def test_the_nested_form_reads_no_definitions_in_a_sync(
    monkeypatch: pytest.MonkeyPatch, pipedrive_config: dict[str, Any], pipedrive: PipedriveServer
) -> None:
    catalog = select(discover(pipedrive_config), DEALS, PERSONS)
    pipedrive.reset()
    run = run_tap(monkeypatch, pipedrive_config, catalog=catalog)
    assert run.records(DEALS)
    assert [r.path for r in pipedrive.requests if "Fields" in r.path] == []
