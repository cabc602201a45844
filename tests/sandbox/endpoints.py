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


class NotFoundError(Exception):
    """A parent that the API does not know, or no longer: 404."""


@dataclass(frozen=True)
class Endpoint:
    """One list endpoint.

    Attributes:
        table: The company's table.
        cost: API tokens a request.
        paging: "cursor", "nested", "flat" or "none" (where v1 puts its paging block), or "" for one
            page with everything; "object" for an answer that is one object and no list.
        params: Accepted parameters and how each is checked.
        max_limit: Largest page.
        sort: Attributes that the list can be sorted by; the first is the default.
        optional: Attributes returned only when named in `include_fields`.
        keep: Which rows of the table are in this list at all.
        ends: How the last page of a cursor says so by default.
        parent: Table of what `{id}` in the path, or the parameter of kind "parent", stands for.
        links: Attributes that may hold the parent's id.
        hidden: Attributes of the company's rows that the answer leaves out.
        required: Parameters that must be given.
        newest: Attribute by which the newest come first.
        envelope: Attribute of `data` that holds the list, where it is not `data` itself.
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
    parent: str = ""
    links: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    newest: str = ""
    envelope: str = ""


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
FOLDERS = words("inbox drafts sent archive")
FLOW_ITEMS = words(
    "call activity plannedActivity change note deal file dealChange personChange "
    "organizationChange follower dealFollower personFollower organizationFollower participant "
    "comment mailMessage mailMessageWithAttachment invoice document marketing_campaign_stat "
    "marketing_status_change"
)
PROJECT_STATUSES = words("open completed canceled deleted")
PROJECT = {**CURSOR, "filter_id": "filter", "status": "project status", "phase_id": "int"}


def followers(entity: str) -> Endpoint:
    """The list of the users who follow a "deal", "person", "organization" or "product"."""
    link = f"{entity}_id"
    return Endpoint(
        f"{entity}_followers",
        10,
        params=CURSOR,
        ends={"person": "key", "product": "block"}.get(entity, "null"),
        parent=f"{entity}s",
        links=(link,),
        hidden=(link,),
    )


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
        required=("deal_ids",),
    ),
    "/api/v2/deals/installments": Endpoint(
        "deal_installments",
        10,
        params={**SORTED, "deal_ids": "deal_ids"},
        sort=("id", "billing_date", "deal_id"),
        ends="block",
        required=("deal_ids",),
    ),
    **{
        f"/api/v2/{entity}s/{{id}}/followers": followers(entity)
        for entity in ("deal", "person", "organization", "product")
    },
    "/api/v2/products/{id}/variations": Endpoint(
        "product_variations", 10, params=CURSOR, parent="products", links=("product_id",)
    ),
    "/api/v2/projects": Endpoint(
        "projects",
        10,
        params={**PROJECT, **dict.fromkeys(("deal_id", "person_id", "org_id"), "member")},
        keep=lambda row: row["archive_time"] is None,
    ),
    "/api/v2/projects/archived": Endpoint(
        "projects", 10, params=PROJECT, keep=lambda row: bool(row["archive_time"]), ends="key"
    ),
    "/api/v2/projectFields": Endpoint("project_fields", 10, params=CURSOR, ends="block"),
    "/api/v2/projectTemplates": Endpoint("project_templates", 10, params=CURSOR),
    "/api/v2/boards": Endpoint("project_boards", 10, ""),
    "/api/v2/phases": Endpoint(
        "project_phases",
        10,
        "",
        {"board_id": "parent"},
        parent="project_boards",
        links=("board_id",),
        required=("board_id",),
    ),
    "/api/v2/tasks": Endpoint(
        "tasks",
        10,
        params={
            **CURSOR,
            **dict.fromkeys(("is_done", "is_milestone"), "bool"),
            "assignee_id": "member",
            "project_id": "int",
            "parent_task_id": "task",
        },
        ends="key",
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
    "/v1/permissionSets/{id}/assignments": Endpoint(
        "permission_set_assignments",
        20,
        "none",
        OFFSET,
        parent="permission_sets",
        links=("permission_set_id",),
    ),
    "/v1/roles": Endpoint("roles", 20, "nested", OFFSET),
    "/v1/roles/{id}/assignments": Endpoint(
        "role_assignments", 10, "nested", OFFSET, parent="roles", links=("role_id",)
    ),
    "/v1/roles/{id}/settings": Endpoint(
        "role_settings", 20, "object", parent="roles", links=("role_id",), hidden=("role_id",)
    ),
    "/v1/users": Endpoint("users", 20, ""),
    "/v1/callLogs": Endpoint("call_logs", 20, "nested", OFFSET, max_limit=50),
    "/v1/deals/{id}/flow": Endpoint(
        "deal_flow",
        40,
        "nested",
        {**OFFSET, "items": "flow items", "all_changes": "flag"},
        parent="deals",
        links=("item_id",),
    ),
    "/v1/deals/{id}/participants": Endpoint(
        "deal_participants",
        10,
        "flat",
        OFFSET,
        parent="deals",
        links=("deal_id",),
        hidden=("deal_id",),
    ),
    "/v1/goals/find": Endpoint(
        "goals",
        20,
        "",
        {
            "is_active": "bool",
            "title": "text",
            "type.name": "text",
            "assignee.id": "int",
            "assignee.type": "text",
        },
        envelope="goals",
    ),
    "/v1/leadFields": Endpoint("lead_fields", 20, "flat", OFFSET),
    "/v1/leadSources": Endpoint("lead_sources", 2, ""),
    "/v1/legacyTeams": Endpoint(
        "legacy_teams",
        20,
        "",
        {"order_by": "sort_by", "skip_users": "flag"},
        sort=("id", "name", "manager_id", "active_flag"),
    ),
    "/v1/mailbox/mailThreads": Endpoint(
        "mail_threads",
        20,
        "none",
        {**OFFSET, "folder": "folder"},
        required=("folder",),
        newest="last_message_timestamp",
    ),
    "/v1/mailbox/mailThreads/{id}/mailMessages": Endpoint(
        "mail_messages", 20, "", parent="mail_threads", links=("mail_thread_id",)
    ),
    "/v1/noteFields": Endpoint("note_fields", 20, ""),
    "/v1/notes/{id}/comments": Endpoint(
        "note_comments", 20, "nested", OFFSET, parent="notes", links=("object_id",)
    ),
    "/v1/organizationRelationships": Endpoint(
        "organization_relationships",
        20,
        "",
        {"org_id": "parent"},
        parent="organizations",
        links=("rel_owner_org_id", "rel_linked_org_id"),
        required=("org_id",),
    ),
}
# Paths with a parent in them.
_CHILDREN = [
    (re.compile(path.replace("{id}", "([^/]+)")), path) for path in ENDPOINTS if "{id}" in path
]
ME = "/v1/users/me"
ME_COST = 2
# Lists that left v1 when their v2 twins came.
RETIRED = re.compile(
    r"/v1/(deals|activities|organizations|persons|products|pipelines|stages|itemSearch)"
    r"(/collection|/search|/field|/\d+(/(activities|persons|deals|products))?)?"
)


def find(path: str) -> tuple[str, str | None]:
    """The path as `ENDPOINTS` has it, and the parent that stands for `{id}` in it."""
    for pattern, template in _CHILDREN:
        match = pattern.fullmatch(path)
        if match:
            return template, match[1]
    return path, None


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
    "member": lambda name, text, _: _number(name, text, 1),
    "parent": lambda name, text, _: _number(name, text, 1),
    "task": lambda name, text, _: None if text == "null" else _number(name, text, 1),
    "limit": lambda name, text, endpoint: _number(name, text, 1, endpoint.max_limit),
    "start": lambda name, text, _: _number(name, text, 0),
    "ids": _ids,
    "deal_ids": _ids,
    "codes": lambda name, text, _: set(_list(name, text, None, MAX_CUSTOM_KEYS)),
    "include": lambda name, text, endpoint: set(_list(name, text, endpoint.optional, None)),
    "combination": _combination,
    "status": lambda name, text, _: set(_list(name, text, STATUSES, None)),
    "project status": lambda name, text, _: set(_list(name, text, PROJECT_STATUSES, None)),
    "flow items": lambda name, text, _: set(_list(name, text, FLOW_ITEMS, None)),
    "folder": lambda name, text, _: _choice(name, text, FOLDERS),
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
    for name in endpoint.required:
        if name not in texts:
            message = f"{name} is required"
            raise BadParameterError(message)
    return {
        name: READERS[endpoint.params[name]](name, text, endpoint) for name, text in texts.items()
    }
