"""What has been set up in Pendo: pages, features, track types, guides, segments, reports."""

from __future__ import annotations

import typing as t

from tap_pendo_pipedrive.streams.pendo.stream import ListStream

if t.TYPE_CHECKING:
    from collections.abc import Mapping


class Pages(ListStream):
    """Tagged pages of all applications."""

    name = "pendo_pages"
    path = "/api/v1/page"


class Features(ListStream):
    """Tagged features of all applications."""

    name = "pendo_features"
    path = "/api/v1/feature"


class Guides(ListStream):
    """Guides of all applications, with their steps and polls."""

    name = "pendo_guides"
    path = "/api/v1/guide"


class Reports(ListStream):
    """Definitions of reports. They belong to no application."""

    name = "pendo_reports"
    path = "/api/v1/report"
    params: t.ClassVar[Mapping[str, str]] = {}
    of_apps = False


class TrackTypes(ListStream):
    """Types of track events."""

    name = "pendo_track_types"
    path = "/api/v1/tracktype"


class Segments(ListStream):
    """Segments. They belong to no application and carry no time of their last change."""

    name = "pendo_segments"
    path = "/api/v1/segment"
    replication_key = None
    of_apps = False
