"""Deals with their line items, leads, pipelines and stages."""

from __future__ import annotations

import typing as t

from tap_pendo_pipedrive.streams.pipedrive.children import BulkChildStream, ParentStream
from tap_pendo_pipedrive.streams.pipedrive.custom_fields import CustomFieldStream, nest_v1
from tap_pendo_pipedrive.streams.pipedrive.stream import (
    CursorStream,
    OffsetStream,
    Params,
    PipedriveStream,
    V1Stream,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.stream import Record


class ArchivingStream(PipedriveStream):
    """A stream whose archived records the API keeps in a list of their own."""

    @property
    def partitions(self) -> list[dict[str, t.Any]]:
        """The list of current records, and that of archived ones."""
        lists: list[dict[str, t.Any]] = [{"is_archived": False}, {"is_archived": True}]
        return lists if self.config["pipedrive_include_archived"] else lists[:1]

    def path_of(self, context: Context | None) -> str:
        """The list's path."""
        return f"{self.path}/archived" if (context or {}).get("is_archived") else self.path

    def cost_of(self, context: Context | None) -> int:
        """A page of archived records costs twice as much."""
        return self.token_cost * (2 if (context or {}).get("is_archived") else 1)


class Deals(ParentStream, ArchivingStream, CustomFieldStream, CursorStream):
    """Deals, archived and deleted ones too.

    Since July 2025 archived deals are in a list of their own; each list has its bookmark.
    """

    name = "pipedrive_deals"
    path = "/api/v2/deals"
    primary_keys = ("id",)
    replication_key = "update_time"
    filtered = in_order = has_until = True
    fields_stream = "pipedrive_deal_fields"
    include_fields = (
        "next_activity_id",
        "last_activity_id",
        "first_won_time",
        "products_count",
        "files_count",
        "notes_count",
        "followers_count",
        "email_messages_count",
        "activities_count",
        "done_activities_count",
        "undone_activities_count",
        "participants_count",
        "last_incoming_mail_time",
        "last_outgoing_mail_time",
        "smart_bcc_email",
        "source_lead_id",
    )

    def walk(self, context: Context | None, params: Params) -> Iterator[t.Any]:
        """Ask for deleted deals too: the API leaves them out unless they are named."""
        if self.config["pipedrive_include_deleted"]:
            params = {"status": "open,won,lost,deleted", **params}
        return super().walk(context, params)


class DealProducts(BulkChildStream):
    """Line items of deals."""

    name = "pipedrive_deal_products"
    path = "/api/v2/deals/products"
    primary_keys = ("id",)
    gated = True
    parent_stream_type = Deals
    parent_key = "deal_id"


class Leads(ArchivingStream, CustomFieldStream, OffsetStream):
    """Leads, archived ones too. They have the deals' custom fields, in v1's encoding.

    The list of archived leads cannot be filtered by time.
    """

    name = "pipedrive_leads"
    path = "/v1/leads"
    primary_keys = ("id",)
    replication_key = "update_time"
    filtered = in_order = gated = True
    fields_stream = "pipedrive_deal_fields"

    def is_filtered(self, context: Context | None) -> bool:
        """Only the current ones can be filtered."""
        return not (context or {}).get("is_archived")

    def prepare(self, row: Record) -> Record:
        """Give leads the deals' form of custom fields."""
        row = nest_v1(row, self.definitions.custom)
        return self.into_columns(row) if self.is_named else row


class LeadLabels(V1Stream):
    """Labels of leads."""

    name = "pipedrive_lead_labels"
    path = "/v1/leadLabels"
    primary_keys = ("id",)
    replication_key = "update_time"
    token_cost = 10
    gated = True


class Pipelines(CursorStream):
    """Pipelines. Asking for changes only is an error here (HTTP 400)."""

    name = "pipedrive_pipelines"
    path = "/api/v2/pipelines"
    primary_keys = ("id",)
    replication_key = "update_time"
    token_cost = 5
    in_order = True


class Stages(CursorStream):
    """Stages of all pipelines. Asking for changes only is an error here (HTTP 400)."""

    name = "pipedrive_stages"
    path = "/api/v2/stages"
    primary_keys = ("id",)
    replication_key = "update_time"
    token_cost = 5
    in_order = True
