"""Compile a stream's schema and selection into one function that shapes its records.

It does what the SDK's type conformance and deselection do for values that came from JSON (zeros
and ones of boolean columns become booleans, deselected attributes go), at a fraction of the cost,
and it differs in one point on purpose: an attribute that the schema does not know is kept.
"""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Record = dict[str, t.Any]
    Value = t.Any
    Convert = Callable[[Value], Value]
    Breadcrumb = tuple[str, ...]
    Mask = Mapping[Breadcrumb, bool]


def compile_shaper(
    schema: Mapping[str, t.Any],
    mask: Mask | None = None,
    converters: Mapping[str, Convert] | None = None,
    *,
    clean_dates: bool = True,
) -> Callable[[Record], Record] | None:
    """Build the shaper of a record.

    Args:
        schema: The stream's JSON schema.
        mask: The catalog's selection, by breadcrumb; None selects everything.
        converters: Conversions by top-level column, done before those of the schema.
        clean_dates: Dates may be empty texts or zeros, which become null.

    Returns:
        A function that shapes a record in place and returns it; None when there is nothing to do.
    """
    dropped, steps = _plan(schema, mask, ())
    if not clean_dates:
        steps = {column: step for column, step in steps.items() if step is not _to_date}
    for column, convert in (converters or {}).items():
        if column not in dropped:
            after = steps.get(column)
            steps[column] = _chain(convert, after) if after else convert
    return _shaper(dropped, steps)


def _chain(first: Convert, second: Convert) -> Convert:
    return lambda value: second(first(value))


def _plan(
    schema: Mapping[str, t.Any], mask: Mask | None, breadcrumb: Breadcrumb
) -> tuple[frozenset[str], dict[str, Convert]]:
    dropped: set[str] = set()
    steps: dict[str, Convert] = {}
    for name, definition in schema.get("properties", {}).items():
        path = (*breadcrumb, "properties", name)
        if mask is not None and not mask[path]:
            dropped.add(name)
        elif convert := _converter(definition, mask, path):
            steps[name] = convert
    if mask is not None:
        # The catalog may deselect what the schema does not declare.
        depth = len(breadcrumb) + 2
        dropped.update(
            path[-1]
            for path, selected in mask.items()
            if not selected and len(path) == depth and path[: depth - 2] == breadcrumb
        )
    return frozenset(dropped), steps


def _shaper(dropped: frozenset[str], steps: dict[str, Convert]) -> Convert | None:
    if not dropped and not steps:
        return None
    items = tuple(steps.items())

    def shape(record: Record) -> Record:
        for name in dropped:
            record.pop(name, None)
        for name, convert in items:
            value = record.get(name)
            if value is not None:
                record[name] = convert(value)
        return record

    return shape


def _converter(
    definition: Mapping[str, t.Any], mask: Mask | None, path: Breadcrumb
) -> Convert | None:
    kinds = set(kinds_of(definition))
    if kinds == {"boolean"}:
        return _to_boolean
    if kinds == {"string"} and definition.get("format") in {"date", "date-time"}:
        return _to_date
    if "object" in kinds and (shape := _shaper(*_plan(definition, mask, path))):
        return lambda value: shape(value) if value.__class__ is dict else value
    if "array" in kinds and (items := definition.get("items")):
        convert = _converter(items, None, path)
        if convert is not None:
            return lambda value: _convert_items(value, convert)
    return None


def kinds_of(definition: Mapping[str, t.Any]) -> list[str]:
    """The JSON types that a schema allows besides null."""
    kinds = definition.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return [kind for kind in kinds if kind != "null"]


def _to_boolean(value: Value) -> Value:
    return value if value.__class__ is bool else value != 0


def _to_date(value: Value) -> Value:
    # An empty text and a date of zeros are how some answers say "never"; no column holds them.
    return value if value.__class__ is not str or value > "0001" else None


def _convert_items(value: Value, convert: Convert) -> Value:
    if value.__class__ is list:
        return [item if item is None else convert(item) for item in value]
    return value
