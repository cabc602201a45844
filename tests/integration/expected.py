"""What the tables of a target must hold, derived from the company's data and the interface alone.

Nothing here comes from the tap's code: the streams and their keys are written down again, and so
are the rules for times, booleans and custom fields.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.named import with_column_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.harness import Record, Tables
    from tests.sandbox import Company

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Expected:
    """A stream as the interface lists it."""

    path: str
    key: str | tuple[str, ...] = "id"
    replication_key: str | None = None
    filtered: bool = False

    @property
    def keys(self) -> list[str]:
        """The columns of the primary key."""
        return [self.key] if isinstance(self.key, str) else list(self.key)

    def key_of(self, row: Record) -> Key:
        """A row's primary key."""
        return tuple(row[name] for name in self.keys)


UPDATED = "update_time"
PIPEDRIVE: dict[str, Expected] = {
    "pipedrive_activities": Expected("/api/v2/activities", "id", UPDATED, filtered=True),
    "pipedrive_activity_fields": Expected("/api/v2/activityFields", "field_code"),
    "pipedrive_activity_types": Expected("/v1/activityTypes", "id", UPDATED),
    "pipedrive_call_logs": Expected("/v1/callLogs"),
    "pipedrive_currencies": Expected("/v1/currencies"),
    "pipedrive_deal_fields": Expected("/api/v2/dealFields", "field_code"),
    "pipedrive_deal_installments": Expected("/api/v2/deals/installments"),
    "pipedrive_deal_products": Expected("/api/v2/deals/products"),
    "pipedrive_deals": Expected("/api/v2/deals", "id", UPDATED, filtered=True),
    "pipedrive_files": Expected("/v1/files", "id", UPDATED),
    "pipedrive_filters": Expected("/v1/filters", "id", UPDATED),
    "pipedrive_goals": Expected("/v1/goals/find"),
    "pipedrive_lead_fields": Expected("/v1/leadFields", "key"),
    "pipedrive_lead_labels": Expected("/v1/leadLabels", "id", UPDATED),
    "pipedrive_lead_sources": Expected("/v1/leadSources", "name"),
    "pipedrive_leads": Expected("/v1/leads", "id", UPDATED, filtered=True),
    "pipedrive_legacy_teams": Expected("/v1/legacyTeams"),
    "pipedrive_mail_threads": Expected("/v1/mailbox/mailThreads", ("id", "folder")),
    "pipedrive_note_fields": Expected("/v1/noteFields", "key"),
    "pipedrive_notes": Expected("/v1/notes", "id", UPDATED, filtered=True),
    "pipedrive_organization_fields": Expected("/api/v2/organizationFields", "field_code"),
    "pipedrive_organizations": Expected("/api/v2/organizations", "id", UPDATED, filtered=True),
    "pipedrive_permission_set_assignments": Expected(
        "/v1/permissionSets/{id}/assignments", ("permission_set_id", "user_id")
    ),
    "pipedrive_permission_sets": Expected("/v1/permissionSets"),
    "pipedrive_person_fields": Expected("/api/v2/personFields", "field_code"),
    "pipedrive_persons": Expected("/api/v2/persons", "id", UPDATED, filtered=True),
    "pipedrive_pipelines": Expected("/api/v2/pipelines", "id", UPDATED),
    "pipedrive_product_fields": Expected("/api/v2/productFields", "field_code"),
    "pipedrive_products": Expected("/api/v2/products", "id", UPDATED, filtered=True),
    "pipedrive_project_boards": Expected("/api/v2/boards"),
    "pipedrive_project_fields": Expected("/api/v2/projectFields", "field_code"),
    "pipedrive_project_phases": Expected("/api/v2/phases"),
    "pipedrive_project_templates": Expected("/api/v2/projectTemplates"),
    "pipedrive_projects": Expected("/api/v2/projects"),
    "pipedrive_role_assignments": Expected("/v1/roles/{id}/assignments", ("role_id", "user_id")),
    "pipedrive_role_settings": Expected("/v1/roles/{id}/settings", "role_id"),
    "pipedrive_roles": Expected("/v1/roles"),
    "pipedrive_stages": Expected("/api/v2/stages", "id", UPDATED),
    "pipedrive_tasks": Expected("/api/v2/tasks"),
    "pipedrive_users": Expected("/v1/users", "id", "modified"),
}
#: A request for each parent, so only where a catalog selects them.
CHILDREN: dict[str, Expected] = {
    "pipedrive_deal_flow": Expected("/v1/deals/{id}/flow", "id", "log_time"),
    "pipedrive_deal_followers": Expected("/api/v2/deals/{id}/followers", ("deal_id", "user_id")),
    "pipedrive_deal_participants": Expected("/v1/deals/{id}/participants"),
    "pipedrive_mail_messages": Expected("/v1/mailbox/mailThreads/{id}/mailMessages"),
    "pipedrive_note_comments": Expected("/v1/notes/{id}/comments", "uuid"),
    "pipedrive_organization_followers": Expected(
        "/api/v2/organizations/{id}/followers", ("organization_id", "user_id")
    ),
    "pipedrive_organization_relationships": Expected("/v1/organizationRelationships"),
    "pipedrive_person_followers": Expected(
        "/api/v2/persons/{id}/followers", ("person_id", "user_id")
    ),
    "pipedrive_product_followers": Expected(
        "/api/v2/products/{id}/followers", ("product_id", "user_id")
    ),
    "pipedrive_product_variations": Expected("/api/v2/products/{id}/variations"),
}
CHANGED = "last_updated_at"
AGGREGATION = "/api/v1/aggregation"
PENDO: dict[str, Expected] = {
    "pendo_account_metadata": Expected(
        "/api/v1/metadata/schema/account", ("metadata_group", "field")
    ),
    "pendo_accounts": Expected(AGGREGATION, "account_id", CHANGED),
    "pendo_features": Expected("/api/v1/feature", "id", CHANGED),
    "pendo_guides": Expected("/api/v1/guide", "id", CHANGED),
    "pendo_guides_seen": Expected(AGGREGATION, ("visitor_id", "guide_id", "guide_step_id")),
    "pendo_pages": Expected("/api/v1/page", "id", CHANGED),
    "pendo_polls_seen": Expected(AGGREGATION, ("visitor_id", "account_id", "guide_id", "poll_id")),
    "pendo_report_results": Expected("/api/v1/report/{id}/results.json", ("report_id", "row_key")),
    "pendo_reports": Expected("/api/v1/report", "id", CHANGED),
    "pendo_segments": Expected("/api/v1/segment"),
    "pendo_track_types": Expected("/api/v1/tracktype", "id", CHANGED),
    "pendo_visitor_metadata": Expected(
        "/api/v1/metadata/schema/visitor", ("metadata_group", "field")
    ),
    "pendo_visitors": Expected(AGGREGATION, "visitor_id", CHANGED),
}
#: Streams that are read window by window; ordinary tests leave them out.
EVENTS: dict[str, Expected] = {
    "pendo_events": Expected(AGGREGATION, "event_key", "hour", filtered=True),
    "pendo_feature_events": Expected(AGGREGATION, "event_key", "hour", filtered=True),
    "pendo_guide_events": Expected(AGGREGATION, "event_key", "browser_time", filtered=True),
    "pendo_page_events": Expected(AGGREGATION, "event_key", "hour", filtered=True),
    "pendo_poll_events": Expected(AGGREGATION, "event_key", "browser_time", filtered=True),
    "pendo_track_events": Expected(AGGREGATION, "event_key", "hour", filtered=True),
}
#: Read only where a catalog selects it.
HISTORY: dict[str, Expected] = {
    "pendo_visitor_history": Expected("/api/v1/visitor/{id}/history", "history_key")
}
ALL_PENDO = PENDO | EVENTS | HISTORY
#: What a run without a catalog reads in most tests.
STREAMS = PIPEDRIVE | PENDO
#: What a catalog holds.
LIVE_IDS = {"pipedrive_live_ids": Expected("", ("entity", "id"))}
#: The entities whose ids `pipedrive_live_ids` lists, and their tables.
LIVE = {
    "activity": "activities",
    "deal": "deals",
    "lead": "leads",
    "note": "notes",
    "organization": "organizations",
    "person": "persons",
    "product": "products",
}
CATALOG = PIPEDRIVE | CHILDREN | LIVE_IDS | ALL_PENDO
INCREMENTAL = {name: stream for name, stream in STREAMS.items() if stream.replication_key}

V1_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)")
CODE = re.compile(r"([0-9a-f]{40})(?:_(.+))?")
# Attributes that the API gives as 0 and 1 here and there.
FLAGS = {"pipedrive_files": ("active_flag", "inline_flag")}
PENDO_TIMES = {
    "created_at",
    "last_updated_at",
    "published_at",
    "reset_at",
    "current_first_eligible_to_be_seen_at",
    "last_run_at",
    "last_success_run_at",
    "valid_through",
    "daily_merge_first",
    "daily_rollup_first",
    "shows_after",
    "expires_after",
    "day",
    "hour",
    "week",
    "month",
    "quarter",
    "first_time",
    "last_time",
    "browser_time",
    "received_time",
    "guide_timestamp",
    "time",
    "ts",
    "last_ts",
    "last_key_frame_timestamp",
    "last_start_time",
    "first_seen_at",
    "last_seen_at",
    "last_advanced_auto_at",
    "last_dismissed_auto_at",
    "last_timeout_at",
}
#: Columns that the tap works out by hashing; tests check that they are unique and stay.
HASHED = {"event_key", "history_key", "row_key"}


def rows(company: Company, stream: str) -> dict[Key, Record]:
    """The rows that a table of this stream must hold, by primary key.

    Custom fields are in their nested form; :func:`tests.named.named` knows the other one.
    """
    exact = json.loads(json.dumps(_given(company, stream)), parse_float=Decimal)
    if stream in PENDO:
        shaped = pendo(stream, exact)
    elif stream == "pipedrive_leads":
        kinds = {row["field_code"]: row["field_type"] for row in company.rows("deal_fields")}
        shaped = [_lead(row, kinds) for row in exact]
    elif stream == "pipedrive_deal_participants":
        shaped = _v1_times(exact)
    elif CATALOG[stream].path.startswith("/v1/"):
        shaped = [_v1(row, FLAGS.get(stream, ())) for row in exact]
    else:
        is_v2_list = CATALOG[stream].key == "field_code"
        shaped = with_column_names(exact) if is_v2_list else exact
    if stream == "pendo_report_results":
        return {_row_identity(row): row for row in shaped}
    return {CATALOG[stream].key_of(row): row for row in shaped}


def _given(company: Company, stream: str) -> list[Record]:
    if stream == "pipedrive_live_ids":
        return [
            {"entity": entity, "id": str(key)}
            for entity, table in LIVE.items()
            for key, row in company.tables[table].items()
            if not row.get("is_deleted")
        ]
    if stream == "pipedrive_projects":
        # Deleted ones too.
        with company.lock:
            return [
                row | {"is_archived": row["archive_time"] is not None}
                for row in company.tables["projects"].values()
            ]
    rows = company.rows(stream)
    if stream == "pipedrive_organization_relationships":
        # The company tells of both sides; the owner's view counts.
        return [
            r for r in rows if r["calculated_related_org_id"] == r["rel_linked_org_id"]["value"]
        ]
    return rows


def _v1_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _v1_times(item) for name, item in value.items()}
    return [_v1_times(item) for item in value] if isinstance(value, list) else _v1_time(value)


def _v1(row: Record, flags: Iterable[str]) -> Record:
    shaped = {name: _v1_time(value) for name, value in row.items()}
    return shaped | {name: bool(shaped[name]) for name in flags if shaped[name] is not None}


def _v1_time(value: Any) -> Any:
    match = V1_TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    return None if value == "0000-00-00 00:00:00" else f"{match[1]}T{match[2]}Z"


def _lead(row: Record, kinds: dict[str, str]) -> Record:
    lead: Record = {}
    parts: dict[str, Record] = {}
    for name, value in row.items():
        match = CODE.fullmatch(name)
        if match:
            parts.setdefault(match[1], {})[match[2] or "value"] = value
        else:
            lead[name] = value
    lead["custom_fields"] = {code: _as_v2(part, kinds[code]) for code, part in parts.items()}
    return lead


def _as_v2(parts: Record, kind: str) -> Any:
    if kind in {"monetary", "daterange", "time", "timerange", "address"}:
        return parts
    value = parts["value"]
    if kind == "enum":
        return int(value)
    if kind == "set":
        return [int(option) for option in value.split(",")]
    return value


def pendo(stream: str, given: list[Record], *, anonymous: bool = False) -> list[Record]:
    """Rows as Pendo gives them in the shape of the records, without hashed columns.

    Args:
        stream: Where they belong.
        given: The API's rows.
        anonymous: Anonymous visitors are among the visitors.
    """
    if stream == "pendo_report_results":
        return [{"report_id": row["reportId"], "row": row["row"]} for row in given]
    shaped = [_pendo(row) for row in given]
    if stream in {"pendo_visitors", "pendo_accounts"}:
        for row in shaped:
            row[CHANGED] = _moment(row["metadata"].get("auto", {}).get("lastupdated") or 0)
    if stream == "pendo_visitors" and not anonymous:
        shaped = [row for row in shaped if not row["visitor_id"].startswith("_PENDO_T_")]
    return shaped


def exact_rows(company: Company, stream: str, **bounds: Any) -> list[Record]:
    """The API's rows with exact numbers."""
    rows: list[Record] = json.loads(json.dumps(company.rows(stream, **bounds)), parse_float=Decimal)
    return rows


def identity(row: Record) -> str:
    """A row as a text, without hashed columns."""
    plain = {name: value for name, value in row.items() if name not in HASHED}
    return json.dumps(plain, sort_keys=True, default=str)


def check_rows(stream: str, held: Iterable[Record], wanted: Iterable[Record]) -> None:
    """Assert that a table whose key is hashed holds exactly these rows, each of them once."""
    found = Counter(map(identity, held))
    needed = Counter(map(identity, wanted))
    missing, extra = needed - found, found - needed
    text = f"{stream}: {missing.total()} missing, {extra.total()} unexpected"
    assert not missing, f"{text}, such as {next(iter(missing))}"
    assert not extra, f"{text}, such as {next(iter(extra))}"


def check_events(tables: Tables, company: Company, stream: str, **bounds: Any) -> None:
    """Assert that a table of events holds the buckets that have ended.

    Args:
        tables: What a target holds.
        company: What the API has.
        stream: The stream.
        bounds: As for the company's rows: granularity, since, until.
    """
    wanted = pendo(stream, exact_rows(company, stream, **bounds))
    assert wanted or stream == "pendo_poll_events", stream
    check_rows(stream, tables.rows[stream].values(), wanted)


def _row_identity(row: Record) -> Key:
    return (row["report_id"], json.dumps(row["row"], sort_keys=True, default=str))


def _pendo(row: Record) -> Record:
    shaped: Record = {}
    for name, value in row.items():
        column = re.sub("(?<!^)([A-Z])", r"_\1", name).lower()
        shaped[column] = _moment(value) if column in PENDO_TIMES else value
    return shaped


def _moment(milliseconds: int) -> str | None:
    if milliseconds == 0:
        return None
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=milliseconds)
    text = moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def check(tables: Tables, company: Company, streams: Iterable[str] = STREAMS) -> None:
    """Assert that the tables hold exactly the company's rows, with all attributes.

    Rows that were deleted for good stay in a target: no API tells of them.
    """
    for stream in streams:
        compare(stream, unhashed(stream, tables.rows[stream]), rows(company, stream))


def unhashed(stream: str, held: dict[Key, Record]) -> dict[Key, Record]:
    """A table without its hashed key, which is replaced by what it stands for."""
    if stream != "pendo_report_results":
        return held
    plain = [{"report_id": row["report_id"], "row": row["row"]} for row in held.values()]
    found = {_row_identity(row): row for row in plain}
    assert len(found) == len(held), f"{stream}: several keys of one row"
    return found


# Counters of related rows change without a new update time, so later runs cannot notice them.
COUNTED = {"pipedrive_deals", "pipedrive_persons", "pipedrive_organizations"}


def check_surviving(
    tables: Tables, company: Company, gone: dict[str, set[Any]], streams: Iterable[str] = STREAMS
) -> None:
    """The same after later runs: rows stay in a target that vanished from the API meanwhile.

    Args:
        tables: What a target holds.
        company: What the API has.
        gone: Ids that vanished, by stream.
        streams: The streams to compare.
    """
    for stream in streams:
        vanished = {key if isinstance(key, tuple) else (key,) for key in gone.get(stream, ())}
        held = unhashed(stream, tables.rows[stream])
        held = {key: row for key, row in held.items() if key not in vanished}
        wanted = rows(company, stream)
        if stream in COUNTED:
            held = {key: _without_counters(row) for key, row in held.items()}
            wanted = {key: _without_counters(row) for key, row in wanted.items()}
        compare(stream, held, wanted)


def _without_counters(row: Record) -> Record:
    return {name: value for name, value in row.items() if not name.endswith("_count")}


def _exact(value: Any) -> Any:
    """Make 1 and True different, which Python takes for equal."""
    if isinstance(value, dict):
        return {name: _exact(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    return str(value) if isinstance(value, bool) else value


def compare(stream: str, held: dict[Key, Record], wanted: dict[Key, Record]) -> None:
    """Assert that two tables are equal, with a message that fits on a screen."""
    missing, extra = wanted.keys() - held.keys(), held.keys() - wanted.keys()
    assert not missing, f"{stream}: missing {sorted(missing)[:10]}"
    assert not extra, f"{stream}: unexpected {sorted(extra)[:10]}"
    for key, row in wanted.items():
        if _exact(held[key]) != _exact(row):
            both = {n: (held[key].get(n, "-"), row.get(n, "-")) for n in {*held[key], *row}}
            found = {
                n: values for n, values in both.items() if _exact(values[0]) != _exact(values[1])
            }
            raise AssertionError(f"{stream} {key}: (found, expected) {found}")
