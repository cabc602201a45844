"""Named columns of custom fields, worked out from the documented rules and from nothing else.

Like both `expected` modules this is a second implementation on purpose. It knows one round of
suffixes, which is all that the sandbox's fields need, and checks that it is enough.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Row = dict[str, Any]

#: The list of fields behind each stream that has custom fields.
FIELDS = {
    "pipedrive_deals": "deal_fields",
    "pipedrive_leads": "deal_fields",
    "pipedrive_organizations": "organization_fields",
    "pipedrive_persons": "person_fields",
    "pipedrive_products": "product_fields",
    "pipedrive_projects": "project_fields",
}
TEXT, NUMBER, WHOLE, DATE = "string", "number", "integer", "date"
ADDRESS = (
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
#: Type of each column, by field type and by what the column has behind the field's name.
COLUMNS: dict[str, dict[str, Any]] = {
    **{kind: {"": TEXT} for kind in ("varchar", "varchar_auto", "text", "phone")},
    "double": {"": NUMBER},
    "int": {"": WHOLE},
    "boolean": {"": "boolean"},
    "monetary": {"": NUMBER, "currency": TEXT},
    "enum": {"": TEXT, "id": WHOLE},
    "set": {"": [TEXT], "ids": [WHOLE]},
    "date": {"": DATE},
    "daterange": {"": DATE, "until": DATE},
    "time": {"": TEXT, "timezone_id": WHOLE, "timezone_name": TEXT},
    "timerange": {"": TEXT, "until": TEXT, "timezone_id": WHOLE, "timezone_name": TEXT},
    "address": {"": TEXT, **dict.fromkeys(ADDRESS, TEXT)},
    **{kind: {"": WHOLE} for kind in ("user", "org", "people")},
}


def plain_name(name: str) -> str:
    """Write a field's name as a column, without regard to other fields."""
    letters = [c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)]
    return "_".join(["cf", *re.findall(r"[^\W_]+", "".join(letters).lower())])


def columns(fields: Iterable[Row], pins: Mapping[str, str] | None = None) -> dict[str, Row]:
    """Tell each custom field's columns, by code and by what they have behind the name."""
    pins = pins or {}
    found: dict[str, Row] = {}
    for row in fields:
        if row["is_custom_field"]:
            code = row["field_code"]
            stem = plain_name(pins.get(code, row["field_name"]))
            if stem == "cf":
                stem = f"cf_{code[:6]}"
            suffixes = COLUMNS.get(row["field_type"], {"": None})
            found[code] = {end: f"{stem}_{end}" if end else stem for end in suffixes}
    owners = Counter(name for each in found.values() for name in each.values())
    for code, each in found.items():
        if code not in pins and any(owners[name] > 1 for name in each.values()):
            stem = f"{each['']}_{code[:6]}"
            found[code] = {end: f"{stem}_{end}" if end else stem for end in each}
    names = [name for each in found.values() for name in each.values()]
    assert len(names) == len(set(names))
    assert all(len(name.encode()) <= 63 for name in names)
    return found


def with_column_names(fields: Iterable[Row], pins: Mapping[str, str] | None = None) -> list[Row]:
    """Add the column's name to each definition."""
    rows = list(fields)
    found = columns(rows, pins)
    return [
        {**row, "column_name": found.get(row["field_code"], {"": row["field_code"]})[""]}
        for row in rows
    ]


def named(row: Row, fields: Iterable[Row], pins: Mapping[str, str] | None = None) -> Row:
    """Turn a record of the nested form into what it is in the named form."""
    definitions = {each["field_code"]: each for each in fields}
    shaped = {name: value for name, value in row.items() if name != "custom_fields"}
    for code, names in columns(definitions.values(), pins).items():
        shaped |= dict.fromkeys(names.values())
        value = row["custom_fields"].get(code)
        if value is None:
            continue
        labels = {o["id"]: o["label"] for o in definitions[code]["options"] or []}
        kind = definitions[code]["field_type"]
        if kind == "enum":
            parts = {"": labels.get(value), "id": value}
        elif kind == "set":
            parts = {"": [labels.get(option) for option in value], "ids": value}
        elif isinstance(value, dict):
            parts = {"" if part == "value" else part: item for part, item in value.items()}
        else:
            parts = {"": value}
        shaped |= {names[part]: item for part, item in parts.items()}
    return shaped
