"""What records carry that their stream's schema does not tell: new attributes, other types.

A schema becomes a :mod:`msgspec` type, so that a page of records is checked in one call at C speed.
Only records that do not fit are looked at one by one, and the schema is widened to hold them.
An object whose schema names no properties holds anything.
"""

from __future__ import annotations

import copy
import datetime as dt
import functools
import operator
import typing as t
from decimal import Decimal

import msgspec

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.shaping import kinds_of

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Schema = dict[str, t.Any]
    JsonValue = t.Any
    Record = dict[str, t.Any]
    #: Names from the root of a record down to an attribute.
    AttributePath = tuple[str, ...]
    #: The JSON schema of an attribute, if anything but its values tells.
    PropertyOf = Callable[[AttributePath], "Schema | None"]

_SCALARS: t.Final[dict[str, t.Any]] = {
    "boolean": bool,
    "integer": int,
    # Each number stays as it is written.
    "number": t.Union[int, float],  # noqa: UP007 - evaluated on Python 3.10
    "string": str,
}
_NESTED: t.Final = frozenset({"object", "array"})
_FORMATS: t.Final[dict[str, t.Any]] = {"date": dt.date, "date-time": dt.datetime}


def row_type(
    schema: Mapping[str, t.Any],
    *,
    required: Iterable[str] = (),
    types: Mapping[str, t.Any] | None = None,
) -> type[msgspec.Struct]:
    """Build the type that holds just the records that fit a schema.

    Args:
        schema: A JSON schema of an object.
        required: Attributes that each record must have.
        types: Types of attributes that are read as something else than what the schema says.
    """
    required, types = frozenset(required), types or {}
    fields: list[tuple[str, t.Any] | tuple[str, t.Any, t.Any]] = []
    names: dict[str, str] = {}
    for name, definition in schema["properties"].items():
        kind = types[name] if name in types else _type_of(definition)
        field = f"a{len(fields)}"  # Names of attributes need not be such of variables.
        names[field] = name
        fields.append((field, kind) if name in required else (field, kind, msgspec.UNSET))
    return msgspec.defstruct(
        "Row", fields, rename=names, forbid_unknown_fields=True, gc=False, kw_only=True
    )


def _type_of(definition: Mapping[str, t.Any]) -> t.Any:  # noqa: ANN401 - a type
    kinds = kinds_of(definition)
    if not kinds:
        return t.Any
    types: list[t.Any] = []
    for kind in kinds:
        if kind == "object":
            types.append(row_type(definition) if definition.get("properties") else dict)
        elif kind == "array":
            items = _type_of(definition.get("items", {}))
            types.append(list[items])  # type: ignore[valid-type]  # made at run time
        elif kind == "integer" and "number" in kinds:
            continue  # A number may be one.
        elif kind == "string" and kinds == ["string"]:
            types.append(_FORMATS.get(definition.get("format", ""), str))
        else:
            types.append(_SCALARS[kind])
    return functools.reduce(operator.or_, types, type(None))


class Watch:
    """Watches the records of a stream, and widens its schema when they outgrow it.

    An attribute that the schema lacks becomes a column, typed by all values of the page that brings
    it. A column that was sent before keeps its storage, since targets like PostgreSQL's refuse to
    alter one: a value of another type goes to a column beside it, `<column>__<type>`.

    Args:
        schema: The schema that the stream's records have so far.
        keys: The primary key's columns, whose values must stay where they are.
        learned: Columns that earlier runs have added.
        property_of: Tells what is known of an attribute that the schema lacks.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        keys: Iterable[str] = (),
        learned: Mapping[str, Schema] | None = None,
        property_of: PropertyOf = lambda _path: None,
    ) -> None:
        self._first = schema["properties"].keys()
        columns = schema["properties"]
        added = {name: each for name, each in (learned or {}).items() if name not in columns}
        self.schema = {**schema, "properties": {**columns, **added}}
        self._keys = frozenset(keys)
        self._property_of = property_of

    @functools.cached_property
    def _type(self) -> t.Any:  # noqa: ANN401 - a type
        return list[row_type(self.schema)]  # type: ignore[misc]  # made at run time

    @property
    def learned(self) -> dict[str, Schema]:
        """The columns that the catalog does not have."""
        columns: dict[str, Schema] = self.schema["properties"]
        return {name: each for name, each in columns.items() if name not in self._first}

    def widen(self, records: list[Record]) -> list[str]:
        """Widen the schema as far as these records need it, and move values that do not fit.

        Args:
            records: A page of records; changed in place.

        Returns:
            What the schema did not tell before, by name; empty if the records fit.
        """
        try:
            msgspec.convert(records, self._type)
        except msgspec.ValidationError:
            found: dict[str, None] = {}
            schema = copy.deepcopy(self.schema)
            for record in records:
                self._fit_record(schema["properties"], record, found)
            if found:
                self.schema = schema
                del self._type
            return list(found)
        return []

    def _fit_record(
        self, columns: dict[str, Schema], record: Record, found: dict[str, None]
    ) -> None:
        for name, value in list(record.items()):
            if value is None:
                continue  # It says nothing about the type.
            column = name
            if name in columns and not self._may_hold(name, columns[name], value):
                column = f"{name}__{_column_type(value)}"
                record[name], record[column] = None, value
            self._fit_property(columns, column, value, (column,), found)

    def _may_hold(self, name: str, definition: Schema, value: JsonValue) -> bool:
        """Whether a column can take a value as it is stored, at most with a wider type."""
        kinds, kind = kinds_of(definition), _kind_of(value)
        if name in self._keys or not kinds:
            return True
        if _holds(kinds, kind, value):
            return kind != "string" or kinds != ["string"] or _is_written(definition, value)
        if kind in _NESTED:
            return False
        # JSON and text take any scalar, and a column that was not sent yet can become text.
        is_new = name not in self.schema["properties"] and not _NESTED.intersection(kinds)
        return "object" in kinds or _is_text(definition) or is_new

    def _fit_property(
        self,
        properties: dict[str, Schema],
        name: str,
        value: JsonValue,
        path: AttributePath,
        found: dict[str, None],
    ) -> None:
        if name not in properties:
            seen = {"type": [_column_type(value), "null"]}
            properties[name] = copy.deepcopy(self._property_of(path) or seen)
            found[".".join(path)] = None
        self._fit(properties[name], value, path, found)

    def _fit(
        self, definition: Schema, value: JsonValue, path: AttributePath, found: dict[str, None]
    ) -> None:
        kinds = kinds_of(definition)
        if value is None or not kinds:
            return
        kind = _kind_of(value)
        if not _holds(kinds, kind, value):
            kinds.append(_column_type(value))
            # Text is what holds scalars of several types.
            if "string" not in kinds and not _NESTED.intersection(kinds):
                kinds.append("string")
            definition["type"] = [*kinds, "null"]
            definition.pop("format", None)
            found[".".join(path)] = None
        elif kind == "string" and kinds == ["string"] and not _is_written(definition, value):
            del definition["format"]
            found[".".join(path)] = None
        if kind == "object" and definition.get("properties"):
            for name, inner in value.items():
                if inner is not None:
                    self._fit_property(definition["properties"], name, inner, (*path, name), found)
        elif kind == "array" and "items" in definition:
            for item in value:
                self._fit(definition["items"], item, path, found)


def _column_type(value: JsonValue) -> str:
    """The type of a column for a value. Numbers may get decimals later."""
    kind = _kind_of(value)
    return "number" if kind == "integer" else kind


def _is_text(definition: Schema) -> bool:
    return "string" in kinds_of(definition) and definition.get("format") not in _FORMATS


def _kind_of(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, (float, Decimal)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _holds(kinds: list[str], kind: str, value: JsonValue) -> bool:
    if kind in kinds:
        return True
    if kind == "integer":
        return "number" in kinds
    # JSON schema takes 1.0 for an integer.
    return kind == "number" and "integer" in kinds and value == int(value)


def _is_written(definition: Schema, value: str) -> bool:
    """Whether a text is a time or date, if the schema says so."""
    if definition.get("format") not in _FORMATS:
        return True
    try:
        timestamps.parse(value)
    except ValueError:
        return False
    return True
