"""What has been set up in Pendo: pages, features, guides, reports."""

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
