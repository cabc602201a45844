"""Persons and organizations with what belongs to them."""

from __future__ import annotations

import dataclasses
import typing as t

from tap_pendo_pipedrive.streams.pipedrive.children import ChildStream, ParentStream
from tap_pendo_pipedrive.streams.pipedrive.custom_fields import CustomFieldStream
from tap_pendo_pipedrive.streams.pipedrive.stream import CursorStream, V1Stream

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.stream import Batch, Record

_COMMON_COUNTS = (
    "next_activity_id",
    "last_activity_id",
    "open_deals_count",
    "related_open_deals_count",
    "closed_deals_count",
    "related_closed_deals_count",
    "email_messages_count",
    "activities_count",
    "done_activities_count",
    "undone_activities_count",
    "files_count",
    "notes_count",
    "followers_count",
    "won_deals_count",
    "related_won_deals_count",
    "lost_deals_count",
    "related_lost_deals_count",
    "smart_bcc_email",
)


class Persons(ParentStream, CustomFieldStream, CursorStream):
    """Persons."""

    name = "pipedrive_persons"
    path = "/api/v2/persons"
    primary_keys = ("id",)
    replication_key = "update_time"
    filtered = in_order = has_until = True
    fields_stream = "pipedrive_person_fields"
    include_fields = (
        *_COMMON_COUNTS,
        "participant_open_deals_count",
        "participant_closed_deals_count",
        "last_incoming_mail_time",
        "last_outgoing_mail_time",
        "marketing_status",
        "doi_status",
    )


class Organizations(ParentStream, CustomFieldStream, CursorStream):
    """Organizations."""

    name = "pipedrive_organizations"
    path = "/api/v2/organizations"
    primary_keys = ("id",)
    replication_key = "update_time"
    filtered = in_order = has_until = True
    fields_stream = "pipedrive_organization_fields"
    include_fields = (*_COMMON_COUNTS, "people_count")


class PersonFollowers(ChildStream, CursorStream):
    """Users who follow persons."""

    name = "pipedrive_person_followers"
    path = "/api/v2/persons/{id}/followers"
    primary_keys = ("person_id", "user_id")
    parent_stream_type = Persons
    parent_key = "person_id"


class OrganizationFollowers(ChildStream, CursorStream):
    """Users who follow organizations."""

    name = "pipedrive_organization_followers"
    path = "/api/v2/organizations/{id}/followers"
    primary_keys = ("organization_id", "user_id")
    parent_stream_type = Organizations
    parent_key = "organization_id"


class OrganizationRelationships(ChildStream, V1Stream):
    """Relationships between two organizations, each written once, as the owner sees it.

    The API gives a relationship with both of its organizations, and calculates what it is to the
    one that was asked for.
    """

    name = "pipedrive_organization_relationships"
    path = "/v1/organizationRelationships"
    primary_keys = ("id",)
    parent_stream_type = Organizations
    parent_param = "org_id"

    def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._written: dict[int, str | None] = {}

    def prepare(self, row: Record) -> Record:
        """Say what the linked organization is to the owner, if the row says it the other way."""
        owner, linked = row.get("rel_owner_org_id") or {}, row.get("rel_linked_org_id") or {}
        if linked and row.get("calculated_related_org_id") == owner.get("value"):
            kind = row.get("type")
            row["calculated_type"] = "daughter" if kind == "parent" else kind
            row["calculated_related_org_id"] = linked["value"]
            row["related_organization_name"] = linked["name"]
        return row

    def batches(self, context: Context | None) -> Iterator[Batch]:
        """Leave out what came with the other organization and has not changed since."""
        for batch in super().batches(context):
            fresh = [row for row in batch.records if self._is_new(row)]
            yield dataclasses.replace(batch, records=fresh)

    def _is_new(self, record: Record) -> bool:
        key, changed = record["id"], record.get("update_time")
        if key in self._written and self._written[key] == changed:
            return False
        self._written[key] = changed
        return True
