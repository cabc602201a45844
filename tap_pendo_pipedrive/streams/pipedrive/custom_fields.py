"""Custom fields: the account's definitions, their types, and the two encodings of their values.

Source: Pipedrive, "API v2 migration guide" (values by field type) and the Fields API.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import logging
import re
import threading
import typing as t

from tap_pendo_pipedrive.core.failures import StreamForbidden, TapError
from tap_pendo_pipedrive.core.stream import Page, Record
from tap_pendo_pipedrive.streams.pipedrive import pages
from tap_pendo_pipedrive.streams.pipedrive.stream import CursorStream, PipedriveStream

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.bookmarks import Span
    from tap_pendo_pipedrive.core.http import Client, Request

logger = logging.getLogger("tap-pendo-pipedrive.custom_fields")

#: Codes of custom fields, and what v1 appends to them for the parts of a value.
_V1_KEY: t.Final = re.compile(r"([0-9a-f]{40})(?:_(\w+))?")

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


def _object(**properties: str) -> dict[str, t.Any]:
    return {
        "type": ["object", "null"],
        "additionalProperties": True,
        "properties": {name: {"type": [kind, "null"]} for name, kind in properties.items()},
    }


def _date() -> dict[str, t.Any]:
    return {"type": ["string", "null"], "format": "date"}


_ANY: t.Final = {"type": ["object", "array", "string", "number", "boolean", "null"]}
_TEXT: t.Final = {"type": ["string", "null"]}
_ID: t.Final = {"type": ["integer", "null"]}

#: JSON schema of a value, by field type.
TYPES: t.Final[dict[str, dict[str, t.Any]]] = {
    "varchar": _TEXT,
    "varchar_auto": _TEXT,
    "text": _TEXT,
    "phone": _TEXT,
    "int": _ID,
    "double": {"type": ["number", "null"]},
    "boolean": {"type": ["boolean", "null"]},
    "monetary": _object(value="number", currency="string"),
    "enum": _ID,
    "set": {"type": ["array", "null"], "items": _ID},
    "user": _ID,
    "org": _ID,
    "people": _ID,
    "date": _date(),
    "daterange": _object(value="string", until="string"),
    # Older copies of the migration guide show a bare text.
    "time": {
        **_object(value="string", timezone_id="integer", timezone_name="string"),
        "type": ["object", "string", "null"],
    },
    "timerange": {
        **_object(value="string", until="string", timezone_id="integer", timezone_name="string"),
        "type": ["object", "string", "null"],
    },
    "address": _object(value="string", **dict.fromkeys(ADDRESS_PARTS, "string")),
}


class Definitions:
    """The account's field definitions, each list fetched once a run.

    Args:
        client: Sends the requests.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._locks: collections.defaultdict[str, threading.Lock]
        self._locks = collections.defaultdict(threading.Lock)
        self._rows: dict[str, list[Record]] = {}

    def rows(self, request: Request) -> list[Record]:
        """All rows of a list of definitions, from all of its pages."""
        with self._locks[request.path]:
            if request.path not in self._rows:
                walk = pages.cursor_pages(self._client, request)
                self._rows[request.path] = [row for page in walk for row in page.decode()]
            return self._rows[request.path]


class FieldStream(CursorStream):
    """Field definitions of one entity. A list, not a table: no times, no ids."""

    primary_keys = ("field_code",)
    definitions: Definitions

    def fetch_early(self) -> None:
        """Fetch the definitions in the background, since discovery is about to need them."""

        def fetch() -> None:
            with contextlib.suppress(TapError):  # Raised again where they are needed.
                self.all_rows()

        threading.Thread(target=fetch, daemon=True).start()

    def all_rows(self) -> list[Record]:
        """The definitions, fetched now unless they were before."""
        return self.definitions.rows(self.request(None, {"limit": pages.LARGEST_PAGE}))

    def pages(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Hand out the definitions in one page; discovery may have fetched them already."""
        del context, span
        rows = self.all_rows()
        yield Page([dict(row) for row in rows], 1024 * len(rows))


class CustomFieldStream(PipedriveStream):
    """A stream whose records have custom fields.

    Attributes:
        fields_stream: Name of the stream that lists the definitions.
    """

    fields_stream: t.ClassVar[str]
    fields: FieldStream

    @functools.cached_property
    def custom_fields(self) -> dict[str, Record]:
        """The account's custom fields, by code; empty where they may not be read."""
        try:
            rows = self.fields.all_rows()
        except StreamForbidden as reason:
            logger.warning("%s: its custom fields stay untyped: %s", self.name, reason)
            rows = []
        return {row["field_code"]: row for row in rows if row.get("is_custom_field")}

    def load_schema(self) -> dict[str, t.Any]:
        """Add the account's custom fields to the schema that comes with the package."""
        schema = super().load_schema()
        try:
            fields = self.custom_fields
        except TapError as reason:
            # A sync goes on: what can be read is read, and the streams say what is wrong.
            logger.warning("%s: its custom fields stay untyped: %s", self.name, reason)
            self._tap.discovery_problems.append(reason)
            fields = {}
        schema["properties"]["custom_fields"]["properties"] = {
            code: _property(row) for code, row in fields.items()
        }
        return schema


def _property(definition: Record) -> dict[str, t.Any]:
    kind = definition.get("field_type")
    return {**TYPES.get(str(kind), _ANY), "description": f"{definition.get('field_name')} ({kind})"}


# Leads still come in v1's encoding, at the root of the row.


def nest_v1(row: Record, fields: dict[str, Record]) -> Record:
    """Move a row's custom fields from its root into ``custom_fields``, encoded as in v2.

    Args:
        row: A row as v1 gives it; changed in place.
        fields: The definitions, by code. Fields that are not among them keep their values.
    """
    parts: dict[str, dict[str, t.Any]] = {}
    for key in tuple(row):
        match = _V1_KEY.fullmatch(key)
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
    if kind in _NESTED or len(values) > 1:
        for name in ("timezone_id",):
            if values.get(name) is not None:
                values[name] = _to_integer(values[name])
        return values
    convert = _CONVERT.get(kind)
    return convert(value) if convert else value


def _to_integer(value: t.Any) -> t.Any:  # noqa: ANN401 - many types
    # References may come as objects that hold the id.
    if isinstance(value, dict):
        value = value.get("id", value.get("value"))
    if isinstance(value, str) and value.strip().lstrip("-").isdigit():
        return int(value)
    return value


def _to_integers(value: t.Any) -> t.Any:  # noqa: ANN401 - many types
    items = value.split(",") if isinstance(value, str) else value
    return [_to_integer(item) for item in items] if isinstance(items, list) else [items]


_NESTED: t.Final = frozenset({"monetary", "daterange", "time", "timerange", "address"})
_CONVERT: t.Final[dict[str, Callable[[t.Any], t.Any]]] = {
    "enum": _to_integer,
    "set": _to_integers,
    "user": _to_integer,
    "org": _to_integer,
    "people": _to_integer,
}
