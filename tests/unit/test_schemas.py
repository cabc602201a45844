"""The schemas of the streams against the attributes that the two APIs are known to send.

`tests/data/api_attributes.json` lists those attributes; its "source" says where they come from.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]

DATA = json.loads(
    (Path(__file__).parents[1] / "data" / "api_attributes.json").read_text(encoding="utf-8")
)
API: dict[str, dict[str, Any]] = DATA["streams"]

#: Every stream that has a schema file, and its primary key: a column, or several with commas.
PRIMARY_KEYS = {
    "pendo_account_metadata": "metadata_group, field",
    "pendo_accounts": "account_id",
    "pendo_events": "event_key",
    "pendo_feature_events": "event_key",
    "pendo_features": "id",
    "pendo_guide_events": "event_key",
    "pendo_guides": "id",
    "pendo_guides_seen": "visitor_id, guide_id, guide_step_id",
    "pendo_page_events": "event_key",
    "pendo_pages": "id",
    "pendo_poll_events": "event_key",
    "pendo_polls_seen": "visitor_id, account_id, guide_id, poll_id",
    "pendo_report_results": "report_id, row_key",
    "pendo_reports": "id",
    "pendo_segments": "id",
    "pendo_track_events": "event_key",
    "pendo_track_types": "id",
    "pendo_visitor_history": "history_key",
    "pendo_visitor_metadata": "metadata_group, field",
    "pendo_visitors": "visitor_id",
    "pipedrive_activities": "id",
    "pipedrive_activity_fields": "field_code",
    "pipedrive_activity_types": "id",
    "pipedrive_call_logs": "id",
    "pipedrive_currencies": "id",
    "pipedrive_deal_fields": "field_code",
    "pipedrive_deal_flow": "id",
    "pipedrive_deal_followers": "deal_id, user_id",
    "pipedrive_deal_installments": "id",
    "pipedrive_deal_participants": "id",
    "pipedrive_deal_products": "id",
    "pipedrive_deals": "id",
    "pipedrive_files": "id",
    "pipedrive_filters": "id",
    "pipedrive_goals": "id",
    "pipedrive_lead_fields": "key",
    "pipedrive_lead_labels": "id",
    "pipedrive_lead_sources": "name",
    "pipedrive_leads": "id",
    "pipedrive_legacy_teams": "id",
    "pipedrive_live_ids": "entity, id",
    "pipedrive_mail_messages": "id",
    "pipedrive_mail_threads": "id, folder",
    "pipedrive_note_comments": "uuid",
    "pipedrive_note_fields": "key",
    "pipedrive_notes": "id",
    "pipedrive_organization_fields": "field_code",
    "pipedrive_organization_followers": "organization_id, user_id",
    "pipedrive_organization_relationships": "id",
    "pipedrive_organizations": "id",
    "pipedrive_permission_set_assignments": "permission_set_id, user_id",
    "pipedrive_permission_sets": "id",
    "pipedrive_person_fields": "field_code",
    "pipedrive_person_followers": "person_id, user_id",
    "pipedrive_persons": "id",
    "pipedrive_pipelines": "id",
    "pipedrive_product_fields": "field_code",
    "pipedrive_product_followers": "product_id, user_id",
    "pipedrive_product_variations": "id",
    "pipedrive_products": "id",
    "pipedrive_project_boards": "id",
    "pipedrive_project_fields": "field_code",
    "pipedrive_project_phases": "id",
    "pipedrive_project_templates": "id",
    "pipedrive_projects": "id",
    "pipedrive_role_assignments": "role_id, user_id",
    "pipedrive_role_settings": "role_id",
    "pipedrive_roles": "id",
    "pipedrive_stages": "id",
    "pipedrive_tasks": "id",
    "pipedrive_users": "id",
}

#: The grouped event streams count by hour or by day; the others have one row an event.
GROUPED_EVENTS = {
    "pendo_events",
    "pendo_feature_events",
    "pendo_page_events",
    "pendo_track_events",
}
SINGLE_EVENTS = {"pendo_guide_events", "pendo_poll_events"}

#: Columns that the tap makes: lead records carry their custom fields at the root, visitors and
#: accounts their replication key in the metadata; rows without an id get a hash, and rows that do
#: not tell where they were found get that.
MADE_BY_THE_TAP = {
    **{stream: {"event_key"} for stream in GROUPED_EVENTS | SINGLE_EVENTS},
    "pendo_account_metadata": {"metadata_group", "field"},
    "pendo_accounts": {"last_updated_at"},
    "pendo_report_results": {"report_id", "row_key", "row"},
    "pendo_visitor_history": {"history_key", "visitor_id"},
    "pendo_visitor_metadata": {"metadata_group", "field"},
    "pendo_visitors": {"last_updated_at"},
    **{
        f"pipedrive_{entity}_fields": {"column_name"}
        for entity in ("activity", "deal", "organization", "person", "product", "project")
    },
    "pipedrive_deal_followers": {"deal_id"},
    "pipedrive_deal_participants": {"deal_id"},
    "pipedrive_leads": {"custom_fields"},
    "pipedrive_live_ids": {"entity"},
    "pipedrive_mail_threads": {"folder"},
    "pipedrive_organization_followers": {"organization_id"},
    "pipedrive_person_followers": {"person_id"},
    "pipedrive_product_followers": {"product_id"},
    "pipedrive_projects": {"is_archived"},
    "pipedrive_role_settings": {"role_id"},
}

WITH_CUSTOM_FIELDS = {
    "pipedrive_deals",
    "pipedrive_leads",
    "pipedrive_organizations",
    "pipedrive_persons",
    "pipedrive_products",
    "pipedrive_projects",
}

#: Names of timestamps that do not end in `_time`, `_at` or `_timestamp`.
OTHER_TIMES = {
    "created",
    "daily_merge_first",
    "daily_rollup_first",
    "day",
    "expires_after",
    "hour",
    "last_login",
    "last_ts",
    "modified",
    "month",
    "quarter",
    "shows_after",
    "time",
    "ts",
    "valid_through",
    "week",
}
#: Times of day, lengths of time, and (of the parties of mails) epoch milliseconds.
NOT_TIMESTAMPS = {"due_time", "load_time", "next_activity_time", "[].message_time"}

#: JSON Schema types that take every value of an API type.
ACCEPTED_BY = {
    "array": {"array"},
    "boolean": {"boolean"},
    "date": {"string"},
    "date-time": {"string"},
    "integer": {"integer", "number"},
    "null": {"null"},
    "number": {"number"},
    "object": {"object"},
    "string": {"string"},
}
ANYTHING = {"array", "boolean", "null", "number", "object", "string"}

each_stream = pytest.mark.parametrize("stream", sorted(PRIMARY_KEYS))


def load(stream: str) -> Schema:
    """Return the schema of a stream.

    Args:
        stream: The stream's name, with its service in front.

    Returns:
        The content of the schema file.
    """
    service, _, name = stream.partition("_")
    file = resources.files("tap_pendo_pipedrive.schemas") / service / f"{name}.json"
    schema: Schema = json.loads(file.read_text(encoding="utf-8"))
    return schema


def primary_key(stream: str) -> list[str]:
    """Return the columns of a stream's primary key.

    Args:
        stream: The stream's name.

    Returns:
        The columns, in order.
    """
    return PRIMARY_KEYS[stream].split(", ")


def types(schema: Schema) -> list[str]:
    """Return the types that a schema allows.

    Args:
        schema: The schema of a property or of an array's items.

    Returns:
        The names of the types.
    """
    kind: str | list[str] = schema["type"]
    return [kind] if isinstance(kind, str) else kind


def walk(schema: Schema, prefix: str = "") -> Iterator[tuple[str, Schema]]:
    """List what a schema says, at every depth.

    Args:
        schema: The schema of an object.
        prefix: The path of the object, ending in a dot.

    Yields:
        The path and the schema of each property, and of each array's items (`labels[]`).
    """
    for name, spec in schema.get("properties", {}).items():
        path = prefix + name
        yield path, spec
        yield from walk(spec, f"{path}.")
        if "items" in spec:
            yield f"{path}[]", spec["items"]
            yield from walk(spec["items"], f"{path}[].")


def snake_case(name: str) -> str:
    """Return the column name of a Pendo attribute.

    Args:
        name: The attribute's name in the API.

    Returns:
        The name in snake_case.
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def expected(stream: str) -> dict[str, list[str]]:
    """Return the attributes that a stream's schema has to have.

    Args:
        stream: The stream's name.

    Returns:
        The API's type or types by path, in the shape that the tap gives its records: Pendo's
        top-level names in snake_case, and its top-level epoch milliseconds as timestamps.
    """
    attributes: dict[str, list[str]] = {}
    for path, kind in API[stream]["attributes"].items():
        kinds = [kind] if isinstance(kind, str) else list(kind)
        column, rest = re.fullmatch(r"([^.\[]+)(.*)", path).groups()  # type: ignore[union-attr]
        if kinds == ["epoch-ms"]:
            kinds = ["integer"] if rest else ["date-time"]
        name = snake_case(column) if stream.startswith("pendo_") else column
        attributes[name + rest] = kinds
    for column in API[stream]["include_fields"]:
        attributes.setdefault(column, [])
    return attributes


def is_timestamp(path: str) -> bool:
    """Tell by its name whether a property is a timestamp.

    Args:
        path: The path of the property.

    Returns:
        Whether the property should have the format date-time.
    """
    name = path.rpartition(".")[2]
    if path.endswith(tuple(NOT_TIMESTAMPS)):
        return False
    return name.endswith(("_time", "_at", "_timestamp")) or name in OTHER_TIMES


def test_there_is_one_schema_for_each_stream() -> None:
    root = resources.files("tap_pendo_pipedrive.schemas")
    found = {
        f"{service}_{file.name.removesuffix('.json')}"
        for service in ("pendo", "pipedrive")
        for file in (root / service).iterdir()
        if file.name.endswith(".json")
    }

    assert found == set(PRIMARY_KEYS)
    assert len(found) == 71
    assert set(API) == found


@each_stream
def test_every_attribute_of_the_api_is_in_the_schema(stream: str) -> None:
    paths = {path for path, _ in walk(load(stream))}

    assert set(expected(stream)) - paths == set()


@each_stream
def test_every_column_is_one_that_the_api_sends_or_the_tap_makes(stream: str) -> None:
    columns = set(load(stream)["properties"])

    assert columns == {
        re.split(r"[.\[]", path)[0] for path in expected(stream)
    } | MADE_BY_THE_TAP.get(stream, set())


@each_stream
def test_the_schema_accepts_the_types_of_the_api(stream: str) -> None:
    specs = dict(walk(load(stream)))
    refused = []
    for path, kinds in expected(stream).items():
        allowed = set(types(specs[path]))
        for kind in kinds:
            accepted = allowed >= ANYTHING if kind == "any" else ACCEPTED_BY[kind] & allowed
            if not accepted:
                refused.append((path, kind, sorted(allowed)))

    assert refused == []


@each_stream
def test_every_value_but_the_primary_key_is_nullable(stream: str) -> None:
    schema = load(stream)
    key = primary_key(stream)

    assert all(schema["properties"][column]["type"] in ("integer", "string") for column in key)
    assert list(schema["properties"])[: len(key)] == key
    not_nullable = {
        path
        for path, spec in walk(schema)
        if not isinstance(spec["type"], list) or "null" not in spec["type"]
    }
    assert not_nullable == set(key)


@each_stream
def test_every_property_has_a_description(stream: str) -> None:
    wrong = [
        path
        for path, spec in walk(load(stream))
        if not path.endswith("[]")
        and not re.fullmatch(r"[A-Z]\S* .*[^.\s]\.", spec.get("description", ""))
    ]

    assert wrong == []


@each_stream
def test_formats_sit_on_times_and_dates(stream: str) -> None:
    specs = dict(walk(load(stream)))
    api = expected(stream)
    formats = {path: spec["format"] for path, spec in specs.items() if "format" in spec}

    assert set(formats.values()) <= {"date-time", "date"}
    assert all(types(specs[path]) == ["string", "null"] for path in formats)
    assert {path for path, kind in formats.items() if kind == "date-time"} == {
        path for path in specs if is_timestamp(path)
    }
    for path, kinds in api.items():
        if {"date-time", "date"} & set(kinds):
            assert formats.get(path) == kinds[0], path
        elif kinds:
            assert path not in formats, path


@each_stream
def test_unknown_attributes_pass_at_every_depth(stream: str) -> None:
    schema = load(stream)

    assert schema["type"] == "object"
    assert schema["additionalProperties"] is True
    closed = [
        path
        for path, spec in walk(schema)
        if ("properties" in spec and spec.get("additionalProperties") is not True)
        or ("object" in types(spec) and spec.get("additionalProperties", True) is not True)
    ]
    assert closed == []


@each_stream
def test_only_keywords_that_targets_understand(stream: str) -> None:
    schema = load(stream)
    known = {"type", "format", "description", "properties", "additionalProperties", "items"}

    assert set(schema) == {"type", "additionalProperties", "properties"}
    assert {keyword for _, spec in walk(schema) for keyword in spec} <= known
    # Without a type of the items a target has to guess the type of the column.
    assert all("items" in spec for _, spec in walk(schema) if types(spec)[:2] == ["array", "null"])


@each_stream
def test_column_names(stream: str) -> None:
    columns = list(load(stream)["properties"])

    assert [name for name in columns if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []
    assert all(len(name) <= 63 for name in columns)  # PostgreSQL cuts longer names off
    # So begin the columns of custom fields, whatever their names.
    assert not any(name.startswith("cf_") for name in columns)


def test_custom_fields_are_left_to_discovery() -> None:
    specs = {
        stream: load(stream)["properties"].get("custom_fields") for stream in sorted(PRIMARY_KEYS)
    }

    assert {stream for stream, spec in specs.items() if spec} == WITH_CUSTOM_FIELDS
    for stream in WITH_CUSTOM_FIELDS:
        assert specs[stream] == {
            "type": ["object", "null"],
            "description": specs[stream]["description"],
            "additionalProperties": True,
            "properties": {},
        }


def test_what_differs_from_account_to_account_is_an_open_object() -> None:
    opened = {
        (stream, column)
        for stream in PRIMARY_KEYS
        for column, spec in load(stream)["properties"].items()
        if stream.startswith("pendo_") and spec.get("properties") == {}
    }

    assert opened >= {
        ("pendo_accounts", "metadata"),
        ("pendo_visitors", "metadata"),
        ("pendo_report_results", "row"),
        ("pendo_events", "parameters"),
        ("pendo_page_events", "parameters"),
        *((stream, "properties") for stream in GROUPED_EVENTS | SINGLE_EVENTS),
    }
    for stream, column in opened:
        spec = load(stream)["properties"][column]
        assert spec["additionalProperties"] is True
        assert {"object", "null"} <= set(spec["type"])


def test_grouped_events_have_a_column_for_each_granularity() -> None:
    for stream in GROUPED_EVENTS:
        columns = load(stream)["properties"]
        for bucket in ("hour", "day", "week", "month", "quarter"):
            assert columns[bucket]["type"] == ["string", "null"]
            assert columns[bucket]["format"] == "date-time"
        # Only the page rule of a page event has wildcards, and only clicks can be frustrated.
        assert ("parameters" in columns) == (stream in {"pendo_events", "pendo_page_events"})
        assert ("rage_click_count" in columns) == (stream != "pendo_track_events")


def test_lengths_of_time_are_numbers() -> None:
    for stream, column in (
        ("pendo_guides", "recurrence"),
        ("pendo_guides", "recurrence_eligibility_window"),
        ("pendo_guide_events", "load_time"),
        ("pendo_poll_events", "load_time"),
        ("pendo_visitor_history", "duration"),
    ):
        assert load(stream)["properties"][column]["type"] == ["number", "null"], (stream, column)


@pytest.mark.parametrize(
    ("stream", "column"),
    [
        ("pendo_poll_events", "poll_response"),
        ("pendo_polls_seen", "response"),
        ("pendo_polls_seen", "poll_response"),
    ],
)
def test_answers_are_numbers_or_texts_and_load_as_text(stream: str, column: str) -> None:
    # Targets that give a column one type take the first, or the widest: text either way.
    assert load(stream)["properties"][column]["type"] == ["string", "integer", "number", "null"]


def test_pendo_keeps_nested_times_as_the_api_gives_them() -> None:
    for stream in ("pendo_pages", "pendo_features", "pendo_guides", "pendo_track_types"):
        nested = [
            (path, spec)
            for path, spec in walk(load(stream))
            if "." in path and path.endswith(("At", "lastLogin"))
        ]
        assert nested
        for path, spec in nested:
            assert spec["type"] == ["integer", "null"], path
            assert "epoch milliseconds" in spec["description"].lower(), path


def test_walk_sees_every_depth() -> None:
    text = {"type": ["string", "null"]}
    schema = {
        "type": "object",
        "properties": {
            "name": text,
            "prices": {
                "type": ["array", "null"],
                "items": {
                    "type": ["object", "null"],
                    "properties": {"notes": {"type": ["array", "null"], "items": text}},
                },
            },
        },
    }

    assert [path for path, _ in walk(schema)] == [
        "name",
        "prices",
        "prices[]",
        "prices[].notes",
        "prices[].notes[]",
    ]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("id", "id"),
        ("appId", "app_id"),
        ("rulesjson", "rulesjson"),
        ("currentFirstEligibleToBeSeenAt", "current_first_eligible_to_be_seen_at"),
        ("audienceUiHint", "audience_ui_hint"),
    ],
)
def test_snake_case(name: str, column: str) -> None:
    assert snake_case(name) == column
