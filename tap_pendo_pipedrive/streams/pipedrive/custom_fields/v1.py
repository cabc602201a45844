"""API v1's encoding of custom fields, at the root of a row. Leads still come in it."""

from __future__ import annotations

import re
import typing as t

from tap_pendo_pipedrive.streams.pipedrive.custom_fields.field_types import (
    REFERENCES,
    is_compound,
    to_integer,
    to_items,
)

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_pendo_pipedrive.core.stream import Record

#: Codes of custom fields, and what v1 appends to them for the parts of a value.
_KEY: t.Final = re.compile(r"([0-9a-f]{40})(?:_(\w+))?")


def nest_v1(row: Record, fields: Mapping[str, Record]) -> Record:
    """Move a row's custom fields from its root into ``custom_fields``, encoded as in v2.

    Args:
        row: A row as v1 gives it; changed in place.
        fields: The definitions, by code. Fields that are not among them keep their values.
    """
    parts: dict[str, dict[str, t.Any]] = {}
    for key in tuple(row):
        match = _KEY.fullmatch(key)
        if match or key in fields:
            code, part = match.groups() if match else (key, None)
            parts.setdefault(code, {})[part or "value"] = row.pop(key)
    row["custom_fields"] = {
        code: _from_v1(values, str(fields[code]["field_type"]) if code in fields else "")
        for code, values in parts.items()
    }
    return row


def _from_v1(values: dict[str, t.Any], kind: str) -> t.Any:  # noqa: ANN401 - many types
    value = values.get("value")
    if value is None or value == "":
        return None
    if is_compound(kind) or len(values) > 1:
        if values.get("timezone_id") is not None:
            values["timezone_id"] = to_integer(values["timezone_id"])
        return values
    if kind == "set":
        return [to_integer(item) for item in to_items(value)]
    return to_integer(value) if kind == "enum" or kind in REFERENCES else value
