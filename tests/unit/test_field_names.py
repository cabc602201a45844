"""Names of the columns of custom fields: what they look like, and what must hold for any fields."""

from __future__ import annotations

import json
import os
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tap_pendo_pipedrive.streams.pipedrive.custom_fields.definitions import Definitions
from tap_pendo_pipedrive.streams.pipedrive.custom_fields.naming import (
    FieldName,
    cut,
    snake_case,
    stems,
)

if TYPE_CHECKING:
    import random

PROPERTY = settings(
    max_examples=200,
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)

#: What the columns of a field have behind its name, for every number of columns.
SUFFIXES = (
    ("",),
    ("", "_currency"),
    ("", "_until"),
    ("", "_id"),
    ("", "_ids"),
    ("", "_timezone_id", "_timezone_name"),
    ("", "_until", "_timezone_id", "_timezone_name"),
    ("", "_street_number", "_admin_area_level_1", "_country", "_formatted_address"),
)
LONG = "The place where the event is held, and who is responsible for it"

# Names that collide often, in whole, by a suffix, by what is cut off and by what is not kept.
names = st.one_of(
    st.sampled_from(
        [
            "Budget",
            "budget!",
            "Büdget",
            "Budget currency",
            "Budget until",
            "Budget timezone",
            "Budget timezone id",
            "",
            "📏",
            LONG,
            f"{LONG} today",
            "大きさ" * 12,
        ]
    ),
    st.text(max_size=90),
    st.builds("Budget {}".format, st.text("0123456789abcdef", min_size=3, max_size=14)),
)
# Codes that begin alike, too.
codes = st.one_of(
    st.text("0123456789abcdef", min_size=40, max_size=40),
    st.builds(lambda tail: f"{tail:0>40}", st.text("01", min_size=1, max_size=3)),
    st.builds(lambda tail: f"{tail:a<40}", st.text("0b", min_size=1, max_size=8)),
)
fields = st.dictionaries(
    codes,
    st.builds(FieldName, names, st.sampled_from(SUFFIXES), is_pinned=st.booleans()),
    max_size=12,
)


def columns(found: dict[str, FieldName]) -> dict[str, list[str]]:
    by_code = stems(found)
    return {code: [by_code[code] + end for end in found[code].suffixes] for code in found}


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Budget", "budget"),
        ("  Net  Amount (EUR) ", "net_amount_eur"),
        ("Größe / Länge", "große_lange"),
        ("Œuvre d'été n° 2", "œuvre_d_ete_n_2"),
        ("İstanbul", "istanbul"),
        ("大きさ 📏", "大きさ"),
        ("이름", "이름"),
        ("Размер №1", "размер_no1"),
        ("שָׁלוֹם", "שלום"),
        ("__init__", "init"),
        ("½ price", "1_2_price"),
        ("x²", "x2"),
        ("\u2028\u00a0", ""),
        ("📏", ""),
        ("", ""),
    ],
)
def test_snake_case(name: str, plain: str) -> None:
    assert snake_case(name) == plain


@PROPERTY
@given(st.text())
def test_a_name_in_snake_case_stays_as_it_is(name: str) -> None:
    plain = snake_case(name)
    assert snake_case(plain) == plain
    assert plain == plain.lower().strip("_")
    assert "__" not in plain
    assert all(char == "_" or char.isalnum() for char in plain)
    assert unicodedata.is_normalized("NFC", plain)


@PROPERTY
@given(st.text(), st.integers(0, 80))
def test_cutting_leaves_whole_letters(name: str, size: int) -> None:
    short = cut(name, size)
    assert len(short.encode()) <= size
    assert name.startswith(short)
    if len(name.encode()) <= size:
        assert short == name.rstrip("_")


@PROPERTY
@given(fields, st.randoms(use_true_random=False))
def test_columns_are_unique_short_and_the_same_in_any_order(
    found: dict[str, FieldName], source: random.Random
) -> None:
    wanted = columns(found)
    every = [name for each in wanted.values() for name in each]
    assert len(every) == len(set(every))
    for code, (first, *others) in wanted.items():
        assert first.startswith("cf_")
        assert others == [first + end for end in found[code].suffixes[1:]]
        assert all(len(name.encode()) <= 63 for name in (first, *others))
        assert not first.endswith("_")
        assert first == first.lower()
    shuffled = list(found.items())
    source.shuffle(shuffled)
    assert columns(dict(shuffled)) == wanted


def plain_columns(found: dict[str, FieldName]) -> dict[str, list[str]]:
    """What the columns would be without other fields."""
    return {code: columns({code: field})[code] for code, field in found.items()}


@PROPERTY
@given(fields)
def test_fields_that_collide_show_their_code_and_others_do_not(
    found: dict[str, FieldName],
) -> None:
    plain, wanted = plain_columns(found), columns(found)
    held = Counter(name for each in plain.values() for name in each)
    colliding = {code for code, each in plain.items() if any(held[name] > 1 for name in each)}
    for code in colliding:
        if not found[code].is_pinned:
            assert wanted[code] != plain[code]
            assert f"_{code[:6]}" in wanted[code][0]
    if not colliding:
        assert wanted == plain


@PROPERTY
@given(fields, st.data())
def test_a_field_that_is_in_nobodys_way_changes_no_other_name(
    found: dict[str, FieldName], data: st.DataObject
) -> None:
    plain, wanted = plain_columns(found), columns(found)
    loose = [c for c in found if wanted[c] == plain[c] and not found[c].is_pinned]
    assume(loose)
    code = data.draw(st.sampled_from(loose))
    rest = {other: field for other, field in found.items() if other != code}
    assert columns(rest) == {other: each for other, each in wanted.items() if other != code}


A, B, C = "a1" * 20, "b2" * 20, "a1a1a1" + "c3" * 17


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({A: FieldName("Size"), B: FieldName("size?")}, ["cf_size_a1a1a1", "cf_size_b2b2b2"]),
        # The codes begin alike.
        (
            {A: FieldName("Size"), C: FieldName("Size")},
            ["cf_size_a1a1a1a1a1a1", "cf_size_a1a1a1c3c3c3"],
        ),
        # A derived column.
        (
            {A: FieldName("Fee", ("", "_currency")), B: FieldName("Fee currency")},
            ["cf_fee_a1a1a1", "cf_fee_currency_b2b2b2"],
        ),
        # A name that another field has got by its suffix.
        (
            {A: FieldName("Size"), B: FieldName("Size"), C: FieldName("Size b2b2b2")},
            ["cf_size_a1a1a1", "cf_size_b2b2b2b2b2b2", "cf_size_b2b2b2_a1a1a1"],
        ),
        # Nothing is left of the name.
        ({A: FieldName("📏"), B: FieldName("")}, ["cf_a1a1a1", "cf_b2b2b2"]),
        ({A: FieldName("📏"), C: FieldName("")}, ["cf_a1a1a1a1a1a1", "cf_a1a1a1c3c3c3"]),
        # Pinned ones first.
        (
            {A: FieldName("Size", is_pinned=True), B: FieldName("Size")},
            ["cf_size", "cf_size_b2b2b2"],
        ),
        (
            {A: FieldName("cf_Size", is_pinned=True), B: FieldName("Size", is_pinned=True)},
            ["cf_size_a1a1a1", "cf_size_b2b2b2"],
        ),
        # Only a pinned name loses its prefix.
        ({A: FieldName("CF Size"), B: FieldName("Size")}, ["cf_cf_size", "cf_size"]),
        # A pinned name that is another field's last resort.
        (
            {A: FieldName("Size"), C: FieldName("Size"), B: FieldName(f"Size {A}", is_pinned=True)},
            ["cf_size_a1a1a1a1a1a1", "cf_size_a1a1a1c3c3c3", f"cf_size_{A}"],
        ),
        # Pinned names that are all that it could be called.
        (
            {
                A: FieldName("Size"),
                B: FieldName("size"),
                **{
                    f"{n:040}": FieldName(f"Size {A[:n]}", is_pinned=True)
                    for n in (6, 12, 18, 24, 30, 36, 40)
                },
            },
            [
                f"cf_size_{A}",
                "cf_size_b2b2b2",
                *(f"cf_size_{A[:n]}" for n in (6, 12, 18, 24, 30, 36)),
                f"cf_size_{A}_000000",
            ],
        ),
        # Names that differ only in what is cut off.
        (
            {A: FieldName("x" * 60 + "a"), B: FieldName("x" * 60 + "b")},
            ["cf_" + "x" * 53 + "_a1a1a1", "cf_" + "x" * 53 + "_b2b2b2"],
        ),
    ],
)
def test_collisions(found: dict[str, FieldName], wanted: list[str]) -> None:
    assert list(stems(found).values()) == wanted


def test_the_longest_derived_column_fits() -> None:
    row = {
        "field_code": A,
        "field_name": "Ж" * 40,
        "field_type": "address",
        "is_custom_field": True,
    }
    columns_ = Definitions([row]).columns[A]
    assert columns_["value"] == "cf_" + "ж" * 20
    assert max(len(name.encode()) for name in columns_.values()) in {62, 63}


def test_columns_are_written_as_json() -> None:
    """A record with any name of a field is a line of JSON."""
    rows = [
        {"field_code": code, "field_name": name, "field_type": "text", "is_custom_field": True}
        for code, name in ((A, 'a "quoted" \\ name'), (B, "\x00\ud7ff"))
    ]
    record, unknown = Definitions(rows).write({"id": 1}, {A: "x", B: "y"})
    assert json.loads(json.dumps(record)) == {"cf_a_quoted_name": "x", f"cf_{B[:6]}": "y", "id": 1}
    assert unknown == []
