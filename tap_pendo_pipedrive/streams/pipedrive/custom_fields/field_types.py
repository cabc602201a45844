"""Field types: the JSON schema of their values, and the columns that a value is split into."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, t.Any]

_ANY: t.Final[Schema] = {"type": ["object", "array", "string", "number", "boolean", "null"]}
_TEXT: t.Final[Schema] = {"type": ["string", "null"]}
_NUMBER: t.Final[Schema] = {"type": ["number", "null"]}
_ID: t.Final[Schema] = {"type": ["integer", "null"]}
_DATE: t.Final[Schema] = {"type": ["string", "null"], "format": "date"}


def _list(items: Schema) -> Schema:
    return {"type": ["array", "null"], "items": items}


#: JSON schema of a value without parts, by field type.
_SIMPLE: t.Final[dict[str, Schema]] = {
    "varchar": _TEXT,
    "varchar_auto": _TEXT,
    "text": _TEXT,
    "phone": _TEXT,
    "int": _ID,
    "double": _NUMBER,
    "boolean": {"type": ["boolean", "null"]},
    "enum": _ID,
    "set": _list(_ID),
    "user": _ID,
    "org": _ID,
    "people": _ID,
    "date": _DATE,
}

#: The part of a compound value that its first column holds.
VALUE: t.Final = "value"
ADDRESS_PARTS: t.Final = (
    "street_number",
    "route",
    "subpremise",
    "sublocality",
    "locality",
    "admin_area_level_1",
    "admin_area_level_2",
    "country",
    "postal_code",
    "formatted_address",
)
_ZONE: t.Final[dict[str, Schema]] = {"timezone_id": _ID, "timezone_name": _TEXT}

#: The parts of a compound value, by field type.
_COMPOUND: t.Final[dict[str, dict[str, Schema]]] = {
    "monetary": {VALUE: _NUMBER, "currency": _TEXT},
    "daterange": {VALUE: _DATE, "until": _DATE},
    "time": {VALUE: _TEXT, **_ZONE},
    "timerange": {VALUE: _TEXT, "until": _TEXT, **_ZONE},
    "address": {VALUE: _TEXT, **dict.fromkeys(ADDRESS_PARTS, _TEXT)},
}
#: Columns of fields whose values are ids of options: labels, and the ids beside them.
_LABELLED: t.Final[dict[str, dict[str, Schema]]] = {
    "enum": {VALUE: _TEXT, "id": _ID},
    "set": {VALUE: _list(_TEXT), "ids": _list(_ID)},
}
#: Field types whose values name another object.
REFERENCES: t.Final = frozenset({"user", "org", "people"})


def is_compound(kind: str) -> bool:
    """Whether the API gives a field type's values in parts."""
    return kind in _COMPOUND


def value_schema(kind: str) -> Schema:
    """Return the JSON schema of a field type's values as API v2 gives them."""
    if kind not in _COMPOUND:
        return _SIMPLE.get(kind, _ANY)
    properties = {part: {"type": schema["type"]} for part, schema in _COMPOUND[kind].items()}
    kinds = ["object", "null"]
    if kind in {"time", "timerange"}:
        # Older copies of the migration guide show a bare text.
        kinds.insert(1, "string")
    return {"type": kinds, "additionalProperties": True, "properties": properties}


def column_schemas(kind: str) -> Mapping[str, Schema]:
    """Return the JSON schemas of the columns of a field type, by part of the value."""
    return _COMPOUND.get(kind) or _LABELLED.get(kind) or {VALUE: _SIMPLE.get(kind, _ANY)}


def suffix(part: str) -> str:
    """What a part's column has behind the field's name."""
    return "" if part == VALUE else f"_{part}"


def to_integer(value: t.Any) -> t.Any:  # noqa: ANN401 - many types
    """Read an id, which may come as a text or in an object; other values stay as they are."""
    if isinstance(value, dict):
        value = value.get("id", value.get("value"))
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    return value


def to_items(value: t.Any) -> list[t.Any]:  # noqa: ANN401 - many types
    """Read the items of a set: a list, or in API v1 a text with commas."""
    if isinstance(value, str):
        return value.split(",")
    return value if isinstance(value, list) else [value]
