"""Pendo's streams."""

from __future__ import annotations

import typing as t

from tap_pendo_pipedrive.streams.pendo.catalog import (
    Features,
    Guides,
    Pages,
    Reports,
    Segments,
    TrackTypes,
)
from tap_pendo_pipedrive.streams.pendo.client import PendoClient
from tap_pendo_pipedrive.streams.pendo.details import (
    GuidesSeen,
    PollsSeen,
    ReportResults,
    VisitorHistory,
)
from tap_pendo_pipedrive.streams.pendo.events import (
    Events,
    FeatureEvents,
    GuideEvents,
    PageEvents,
    PollEvents,
    TrackEvents,
)
from tap_pendo_pipedrive.streams.pendo.people import (
    AccountMetadata,
    Accounts,
    VisitorMetadata,
    Visitors,
)

if t.TYPE_CHECKING:
    from tap_pendo_pipedrive.streams.pendo.stream import PendoStream
    from tap_pendo_pipedrive.tap import TapPendoPipedrive

PENDO_STREAMS: t.Final[tuple[type[PendoStream], ...]] = (
    AccountMetadata,
    Accounts,
    Events,
    FeatureEvents,
    Features,
    GuideEvents,
    Guides,
    GuidesSeen,
    PageEvents,
    Pages,
    PollEvents,
    PollsSeen,
    ReportResults,
    Reports,
    Segments,
    TrackEvents,
    TrackTypes,
    VisitorHistory,
    VisitorMetadata,
    Visitors,
)


def pendo_streams(tap: TapPendoPipedrive) -> list[PendoStream]:
    """Create the streams around one client."""
    client = PendoClient(tap.config)
    return [stream(tap, client) for stream in PENDO_STREAMS]
