"""Persons and organizations."""

from __future__ import annotations

from tap_pendo_pipedrive.streams.pipedrive.custom_fields import CustomFieldStream
from tap_pendo_pipedrive.streams.pipedrive.stream import CursorStream

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


class Persons(CustomFieldStream, CursorStream):
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


class Organizations(CustomFieldStream, CursorStream):
    """Organizations."""

    name = "pipedrive_organizations"
    path = "/api/v2/organizations"
    primary_keys = ("id",)
    replication_key = "update_time"
    filtered = in_order = has_until = True
    fields_stream = "pipedrive_organization_fields"
    include_fields = (*_COMMON_COUNTS, "people_count")
