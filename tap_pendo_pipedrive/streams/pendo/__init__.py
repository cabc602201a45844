"""Pendo's streams."""

from __future__ import annotations

import typing as t

from tap_pendo_pipedrive.streams.pendo.catalog import Features, Guides, Pages, Reports
from tap_pendo_pipedrive.streams.pendo.client import PendoClient

if t.TYPE_CHECKING:
    from tap_pendo_pipedrive.streams.pendo.stream import PendoStream
    from tap_pendo_pipedrive.tap import TapPendoPipedrive

PENDO_STREAMS: t.Final[tuple[type[PendoStream], ...]] = (Features, Guides, Pages, Reports)


def pendo_streams(tap: TapPendoPipedrive) -> list[PendoStream]:
    """Create the streams around one client."""
    client = PendoClient(tap.config)
    return [stream(tap, client) for stream in PENDO_STREAMS]
