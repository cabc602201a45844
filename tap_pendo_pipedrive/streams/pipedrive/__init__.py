"""Pipedrive's streams."""

from __future__ import annotations

import typing as t

from tap_pendo_pipedrive.streams.pipedrive.activities import (
    Activities,
    ActivityTypes,
    CallLogs,
    Files,
    NoteComments,
    Notes,
)
from tap_pendo_pipedrive.streams.pipedrive.admin import (
    Currencies,
    Filters,
    Goals,
    LegacyTeams,
    PermissionSetAssignments,
    PermissionSets,
    RoleAssignments,
    Roles,
    RoleSettings,
    Users,
)
from tap_pendo_pipedrive.streams.pipedrive.client import PipedriveClient
from tap_pendo_pipedrive.streams.pipedrive.contacts import (
    OrganizationFollowers,
    OrganizationRelationships,
    Organizations,
    PersonFollowers,
    Persons,
)
from tap_pendo_pipedrive.streams.pipedrive.custom_fields import (
    CustomFieldStream,
    FieldStream,
    Pins,
)
from tap_pendo_pipedrive.streams.pipedrive.fields import (
    ActivityFields,
    DealFields,
    LeadFields,
    NoteFields,
    OrganizationFields,
    PersonFields,
    ProductFields,
    ProjectFields,
)
from tap_pendo_pipedrive.streams.pipedrive.live_ids import ENTITIES, LiveIds
from tap_pendo_pipedrive.streams.pipedrive.mail import MailMessages, MailThreads
from tap_pendo_pipedrive.streams.pipedrive.products import (
    ProductFollowers,
    Products,
    ProductVariations,
)
from tap_pendo_pipedrive.streams.pipedrive.projects import (
    ProjectBoards,
    ProjectPhases,
    Projects,
    ProjectTemplates,
    Tasks,
)
from tap_pendo_pipedrive.streams.pipedrive.sales import (
    DealFlow,
    DealFollowers,
    DealInstallments,
    DealParticipants,
    DealProducts,
    Deals,
    LeadLabels,
    Leads,
    LeadSources,
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
    CallLogs,
    Currencies,
    DealFields,
    DealFlow,
    DealFollowers,
    DealInstallments,
    DealParticipants,
    DealProducts,
    Deals,
    Files,
    Filters,
    Goals,
    LeadFields,
    LeadLabels,
    LeadSources,
    Leads,
    LegacyTeams,
    LiveIds,
    MailMessages,
    MailThreads,
    NoteComments,
    NoteFields,
    Notes,
    OrganizationFields,
    OrganizationFollowers,
    OrganizationRelationships,
    Organizations,
    PermissionSetAssignments,
    PermissionSets,
    PersonFields,
    PersonFollowers,
    Persons,
    Pipelines,
    ProductFields,
    ProductFollowers,
    ProductVariations,
    Products,
    ProjectBoards,
    ProjectFields,
    ProjectPhases,
    ProjectTemplates,
    Projects,
    RoleAssignments,
    RoleSettings,
    Roles,
    Stages,
    Tasks,
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
