"""What the streams' tables must hold, worked out from the sandbox's rows and from nothing else.

This is a second implementation of the documented shape of records, on purpose: it shares no code
with the tap.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.named import with_column_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.sandbox.company import Company

Row = dict[str, Any]
Rows = dict[Any, Row]

FIELDS = ("activity", "deal", "organization", "person", "product", "project")

#: Every stream and its primary key, of one column or several.
STREAMS: dict[str, str | tuple[str, ...]] = {
    **dict.fromkeys((f"pipedrive_{entity}_fields" for entity in FIELDS), "field_code"),
    **dict.fromkeys(
        (
            "pipedrive_activities",
            "pipedrive_activity_types",
            "pipedrive_call_logs",
            "pipedrive_currencies",
            "pipedrive_deal_flow",
            "pipedrive_deal_installments",
            "pipedrive_deal_participants",
            "pipedrive_deal_products",
            "pipedrive_deals",
            "pipedrive_files",
            "pipedrive_filters",
            "pipedrive_goals",
            "pipedrive_lead_labels",
            "pipedrive_leads",
            "pipedrive_legacy_teams",
            "pipedrive_mail_messages",
            "pipedrive_notes",
            "pipedrive_organization_relationships",
            "pipedrive_organizations",
            "pipedrive_permission_sets",
            "pipedrive_persons",
            "pipedrive_pipelines",
            "pipedrive_product_variations",
            "pipedrive_products",
            "pipedrive_project_boards",
            "pipedrive_project_phases",
            "pipedrive_project_templates",
            "pipedrive_projects",
            "pipedrive_roles",
            "pipedrive_stages",
            "pipedrive_tasks",
            "pipedrive_users",
            "pendo_features",
            "pendo_guides",
            "pendo_pages",
            "pendo_reports",
        ),
        "id",
    ),
    **{
        f"pipedrive_{entity}_followers": (f"{entity}_id", "user_id")
        for entity in ("deal", "organization", "person", "product")
    },
    "pipedrive_lead_fields": "key",
    "pipedrive_lead_sources": "name",
    "pipedrive_mail_threads": ("id", "folder"),
    "pipedrive_note_comments": "uuid",
    "pipedrive_note_fields": "key",
    "pipedrive_permission_set_assignments": ("permission_set_id", "user_id"),
    "pipedrive_role_assignments": ("role_id", "user_id"),
    "pipedrive_role_settings": "role_id",
}
#: Streams that take a request for each of many objects.
COSTLY = (
    "pipedrive_deal_flow",
    "pipedrive_deal_followers",
    "pipedrive_deal_participants",
    "pipedrive_mail_messages",
    "pipedrive_note_comments",
    "pipedrive_organization_followers",
    "pipedrive_organization_relationships",
    "pipedrive_person_followers",
    "pipedrive_product_followers",
    "pipedrive_product_variations",
)
#: Columns that copy or count other rows.
COPIES = {
    "added_by_user_id",
    "person",
    "person_id",
    "rel_linked_org_id",
    "rel_owner_org_id",
    "related_item_data",
    "related_organization_name",
}

V1_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
CODE = re.compile(r"([0-9a-f]{40})_?(.*)")

#: Pendo's top-level moments in milliseconds.
PENDO_TIMES = {
    "createdAt": "created_at",
    "lastUpdatedAt": "last_updated_at",
    "validThrough": "valid_through",
    "dailyMergeFirst": "daily_merge_first",
    "dailyRollupFirst": "daily_rollup_first",
    "publishedAt": "published_at",
    "resetAt": "reset_at",
    "showsAfter": "shows_after",
    "expiresAfter": "expires_after",
    "currentFirstEligibleToBeSeenAt": "current_first_eligible_to_be_seen_at",
    "lastRunAt": "last_run_at",
    "lastSuccessRunAt": "last_success_run_at",
}


def expected(company: Company, stream: str) -> Rows:
    """Tell what a stream's table holds after a complete load, by primary key."""
    rows = [dict(row) for row in company.rows(stream)]
    if stream == "pipedrive_projects":
        # Deleted ones too.
        rows = [
            {**row, "is_archived": bool(row["archive_time"])}
            for row in company.tables["projects"].values()
        ]
    if stream == "pipedrive_organization_relationships":
        # Each comes with both of its organizations; what the owner sees is written.
        rows = [row for row in rows if row["calculated_related_org_id"] == linked(row)]
    if stream.startswith("pendo_"):
        rows = [pendo_row(row) for row in rows]
    elif stream == "pipedrive_deal_participants":
        rows = [v1_times(row) for row in rows]
    else:
        rows = [{name: v1_time(value) for name, value in row.items()} for row in rows]
    if stream == "pipedrive_leads":
        kinds = {
            row["field_code"]: row["field_type"] for row in company.rows("pipedrive_deal_fields")
        }
        rows = [lead(row, kinds) for row in rows]
    if stream == "pipedrive_files":
        for row in rows:
            row |= {name: bool(row[name]) for name in ("active_flag", "inline_flag")}
    if STREAMS[stream] == "field_code":
        rows = with_column_names(rows)
    return {identity(stream, row): row for row in rows}


def identity(stream: str, row: Row) -> Any:
    """A row's primary key: a value, or several."""
    key = STREAMS[stream]
    return row[key] if isinstance(key, str) else tuple(row[name] for name in key)


def linked(relationship: Row) -> Any:
    """The id of the organization that the owner is linked to."""
    return relationship["rel_linked_org_id"]["value"]


def expect_all(company: Company) -> dict[str, Rows]:
    """Tell what every table holds after a complete load."""
    with company.lock:
        return {stream: expected(company, stream) for stream in STREAMS}


def v1_time(value: Any) -> Any:
    """Write a time of the old API as RFC 3339."""
    if isinstance(value, str) and V1_TIME.fullmatch(value):
        return None if value.startswith("0000") else value.replace(" ", "T") + "Z"
    return value


def v1_times(value: Any) -> Any:
    """Write all times in an object of the old API as RFC 3339."""
    if isinstance(value, dict):
        return {name: v1_times(item) for name, item in value.items()}
    return [v1_times(item) for item in value] if isinstance(value, list) else v1_time(value)


def pendo_row(row: Row) -> Row:
    """Rename a Pendo object's attributes and write its top-level times as RFC 3339."""
    shaped: Row = {}
    for name, value in row.items():
        if name in PENDO_TIMES:
            shaped[PENDO_TIMES[name]] = moment(value) if value else None
        else:
            shaped["".join(f"_{c.lower()}" if c.isupper() else c for c in name)] = value
    return shaped


def moment(milliseconds: int) -> str:
    """Write epoch milliseconds as RFC 3339."""
    time = dt.datetime.fromtimestamp(milliseconds // 1000, dt.timezone.utc)
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03}Z"


def lead(row: Row, kinds: Mapping[str, str]) -> Row:
    """Put a lead's custom fields into one object, encoded like those of deals."""
    plain: Row = {}
    custom: Row = {}
    for name, value in row.items():
        match = CODE.fullmatch(name)
        if match is None:
            plain[name] = value
            continue
        code, part = match.groups()
        kind = kinds[code]
        if kind == "enum":
            custom[code] = int(value)
        elif kind == "set":
            custom[code] = [int(item) for item in value.split(",")]
        elif kind in {"monetary", "daterange", "time", "timerange", "address"}:
            custom.setdefault(code, {})[part or "value"] = value
        else:
            custom[code] = value
    return {**plain, "custom_fields": custom}


# Comparing


def plain(value: Any) -> Any:
    """Bring a value to one form, whether it comes from JSON, Python or PostgreSQL.

    Times become aware datetimes and numbers decimals; a boolean is never equal to a number.
    """
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, (int, float)):
        return Decimal(repr(value))
    if isinstance(value, (str, dt.date)):
        return _plain_time(value)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _plain_time(value: str | dt.date) -> str | dt.datetime:
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.timezone.utc) if value.tzinfo is None else value
    if isinstance(value, dt.date):
        return value.isoformat()
    if RFC_3339.fullmatch(value):
        head, _, tail = value.rstrip("Z").partition(".")
        return dt.datetime.fromisoformat(f"{head}.{tail:0<6}+00:00")
    return value


def is_counter(column: str) -> bool:
    """Whether a column counts or copies other rows.

    These change without the row's update time, so that no incremental reading can follow them.
    """
    return column.endswith("_count") or column in COPIES


def differences(
    stream: str, loaded: Iterable[Row], moments: Sequence[Rows], *, columns: set[str] | None = None
) -> list[str]:
    """Compare a loaded table with the company, column by column.

    Args:
        stream: The stream's name.
        loaded: The table's rows.
        moments: What the company held whenever it was read, oldest first. The table must hold the
            last of them. Rows that vanished may stay as they were, and counters may be as old as
            the row's last change.
        columns: The table's columns; None for open records.

    Returns:
        A line for each difference; empty when the table is right.
    """
    final = moments[-1]
    found: list[str] = []
    seen: set[Any] = set()
    for row in loaded:
        key = identity(stream, row)
        if key in seen:
            found.append(f"{stream} {key}: twice in the table")
        seen.add(key)
        if key in final:
            # Counters of older moments count where nothing else has changed since.
            candidates = [final[key]] + [
                {**final[key], **_counters(each[key])}
                for each in moments[:-1]
                if key in each and _same_time(each[key], final[key])
            ]
        else:
            candidates = [each[key] for each in moments if key in each]
        problems = [_row_differences(row, candidate, columns) for candidate in candidates]
        if not problems:
            found.append(f"{stream} {key}: the company never had this row")
        elif all(problems):
            found += [f"{stream} {key}: {problem}" for problem in problems[0]]
    found += [f"{stream} {key}: missing" for key in final if key not in seen]
    return found


def _counters(row: Row) -> Row:
    return {name: value for name, value in row.items() if is_counter(name)}


def _same_time(one: Row, other: Row) -> bool:
    return all(one.get(name) == other.get(name) for name in ("update_time", "is_archived"))


def _row_differences(row: Row, wanted: Row, columns: set[str] | None) -> list[str]:
    if columns is not None:
        held = {name for name, value in wanted.items() if value is not None}
        wanted = {name: wanted.get(name) for name in columns | held}
    return [
        f"{name} is {row.get(name, 'missing')!r}, not {wanted.get(name, 'expected')!r}"
        for name in sorted({*row, *wanted})
        if (name in row) != (name in wanted) or plain(row[name]) != plain(wanted[name])
    ]
