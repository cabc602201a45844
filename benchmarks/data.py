"""The rows and lists that the benchmark's server answers with.

Bodies are fixed: a few rows of the sandbox's invented company, encoded once, that repeat with other
ids and times. Row `i` of a list has id `i + 1` and an update time that lies `i` even steps into the
three years that end yesterday, so that filters by time are exact and a million rows cost no memory.
"""

from __future__ import annotations

import functools
import re
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.sandbox.company import Company

DAY = 86400
SPAN = 3 * 365 * DAY
END = int(time.time()) // DAY * DAY - DAY
START = END - SPAN
#: Attributes and custom fields of a deal, and about how many bytes it has.
DEAL_ATTRIBUTES = 48
CUSTOM_FIELDS = 14
DEAL_BYTES = 2300
LEFT_OUT = ("origin_id", "channel_id", "smart_bcc_email", "source_lead_id")
#: Different rows of a list, before they repeat.
VARIETY = 97
LINE_ITEMS_A_DEAL = 2

_CLOCK = [b"%02d:%02d:%02d" % (s // 3600, s // 60 % 60, s % 60) for s in range(DAY)]
#: What stands in a template for its id, its times and its deal.
_ID, _TIME, _DEAL = 4242424242, "@time@", 4343434343
_SLOT = {b"%d" % _ID: 1, _TIME.encode(): 2, b"%d" % _DEAL: 3}
_SLOTS = re.compile(b"(%b)" % b"|".join(_SLOT))
#: A row in parts: a literal, and the number of what follows it (0: nothing).
Template = tuple[tuple[bytes, int], ...]


@functools.cache
def _date(day: int) -> bytes:
    return time.strftime("%Y-%m-%d", time.gmtime(day * DAY)).encode()


def moment(index: int, count: int) -> int:
    """The update time of a row, in epoch seconds."""
    return START + index * SPAN // count


def first_from(bound: int, count: int) -> int:
    """The index of the first row whose update time is at or after a bound."""
    return min(max(0, -(-(bound - START) * count // SPAN)), count)


@dataclass(frozen=True)
class Style:
    """How a list writes its times and ids."""

    separator: bytes = b"T"
    end: bytes = b"Z"
    key: bytes = b"%d"

    def time(self, seconds: int) -> bytes:
        """Write epoch seconds."""
        day, second = divmod(seconds, DAY)
        return _date(day) + self.separator + _CLOCK[second] + self.end


V2 = Style()
V1 = Style(separator=b" ", end=b"")
UUID = Style(end=b".000Z", key=b'"0c1a5e00-77aa-4b10-8c00-%012d"')


@dataclass(frozen=True)
class Endpoint:
    """One list.

    Attributes:
        table: The company's table with its rows.
        cost: API tokens a request.
        paging: "cursor" (v2), "offset" (v1) or "" for a list in one answer.
        style: How it writes times and ids.
        limit: Largest page.
        empty: The list has no rows, for example since nothing is archived.
    """

    table: str
    cost: int
    paging: str = "cursor"
    style: Style = V2
    limit: int = 500
    empty: bool = False


ENDPOINTS = {
    "/api/v2/activities": Endpoint("activities", 10),
    "/api/v2/deals": Endpoint("deals", 10),
    "/api/v2/deals/archived": Endpoint("deals", 20, empty=True),
    "/api/v2/organizations": Endpoint("organizations", 10),
    "/api/v2/persons": Endpoint("persons", 10),
    "/api/v2/pipelines": Endpoint("pipelines", 5),
    "/api/v2/products": Endpoint("products", 10),
    "/api/v2/stages": Endpoint("stages", 5),
    "/v1/activityTypes": Endpoint("activity_types", 20, "", V1),
    "/v1/currencies": Endpoint("currencies", 20, "", V1),
    "/v1/files": Endpoint("files", 20, "offset", V1, limit=100),
    "/v1/filters": Endpoint("filters", 20, "", V1),
    "/v1/leadLabels": Endpoint("lead_labels", 10, "", UUID),
    "/v1/leads": Endpoint("leads", 20, "offset", UUID),
    "/v1/leads/archived": Endpoint("leads", 40, "offset", UUID, empty=True),
    "/v1/notes": Endpoint("notes", 20, "offset", V1),
    "/v1/permissionSets": Endpoint("permission_sets", 20, "", UUID),
    "/v1/roles": Endpoint("roles", 20, "offset", V1),
    "/v1/users": Endpoint("users", 20, "", V1),
}
#: Lists of field definitions by path: the entity, and the API's version. Always whole.
FIELDS = {
    f"{prefix}/{entity}Fields": (entity, version)
    for version, prefix in ((1, "/v1"), (2, "/api/v2"))
    for entity in ("activity", "deal", "organization", "person", "product")
}
BULK_PRODUCTS = "/api/v2/deals/products"
BULK_COST = 10
DEAL_PRODUCTS_COST = 20


@dataclass
class Data:
    """Encoded rows, ready to be put together to pages.

    Attributes:
        rows: Templates by table.
        fields: Bodies of the lists of field definitions, by path.
    """

    rows: dict[str, list[Template]] = field(default_factory=dict)
    fields: dict[str, bytes] = field(default_factory=dict)

    def page(self, table: str, style: Style, indices: range, count: int) -> bytes:
        """The JSON array of some rows of a list."""
        rows = self.rows[table]
        variety = len(rows)
        key, write, parts = style.key, style.time, [b"["]
        for index in indices:
            values = (b"", key % (index + 1), write(START + index * SPAN // count))
            for literal, slot in rows[index % variety]:
                parts += (literal, values[slot])
        return _closed(parts)

    def line_items(self, deal_ids: list[int], count: int) -> bytes:
        """The JSON array of the line items of some deals."""
        rows = self.rows["deal_products"]
        parts = [b"["]
        for deal in deal_ids:
            stamp = V2.time(moment(deal - 1, count))
            for place in range(LINE_ITEMS_A_DEAL):
                key = deal * LINE_ITEMS_A_DEAL + place
                values = (b"", b"%d" % key, stamp, b"%d" % deal)
                for literal, slot in rows[key % len(rows)]:
                    parts += (literal, values[slot])
        return _closed(parts)


def _closed(parts: list[bytes]) -> bytes:
    """Join a list's rows; the last one's comma gives way to the bracket."""
    body = b"".join(parts)
    return body[:-1] + b"]" if len(body) > 1 else b"[]"


def deals(company: Company) -> tuple[list[dict[str, Any]], set[str]]:
    """Deals of the wanted size, and the codes of their custom fields."""
    rows = [dict(row) for row in company.tables["deals"].values()]
    pools: dict[str, list[Any]] = {}
    for row in rows:
        for code, value in row["custom_fields"].items():
            if value is not None:
                pools.setdefault(code, []).append(value)
    kinds: dict[str, list[str]] = {}
    for definition in company.tables["deal_fields"].values():
        if definition["field_code"] in pools:
            kinds.setdefault(definition["field_type"], []).append(definition["field_code"])
    # One field of each type, then a second one.
    codes = [group[place] for place in range(3) for group in kinds.values() if len(group) > place]
    codes = codes[:CUSTOM_FIELDS]
    text = next(code for code in kinds["text"] if code in codes)
    chosen = []
    for number, row in enumerate(rows):
        row["custom_fields"] = {code: pools[code][number % len(pools[code])] for code in codes}
        for name in (*LEFT_OUT, "brand_new_attribute"):
            row.pop(name, None)
        row |= {"is_archived": False, "is_deleted": False, "status": "open"}
        size = len(msgspec.json.encode(row))
        if size < DEAL_BYTES and len(row) == DEAL_ATTRIBUTES:
            missing = DEAL_BYTES - size
            row["custom_fields"][text] = "Lorem ipsum dolor sit amet, ".ljust(missing, "x")
            chosen.append(row)
    return chosen[:VARIETY], set(codes)


def _template(row: dict[str, Any], *, parent: bool = False) -> Template:
    row = dict(row)
    if "id" in row:
        row["id"] = _ID
    row |= dict.fromkeys({"add_time", "update_time", "created", "modified"} & row.keys(), _TIME)
    if parent:
        row["deal_id"] = _DEAL
    parts = _SLOTS.split(msgspec.json.encode(row) + b",")
    slots = [*(_SLOT[mark] for mark in parts[1::2]), 0]
    return tuple(zip(parts[::2], slots, strict=True))


def _v1_field(number: int, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": number,
        "key": row["field_code"],
        "name": row["field_name"],
        "order_nr": number,
        "field_type": row["field_type"],
        "options": row["options"],
        "active_flag": True,
        "add_time": "2024-01-01 00:00:00",
        "update_time": "2025-01-01 00:00:00",
    }


def build() -> Data:
    """Encode the rows of every list."""
    company = Company(scale=0.1)
    data = Data()
    rows, codes = deals(company)
    data.rows["deals"] = [_template(row) for row in rows]
    for endpoint in ENDPOINTS.values():
        if endpoint.table != "deals":
            table = company.tables[endpoint.table].values()
            sample = [row for row in table if "brand_new_attribute" not in row][:VARIETY]
            data.rows[endpoint.table] = [_template(row) for row in sample]
    items = list(company.tables["deal_products"].values())[:VARIETY]
    data.rows["deal_products"] = [_template(row, parent=True) for row in items]
    for path, (entity, version) in FIELDS.items():
        # Deals have as many custom fields as are set in them.
        definitions = [
            row
            for row in company.tables[f"{entity}_fields"].values()
            if entity != "deal" or not row["is_custom_field"] or row["field_code"] in codes
        ]
        if version == 1:
            definitions = [_v1_field(number, row) for number, row in enumerate(definitions, 1)]
        data.fields[path] = msgspec.json.encode(definitions)
    data.fields["/v1/noteFields"] = b"[]"
    return data
