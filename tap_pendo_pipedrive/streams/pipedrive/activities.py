"""Activities, notes, files and calls."""

from __future__ import annotations

from tap_pendo_pipedrive.streams.pipedrive.children import ChildStream, ParentStream
from tap_pendo_pipedrive.streams.pipedrive.stream import CursorStream, OffsetStream, V1Stream


class Activities(CursorStream):
    """Activities, done or planned."""

    name = "pipedrive_activities"
    path = "/api/v2/activities"
    primary_keys = ("id",)
    replication_key = "update_time"
    filtered = in_order = has_until = True
    include_fields = ("attendees",)


class ActivityTypes(V1Stream):
    """Types of activities; their `key_string` is the activities' `type`."""

    name = "pipedrive_activity_types"
    path = "/v1/activityTypes"
    primary_keys = ("id",)
    replication_key = "update_time"


class Notes(ParentStream, OffsetStream):
    """Notes on deals, leads, persons, organizations and projects."""

    name = "pipedrive_notes"
    path = "/v1/notes"
    primary_keys = ("id",)
    replication_key = "update_time"
    filtered = in_order = True


class NoteComments(ChildStream, OffsetStream):
    """Comments on notes."""

    name = "pipedrive_note_comments"
    path = "/v1/notes/{id}/comments"
    primary_keys = ("uuid",)
    parent_stream_type = Notes
    parent_key = "object_id"


class Files(OffsetStream):
    """Files, without their contents. The API gives at most 100 a page and cannot filter them."""

    name = "pipedrive_files"
    path = "/v1/files"
    primary_keys = ("id",)
    replication_key = "update_time"
    in_order = True
    page_size = 100


class CallLogs(OffsetStream):
    """Calls of the user. By OAuth they take the scope `phone-integration`."""

    name = "pipedrive_call_logs"
    path = "/v1/callLogs"
    primary_keys = ("id",)
    page_size = 50
    gated = True
