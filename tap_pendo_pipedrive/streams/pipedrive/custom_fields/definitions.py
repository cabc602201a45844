"""What an entity's field definitions say: the schema of its custom fields, and their columns."""

from __future__ import annotations

import typing as t

from tap_pendo_pipedrive.streams.pipedrive.custom_fields import field_types, naming
from tap_pendo_pipedrive.streams.pipedrive.custom_fields.field_types import VALUE

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tap_pendo_pipedrive.core.stream import Record

    Value = t.Any
    #: Writes a value, which is not null, into a field's columns. Says which options it does not
    #: know, in a text for each that is always the same.
    Writer = Callable[[Record, Value], Sequence[str] | None]


class Definitions:
    """The field definitions of an entity as they were at one time. Nothing of it changes.

    Args:
        rows: The definitions as API v2 gives them.
        pins: Names that the user gives to fields, by code.

    Attributes:
        rows: The definitions.
        custom: Those of custom fields, by code.
        columns: The columns of custom fields, by code and then by part of the value.
    """

    def __init__(self, rows: Sequence[Record] = (), pins: Mapping[str, str] | None = None) -> None:
        pins = pins or {}
        self.rows = rows
        self.custom = {row["field_code"]: row for row in rows if row.get("is_custom_field")}
        names: dict[str, naming.FieldName] = {}
        for code, row in self.custom.items():
            suffixes = tuple(map(field_types.suffix, field_types.column_schemas(_kind(row))))
            name = pins.get(code, str(row.get("field_name") or ""))
            names[code] = naming.FieldName(name, suffixes, is_pinned=code in pins)
        self.columns = {
            code: {
                part: stem + field_types.suffix(part)
                for part in field_types.column_schemas(_kind(self.custom[code]))
            }
            for code, stem in naming.stems(names).items()
        }
        self._nulls = dict.fromkeys(
            name for each in self.columns.values() for name in each.values()
        )
        self._writers = {
            code: _writer(row, self.columns[code]) for code, row in self.custom.items()
        }

    def column_name(self, row: Record) -> str:
        """The column of a field, or the first one if it has several."""
        code: str = row["field_code"]
        return self.columns[code][VALUE] if code in self.columns else code

    def value_schemas(self) -> dict[str, field_types.Schema]:
        """JSON schemas of the values of custom fields, by code."""
        return {
            code: {**field_types.value_schema(_kind(row)), "description": _description(row)}
            for code, row in self.custom.items()
        }

    def column_schemas(self) -> dict[str, field_types.Schema]:
        """JSON schemas of the columns of custom fields, by column."""
        return {
            self.columns[code][part]: {**schema, "description": _description(row, part)}
            for code, row in self.custom.items()
            for part, schema in field_types.column_schemas(_kind(row)).items()
        }

    def write(self, row: Record, values: Mapping[str, Value]) -> tuple[Record, list[str]]:
        """Add the columns of all custom fields to a row.

        Args:
            row: A row without custom fields; it stays as it is.
            values: The values of its custom fields, by code, in the encoding of API v2.

        Returns:
            The row with its columns, null where it has no value, and what the definitions do not
            know: codes, whose values are in ``cf_<code>``, and options, whose labels are null.
        """
        record = self._nulls | row
        unknown: list[str] = []
        writers = self._writers
        for code, value in values.items():
            write = writers.get(code)
            if write is None:
                record[naming.PREFIX + code] = value
                unknown.append(code)
            elif value is not None and (options := write(record, value)):
                unknown += options
        return record, unknown


def _kind(row: Record) -> str:
    return str(row.get("field_type"))


def _description(row: Record, part: str = VALUE) -> str:
    text = f"{row.get('field_name')} ({row.get('field_type')})"
    return text if part == VALUE else f"{text}: {part.replace('_', ' ')}"


def _writer(row: Record, columns: Mapping[str, str]) -> Writer:
    kind = _kind(row)
    if kind == "enum":
        return _write_option(_Options(row), columns[VALUE], columns["id"])
    if kind == "set":
        return _write_options(_Options(row), columns[VALUE], columns["ids"])
    if len(columns) > 1:
        return _write_parts(columns)
    return (_write_id if kind in field_types.REFERENCES else _write_value)(columns[VALUE])


def _write_value(column: str) -> Writer:
    def write(record: Record, value: Value) -> None:
        record[column] = value

    return write


def _write_id(column: str) -> Writer:
    def write(record: Record, value: Value) -> None:
        record[column] = value if value.__class__ is int else field_types.to_integer(value)

    return write


def _write_parts(columns: Mapping[str, str]) -> Writer:
    first = columns[VALUE]

    def write(record: Record, value: Value) -> None:
        if value.__class__ is not dict:
            record[first] = value
            return
        for part, item in value.items():
            if part in columns:
                record[columns[part]] = item
            elif item is not None:
                # The API has learned to say more about the value.
                record[naming.cut(f"{first}_{naming.snake_case(part)}")] = item

    return write


class _Options:
    """The options of a field.

    Attributes:
        labels: Labels by id.
    """

    def __init__(self, row: Record) -> None:
        self.labels = {
            field_types.to_integer(option.get("id")): option.get("label")
            for option in row.get("options") or ()
        }
        self._code = row["field_code"]

    def read(self, value: Value) -> tuple[Value, str | None, str | None]:
        """Read an option in any encoding: its id, its label, and what to call it if unknown."""
        option = field_types.to_integer(value)
        if isinstance(option, (int, str)) and option in self.labels:
            return option, self.labels[option], None
        if isinstance(value, dict) and "label" in value:
            return option, value["label"], None
        return option, None, f"{self._code} {option}"


def _write_option(options: _Options, column: str, id_column: str) -> Writer:
    labels = options.labels

    def write(record: Record, value: Value) -> Sequence[str] | None:
        try:
            record[column] = labels[value]
        except (KeyError, TypeError):  # Not known, or not encoded like this.
            record[id_column], record[column], unknown = options.read(value)
            return [unknown] if unknown else None
        record[id_column] = value
        return None

    return write


def _write_options(options: _Options, column: str, ids_column: str) -> Writer:
    labels = options.labels

    def write(record: Record, value: Value) -> Sequence[str] | None:
        items = value if value.__class__ is list else field_types.to_items(value)
        try:
            record[column] = [labels[item] for item in items]
        except (KeyError, TypeError):
            found = [options.read(item) for item in items]
            record[ids_column] = [option for option, _, _ in found]
            record[column] = [label for _, label, _ in found]
            return [unknown for _, _, unknown in found if unknown]
        record[ids_column] = items
        return None

    return write
