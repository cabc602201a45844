"""The company's tables: their keys, their times, and what belongs to what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.sandbox.vocabulary import epoch_ms, sql, z, z_ms

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class TableInfo:
    """How a table is keyed and how it writes the time of a change.

    Attributes:
        key: Attribute with the row's key; "" where rows do not tell it.
        added: Attribute with the time at which a row was added.
        updated: Attribute with the time at which it was changed.
        write: How its times are written.
    """

    key: str = "id"
    added: str | None = "add_time"
    updated: str | None = "update_time"
    write: Callable[[float], Any] = z


_V1 = TableInfo(write=sql)
_PLAIN = TableInfo(added=None, updated=None)
_FIELDS = TableInfo(key="field_code", added=None, updated=None)
_PENDO = TableInfo(added="createdAt", updated="lastUpdatedAt", write=epoch_ms)

TABLES: dict[str, TableInfo] = {
    "activities": TableInfo(),
    "activity_fields": _FIELDS,
    "activity_types": _V1,
    "currencies": _PLAIN,
    "deal_fields": _FIELDS,
    "deal_products": TableInfo(),
    "deals": TableInfo(),
    "files": _V1,
    "filters": _V1,
    "lead_labels": TableInfo(write=z_ms),
    "leads": TableInfo(write=z_ms),
    "notes": _V1,
    "organization_fields": _FIELDS,
    "organizations": TableInfo(),
    "permission_sets": _PLAIN,
    "person_fields": _FIELDS,
    "persons": TableInfo(),
    "pipelines": TableInfo(),
    "product_fields": _FIELDS,
    "products": TableInfo(write=z_ms),
    "roles": _PLAIN,
    "stages": TableInfo(),
    "users": TableInfo(added="created", updated="modified", write=sql),
    "pages": _PENDO,
    "features": _PENDO,
    "guides": _PENDO,
    "reports": _PENDO,
    "track_types": _PENDO,
    "segments": _PLAIN,
}
_MS = TableInfo(write=z_ms)
_LINK = TableInfo(key="", updated=None)
#: What Pipedrive has beside the first streams.
MORE_TABLES: dict[str, TableInfo] = {
    "call_logs": _PLAIN,
    "deal_flow": TableInfo(added="log_time", updated=None, write=sql),
    "deal_followers": _LINK,
    "deal_installments": _PLAIN,
    "deal_participants": TableInfo(updated=None, write=sql),
    "goals": _PLAIN,
    "lead_fields": TableInfo(key="key", write=sql),
    "lead_sources": TableInfo(key="name", added=None, updated=None),
    "legacy_teams": TableInfo(updated=None, write=sql),
    "mail_messages": _MS,
    "mail_threads": _MS,
    "note_comments": TableInfo(key="uuid", write=z_ms),
    "note_fields": _PLAIN,
    "organization_followers": _LINK,
    "organization_relationships": _V1,
    "permission_set_assignments": TableInfo(key="", added=None, updated=None),
    "person_followers": _LINK,
    "product_followers": _LINK,
    "product_variations": _PLAIN,
    "project_boards": _MS,
    "project_fields": _FIELDS,
    "project_phases": _MS,
    "project_templates": _MS,
    "projects": _MS,
    "role_assignments": TableInfo(key="", added=None, updated=None),
    "role_settings": TableInfo(key="role_id", added=None, updated=None),
    "tasks": _MS,
}
ALL_TABLES = TABLES | MORE_TABLES
#: Rows that go with the row that an attribute of theirs names: table, then attribute and parent.
BELONGS: dict[str, dict[str, str]] = {
    "deal_flow": {"item_id": "deals"},
    "deal_followers": {"deal_id": "deals"},
    "deal_installments": {"deal_id": "deals"},
    "deal_participants": {"deal_id": "deals", "person_id": "persons"},
    "mail_messages": {"mail_thread_id": "mail_threads"},
    "note_comments": {"object_id": "notes"},
    "organization_followers": {"organization_id": "organizations"},
    "organization_relationships": {
        "rel_owner_org_id": "organizations",
        "rel_linked_org_id": "organizations",
    },
    "permission_set_assignments": {"permission_set_id": "permission_sets"},
    "person_followers": {"person_id": "persons"},
    "product_followers": {"product_id": "products"},
    "product_variations": {"product_id": "products"},
    "project_phases": {"board_id": "project_boards"},
    "role_assignments": {"role_id": "roles"},
    "role_settings": {"role_id": "roles"},
    "tasks": {"project_id": "projects"},
}
# Of these, the ones that have a list of their own, and those that only tell of changes.
LISTED = {"deal_flow", "project_phases", "tasks"}
# What may be there only once.
UNIQUE = {
    "deal_participants": ("deal_id", "person_id"),
    "person_followers": ("person_id", "user_id"),
    "organization_followers": ("organization_id", "user_id"),
}
#: Where persons and organizations are mentioned, beside the tables above: table and attribute.
MENTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "persons": (
        *((table, "person_id") for table in ("deals", "activities", "notes", "files", "leads")),
        ("activities", "participants"),
        ("call_logs", "person_id"),
        ("projects", "person_ids"),
    ),
    "organizations": (
        *((table, "org_id") for table in ("persons", "deals", "activities", "notes", "files")),
        ("leads", "organization_id"),
        ("call_logs", "org_id"),
        ("projects", "org_ids"),
    ),
}
