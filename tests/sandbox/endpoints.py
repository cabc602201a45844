"""What each Pipedrive list endpoint accepts, costs and returns (API reference, v1 and v2)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.sandbox.contacts import ORG_OPTIONAL, PERSON_OPTIONAL
from tests.sandbox.sales import DEAL_OPTIONAL
from tests.sandbox.vocabulary import words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.sandbox.fields import Row

MAX_IDS = 100
MAX_CUSTOM_KEYS = 15
STATUSES = ("open", "won", "lost", "deleted")
UTC_SECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class BadParameterError(Exception):
    """A parameter that the API would refuse with 400."""


@dataclass(frozen=True)
class Endpoint:
    """One list endpoint.

    Attributes:
        table: The company's table.
        cost: API tokens a request.
        paging: "cursor", "nested" or "flat" (where v1 puts its paging block), or "" for none.
        params: Accepted parameters and how each is checked.
        max_limit: Largest page.
        sort: Attributes that the list can be sorted by; the first is the default.
        optional: Attributes returned only when named in `include_fields`.
        keep: Which rows of the table are in this list at all.
        ends: How the last page of a cursor says so by default.
    """

    table: str
    cost: int
    paging: str = "cursor"
    params: Mapping[str, str] = field(default_factory=dict)
    max_limit: int = 500
    sort: tuple[str, ...] = ("id",)
    optional: tuple[str, ...] = ()
    keep: Callable[[Row], bool] | None = None
    ends: str = "null"


CURSOR = {"limit": "limit", "cursor": "text"}
SORTED = {**CURSOR, "sort_by": "sort_by", "sort_direction": "direction"}
SINCE = {"updated_since": "moment", "updated_until": "moment"}
OFFSET = {"start": "start", "limit": "limit"}
DEAL = {
    **SORTED,
    **SINCE,
    "filter_id": "filter",
    "ids": "ids",
    **dict.fromkeys(("owner_id", "person_id", "org_id", "pipeline_id", "stage_id"), "int"),
    "status": "status",
    "include_fields": "include",
    "custom_fields": "codes",
}
LABELS = {"include_option_labels": "bool", "include_labels": "bool"}
CONTACT = {
    **SORTED,
    **SINCE,
    **LABELS,
    "filter_id": "filter",
    "ids": "ids",
    "owner_id": "int",
    "include_fields": "include",
    "custom_fields": "codes",
}
FIELDS = {**CURSOR, "include_fields": "combination"}
FIELD_PARTS = ("ui_visibility", "important_fields", "required_fields")
LEAD = {
    **OFFSET,
    **dict.fromkeys(("owner_id", "person_id", "organization_id"), "int"),
    "filter_id": "filter",
    "sort": "sort",
}
LEAD_SORT = words(
    "id title owner_id creator_id was_seen expected_close_date next_activity_id add_time "
    "update_time"
)
PINNED = ("lead", "deal", "organization", "person", "project", "task")
NOTE = {
    **OFFSET,
    "sort": "sort",
    "updated_since": "moment",
    "start_date": "date",
    "end_date": "date",
    "lead_id": "text",
    **dict.fromkeys(("user_id", "deal_id", "person_id", "org_id", "project_id", "task_id"), "int"),
    **{f"pinned_to_{kind}_flag": "flag" for kind in PINNED},
}
FILTER_TYPES = words("deals leads org people products activity projects")
APPS = words("sales projects campaigns global account_settings partnership nova")
TIMES = ("id", "update_time", "add_time")

ENDPOINTS: dict[str, Endpoint] = {
    "/api/v2/activities": Endpoint(
        "activities",
        10,
        params={
            **SORTED,
            **SINCE,
            "filter_id": "filter",
            "ids": "ids",
            **dict.fromkeys(("owner_id", "deal_id", "person_id", "org_id"), "int"),
            "lead_id": "text",
            "done": "bool",
            "include_fields": "include",
        },
        sort=(*TIMES, "due_date"),
        optional=("attendees",),
        ends="key",
    ),
    "/api/v2/activityFields": Endpoint(
        "activity_fields", 10, params=FIELDS, optional=("ui_visibility",)
    ),
    "/api/v2/dealFields": Endpoint("deal_fields", 10, params=FIELDS, optional=FIELD_PARTS),
    "/api/v2/organizationFields": Endpoint(
        "organization_fields", 10, params=FIELDS, optional=FIELD_PARTS, ends="key"
    ),
    "/api/v2/personFields": Endpoint(
        "person_fields", 10, params=FIELDS, optional=FIELD_PARTS, ends="block"
    ),
    "/api/v2/productFields": Endpoint(
        "product_fields", 10, params=FIELDS, optional=("ui_visibility",)
    ),
    "/api/v2/deals": Endpoint(
        "deals",
        10,
        params={**DEAL, **LABELS},
        sort=TIMES,
        optional=DEAL_OPTIONAL,
        keep=lambda row: not row["is_archived"],
    ),
    "/api/v2/deals/archived": Endpoint(
        "deals",
        20,
        params=DEAL,
        sort=TIMES,
        optional=DEAL_OPTIONAL,
        keep=lambda row: bool(row["is_archived"]),
        ends="key",
    ),
    "/api/v2/deals/products": Endpoint(
        "deal_products",
        10,
        params={**SORTED, "deal_ids": "deal_ids"},
        sort=("id", "deal_id", "add_time", "update_time", "order_nr"),
        ends="block",
    ),
    "/api/v2/organizations": Endpoint(
        "organizations", 10, params=CONTACT, sort=TIMES, optional=ORG_OPTIONAL, ends="block"
    ),
    "/api/v2/persons": Endpoint(
        "persons",
        10,
        params={**CONTACT, "org_id": "int", "deal_id": "deal"},
        sort=TIMES,
        optional=PERSON_OPTIONAL,
        ends="key",
    ),
    "/api/v2/pipelines": Endpoint("pipelines", 5, params=SORTED, sort=TIMES),
    "/api/v2/products": Endpoint(
        "products",
        10,
        params={
            **SORTED,
            "updated_since": "moment",
            "filter_id": "filter",
            "ids": "ids",
            "owner_id": "int",
            "custom_fields": "codes",
        },
        sort=("id", "name", "add_time", "update_time"),
    ),
    "/api/v2/stages": Endpoint(
        "stages", 5, params={**SORTED, "pipeline_id": "int"}, sort=(*TIMES, "order_nr"), ends="key"
    ),
    "/v1/activityTypes": Endpoint("activity_types", 20, ""),
    "/v1/currencies": Endpoint("currencies", 20, "", {"term": "term"}),
    "/v1/files": Endpoint(
        "files",
        20,
        "nested",
        {**OFFSET, "sort": "sort"},
        max_limit=100,
        sort=("id", "update_time"),
    ),
    "/v1/filters": Endpoint("filters", 20, "", {"type": "filter type"}),
    "/v1/leadLabels": Endpoint("lead_labels", 10, ""),
    "/v1/leads": Endpoint(
        "leads",
        20,
        "flat",
        {**LEAD, "updated_since": "moment"},
        sort=("order", *LEAD_SORT),
        keep=lambda row: not row["is_archived"],
    ),
    "/v1/leads/archived": Endpoint(
        "leads",
        40,
        "flat",
        LEAD,
        sort=("order", *LEAD_SORT),
        keep=lambda row: bool(row["is_archived"]),
    ),
    "/v1/notes": Endpoint(
        "notes",
        20,
        "nested",
        NOTE,
        sort=("id", "user_id", "deal_id", "person_id", "org_id", "add_time", "update_time"),
    ),
    "/v1/permissionSets": Endpoint(
        "permission_sets",
        20,
        "",
        {"app": "app"},
    ),
    "/v1/roles": Endpoint("roles", 20, "nested", OFFSET),
    "/v1/users": Endpoint("users", 20, ""),
}
ME = "/v1/users/me"
ME_COST = 2
# Lists that left v1 when their v2 twins came.
RETIRED = re.compile(
    r"/v1/(deals|activities|organizations|persons|products|pipelines|stages|itemSearch)"
    r"(/collection|/search|/field|/\d+(/(activities|persons|deals|products))?)?"
)


def _number(name: str, text: str, least: int, most: int | None = None) -> int:
    if not text.lstrip("-").isascii() or not text.lstrip("-").isdigit():
        message = f"{name} must be a whole number"
        raise BadParameterError(message)
    value = int(text)
    if value < least or (most is not None and value > most):
        message = f"{name} must be between {least} and {most}"
        raise BadParameterError(message)
    return value


def _list(name: str, text: str, allowed: tuple[str, ...] | None, most: int | None) -> list[str]:
    items = text.split(",")
    if most is not None and len(items) > most:
        message = f"{name} takes {most} at most"
        raise BadParameterError(message)
    for item in items:
        if not item or (allowed is not None and item not in allowed):
            message = f"{name} does not know {item!r}"
            raise BadParameterError(message)
    return items


def _moment(name: str, text: str) -> str:
    if UTC_SECONDS.fullmatch(text):
        try:
            datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
        except ValueError:
            pass
        else:
            # Comparable with every style in which the API writes times.
            return text[:19]
    message = f"{name} must be written like 2025-01-01T10:20:00Z"
    raise BadParameterError(message)


def _sort(text: str, allowed: tuple[str, ...]) -> list[tuple[str, bool]]:
    order = []
    for part in text.split(","):
        words = part.split()
        if not words or len(words) > 2 or words[0] not in allowed or words[0] == "order":
            message = f"cannot sort by {part!r}"
            raise BadParameterError(message)
        direction = words[1].upper() if len(words) > 1 else "ASC"
        if direction not in {"ASC", "DESC"}:
            message = f"unknown sort direction {words[1]!r}"
            raise BadParameterError(message)
        order.append((words[0], direction == "DESC"))
    return order


def _combination(name: str, text: str, endpoint: Endpoint) -> set[str]:
    parts = _list(name, text, endpoint.optional, None)
    # The reference lists the combinations that are accepted, in one order only.
    if parts != [part for part in endpoint.optional if part in parts]:
        message = f"{name} does not take this combination"
        raise BadParameterError(message)
    return set(parts)


def _ids(name: str, text: str, _endpoint: Endpoint) -> set[int]:
    return {_number(name, item, 1) for item in _list(name, text, None, MAX_IDS)}


def _choice(name: str, text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        message = f"{name} must be one of {', '.join(choices)}"
        raise BadParameterError(message)
    return text


# How each kind of parameter is read and checked.
READERS: dict[str, Callable[[str, str, Endpoint], Any]] = {
    "text": lambda _name, text, _: text,
    "term": lambda _name, text, _: text,
    "int": lambda name, text, _: _number(name, text, 1),
    "filter": lambda name, text, _: _number(name, text, 1),
    "deal": lambda name, text, _: _number(name, text, 1),
    "limit": lambda name, text, endpoint: _number(name, text, 1, endpoint.max_limit),
    "start": lambda name, text, _: _number(name, text, 0),
    "ids": _ids,
    "deal_ids": _ids,
    "codes": lambda name, text, _: set(_list(name, text, None, MAX_CUSTOM_KEYS)),
    "include": lambda name, text, endpoint: set(_list(name, text, endpoint.optional, None)),
    "combination": _combination,
    "status": lambda name, text, _: set(_list(name, text, STATUSES, None)),
    "moment": lambda name, text, _: _moment(name, text),
    "date": lambda name, text, _: _moment(name, f"{text}T00:00:00Z")[:10],
    "sort": lambda _name, text, endpoint: _sort(text, endpoint.sort),
    "sort_by": lambda name, text, endpoint: _choice(name, text, endpoint.sort),
    "direction": lambda name, text, _: _choice(name, text, ("asc", "desc")),
    "bool": lambda name, text, _: _choice(name, text, ("true", "false", "1", "0")) in {"true", "1"},
    "flag": lambda name, text, _: _choice(name, text, ("0", "1")) == "1",
    "filter type": lambda name, text, _: _choice(name, text, FILTER_TYPES),
    "app": lambda name, text, _: _choice(name, text, APPS),
}


def parse(endpoint: Endpoint, query: list[tuple[str, str]]) -> dict[str, Any]:
    """Check the query of a request and return its values.

    Raises:
        BadParameterError: The API would answer 400.
    """
    texts: dict[str, str] = {}
    for name, text in query:
        # Clients send lists either way: ?deal_ids=1,2 and ?deal_ids=1&deal_ids=2.
        plain = name.removesuffix("[]") if name == "deal_ids[]" else name
        if plain not in endpoint.params:
            message = f"unknown parameter {name!r}"
            raise BadParameterError(message)
        if plain in texts:
            if endpoint.params[plain] not in {"deal_ids", "status", "ids"}:
                message = f"{name} was given twice"
                raise BadParameterError(message)
            texts[plain] += f",{text}"
        else:
            texts[plain] = text
    if "deal_ids" in endpoint.params and "deal_ids" not in texts:
        message = "deal_ids is required"
        raise BadParameterError(message)
    return {
        name: READERS[endpoint.params[name]](name, text, endpoint) for name, text in texts.items()
    }
