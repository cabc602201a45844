"""Users with their rights and goals, and the company's own settings."""

from __future__ import annotations

import typing as t

from tap_pendo_pipedrive.streams.pipedrive.children import ChildStream, ParentStream
from tap_pendo_pipedrive.streams.pipedrive.pages import ALONE, in_list
from tap_pendo_pipedrive.streams.pipedrive.stream import OffsetStream, V1Stream

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.helpers.types import Context

    from tap_pendo_pipedrive.core.bookmarks import Span
    from tap_pendo_pipedrive.core.stream import Page


class Currencies(V1Stream):
    """Currencies, the company's own ones too."""

    name = "pipedrive_currencies"
    path = "/v1/currencies"
    primary_keys = ("id",)


class Filters(V1Stream):
    """Saved filters that the user may see."""

    name = "pipedrive_filters"
    path = "/v1/filters"
    primary_keys = ("id",)
    replication_key = "update_time"


class Goals(V1Stream):
    """Goals of users, teams and the company, past ones too."""

    name = "pipedrive_goals"
    path = "/v1/goals/find"
    primary_keys = ("id",)
    gated = True
    rows_in = in_list("goals")

    def walk_span(self, context: Context | None, span: Span) -> Iterator[Page]:
        """Fetch the two lists: the API gives the active goals unless asked for the others."""
        del span
        for is_active in ("true", "false"):
            yield from self.walk(context, {"is_active": is_active})


class LegacyTeams(V1Stream):
    """Teams as they were before roles took their place; retired, so not there for everyone."""

    name = "pipedrive_legacy_teams"
    path = "/v1/legacyTeams"
    primary_keys = ("id",)
    gated = True


class PermissionSets(ParentStream, V1Stream):
    """Permission sets. Takes an admin."""

    name = "pipedrive_permission_sets"
    path = "/v1/permissionSets"
    primary_keys = ("id",)


class PermissionSetAssignments(ChildStream, OffsetStream):
    """Users by permission set. Takes an admin."""

    name = "pipedrive_permission_set_assignments"
    path = "/v1/permissionSets/{id}/assignments"
    primary_keys = ("permission_set_id", "user_id")
    parent_stream_type = PermissionSets
    parent_key = "permission_set_id"
    selected_by_default = True  # There are few permission sets.


class Roles(ParentStream, OffsetStream):
    """Roles and their hierarchy. Takes an admin."""

    name = "pipedrive_roles"
    path = "/v1/roles"
    primary_keys = ("id",)


class RoleAssignments(ChildStream, OffsetStream):
    """Users by role. Takes an admin."""

    name = "pipedrive_role_assignments"
    path = "/v1/roles/{id}/assignments"
    primary_keys = ("role_id", "user_id")
    token_cost = 10
    parent_stream_type = Roles
    parent_key = "role_id"
    selected_by_default = True  # There are few roles.


class RoleSettings(ChildStream, V1Stream):
    """What the users of a role see, and who sees what they add. Takes an admin."""

    name = "pipedrive_role_settings"
    path = "/v1/roles/{id}/settings"
    primary_keys = ("role_id",)
    parent_stream_type = Roles
    parent_key = "role_id"
    selected_by_default = True  # There are few roles.
    rows_in = ALONE


class Users(V1Stream):
    """Users, deactivated ones too."""

    name = "pipedrive_users"
    path = "/v1/users"
    primary_keys = ("id",)
    replication_key = "modified"
