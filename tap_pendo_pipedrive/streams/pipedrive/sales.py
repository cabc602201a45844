"""Deals with what belongs to them, leads, pipelines and stages."""

from __future__ import annotations

import typing as t

from tap_pendo_pipedrive.streams.pipedrive.children import (
    BulkChildStream,
    ChildStream,
    ParentStream,
)
from tap_pendo_pipedrive.streams.pipedrive.custom_fields import CustomFieldStream, nest_v1
from tap_pendo_pipedrive.streams.pipedrive.pages import in_each
from tap_pendo_pipedrive.streams.pipedrive.stream import (
    CursorStream,
    OffsetStream,
    Params,
    PipedriveStream,
    V1Stream,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.bookmarks import Bookmark
    from tap_pendo_pipedrive.core.stream import Batch, Record


class ArchivingStream(PipedriveStream):
    """A stream whose archived records the API keeps in a list of their own.

    Attributes:
        archived_cost: API tokens of a page of archived records.
        with_deleted: Query parameters that bring deleted records too, which the API leaves out
            unless they are named.
    """

    archived_cost: t.ClassVar[int]
    with_deleted: t.ClassVar[Params] = {}

    @property
    def partitions(self) -> list[dict[str, t.Any]]:
        """The list of current records, and that of archived ones."""
        lists: list[dict[str, t.Any]] = [{"is_archived": False}, {"is_archived": True}]
        return lists if self.config["pipedrive_include_archived"] else lists[:1]

    def path_of(self, context: Context | None) -> str:
        """The list's path."""
        return f"{self.path}/archived" if (context or {}).get("is_archived") else self.path

    def cost_of(self, context: Context | None) -> int:
        """A page of archived records may cost more."""
        return self.archived_cost if (context or {}).get("is_archived") else self.token_cost

    def walk(self, context: Context | None, params: Params) -> Iterator[t.Any]:
        """Ask for deleted records too, as the settings say."""
        if self.config["pipedrive_include_deleted"]:
            params = {**self.with_deleted, **params}
        return super().walk(context, params)


class Deals(ParentStream, ArchivingStream, CustomFieldStream, CursorStream):
    """Deals, archived and deleted ones too.

    Since July 2025 archived deals are in a list of their own; each list has its bookmark.
    """

    name = "pipedrive_deals"
    path = "/api/v2/deals"
    primary_keys = ("id",)
    replication_key = "update_time"
    filtered = in_order = has_until = True
    archived_cost = 20
    with_deleted: t.ClassVar[Params] = {"status": "open,won,lost,deleted"}
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


class DealProducts(BulkChildStream):
    """Line items of deals."""

    name = "pipedrive_deal_products"
    path = "/api/v2/deals/products"
    primary_keys = ("id",)
    gated = True
    parent_stream_type = Deals


class DealInstallments(BulkChildStream):
    """Installments in which deals are paid."""

    name = "pipedrive_deal_installments"
    path = "/api/v2/deals/installments"
    primary_keys = ("id",)
    gated = True
    parent_stream_type = Deals


class DealFlow(ChildStream, OffsetStream):
    """Changes of deals, field by field. A deal that changed comes with all that it went through.

    Changes before the bookmark come too, since some may be newer than the reading of their deal
    that moved it. `start_date` and `end_date` count.
    """

    name = "pipedrive_deal_flow"
    path = "/v1/deals/{id}/flow"
    primary_keys = ("id",)
    replication_key = "log_time"
    token_cost = 40
    parent_stream_type = Deals
    parent_key = "item_id"
    # Without all_changes the changes of custom fields are left out.
    params: t.ClassVar[Params] = {"items": "dealChange", "all_changes": 1}
    rows_in = in_each("data")
    _only_bookmark: Bookmark | None = None

    def known_state(self, context: Context | None) -> Mapping[str, t.Any]:
        """Nothing: the bookmark does not count."""
        del context
        return {}

    def _advance(self, batch: Batch) -> None:
        # The deals' changes are in no common order; one bookmark keeps the newest of all.
        self._only_bookmark = self._bookmark = self._only_bookmark or self._bookmark
        super()._advance(batch)


class DealParticipants(ChildStream, OffsetStream):
    """Further persons of deals, each with the person as v1 gives it."""

    name = "pipedrive_deal_participants"
    path = "/v1/deals/{id}/participants"
    primary_keys = ("id",)
    token_cost = 10
    parent_stream_type = Deals
    parent_key = "deal_id"


class DealFollowers(ChildStream, CursorStream):
    """Users who follow deals."""

    name = "pipedrive_deal_followers"
    path = "/api/v2/deals/{id}/followers"
    primary_keys = ("deal_id", "user_id")
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
    archived_cost = 40
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


class LeadSources(V1Stream):
    """Sources of leads; their names are the leads' `source_name`."""

    name = "pipedrive_lead_sources"
    path = "/v1/leadSources"
    primary_keys = ("name",)
    token_cost = 2
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
