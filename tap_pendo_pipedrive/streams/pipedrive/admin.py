"""Users, roles and the company's own settings."""

from __future__ import annotations

from tap_pendo_pipedrive.streams.pipedrive.stream import OffsetStream, V1Stream


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


class PermissionSets(V1Stream):
    """Permission sets. Takes an admin."""

    name = "pipedrive_permission_sets"
    path = "/v1/permissionSets"
    primary_keys = ("id",)


class Roles(OffsetStream):
    """Roles and their hierarchy. Takes an admin."""

    name = "pipedrive_roles"
    path = "/v1/roles"
    primary_keys = ("id",)


class Users(V1Stream):
    """Users, deactivated ones too."""

    name = "pipedrive_users"
    path = "/v1/users"
    primary_keys = ("id",)
    replication_key = "modified"
