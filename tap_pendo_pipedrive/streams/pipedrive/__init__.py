"""Pipedrive's streams."""

from __future__ import annotations

import typing as t

from tap_pendo_pipedrive.streams.pipedrive.activities import Activities, ActivityTypes, Files, Notes
from tap_pendo_pipedrive.streams.pipedrive.admin import (
    Currencies,
    Filters,
    PermissionSets,
    Roles,
    Users,
)
from tap_pendo_pipedrive.streams.pipedrive.client import PipedriveClient
from tap_pendo_pipedrive.streams.pipedrive.contacts import Organizations, Persons
from tap_pendo_pipedrive.streams.pipedrive.custom_fields import (
    CustomFieldStream,
    FieldStream,
    Pins,
)
from tap_pendo_pipedrive.streams.pipedrive.fields import (
    ActivityFields,
    DealFields,
    OrganizationFields,
    PersonFields,
    ProductFields,
)
from tap_pendo_pipedrive.streams.pipedrive.live_ids import ENTITIES, LiveIds
from tap_pendo_pipedrive.streams.pipedrive.products import Products
from tap_pendo_pipedrive.streams.pipedrive.sales import (
    DealProducts,
    Deals,
    LeadLabels,
    Leads,
    Pipelines,
    Stages,
)

if t.TYPE_CHECKING:
    from tap_pendo_pipedrive.streams.pipedrive.stream import PipedriveStream
    from tap_pendo_pipedrive.tap import TapPendoPipedrive

PIPEDRIVE_STREAMS: t.Final[tuple[type[PipedriveStream], ...]] = (
    Activities,
    ActivityFields,
    ActivityTypes,
    Currencies,
    DealFields,
    DealProducts,
    Deals,
    Files,
    Filters,
    LeadLabels,
    Leads,
    LiveIds,
    Notes,
    OrganizationFields,
    Organizations,
    PermissionSets,
    PersonFields,
    Persons,
    Pipelines,
    ProductFields,
    Products,
    Roles,
    Stages,
    Users,
)


def pipedrive_streams(tap: TapPendoPipedrive) -> list[PipedriveStream]:
    """Create the streams around one client, each with what it needs of the others."""
    client = PipedriveClient(tap.config)
    streams = [stream(tap, client) for stream in PIPEDRIVE_STREAMS]
    by_name = {stream.name: stream for stream in streams}
    by_type: dict[type, PipedriveStream] = {type(stream): stream for stream in streams}
    described = {s.fields_stream for s in streams if isinstance(s, CustomFieldStream)}
    pins = Pins(tap.config.get("pipedrive_custom_field_names") or {}, described)
    for stream in streams:
        if isinstance(stream, FieldStream):
            stream.pins = pins
        if isinstance(stream, CustomFieldStream):
            stream.fields = t.cast("FieldStream", by_name[stream.fields_stream])
        if stream.parent_stream_type is not None:
            stream.parent = by_type[stream.parent_stream_type]
        if isinstance(stream, LiveIds):
            stream.sources = {entity: by_type[kind] for entity, kind in ENTITIES.items()}
            for source in stream.sources.values():
                source.live_ids = stream
    if tap.input_catalog is None:
        for name in described:
            t.cast("FieldStream", by_name[name]).fetch_early()
    return streams
