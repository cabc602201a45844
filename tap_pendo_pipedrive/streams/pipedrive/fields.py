"""Field definitions of each entity: names, types, options, and who sees them."""

from __future__ import annotations

from tap_pendo_pipedrive.streams.pipedrive.custom_fields import FieldStream
from tap_pendo_pipedrive.streams.pipedrive.stream import OffsetStream, V1Stream

_ALL = ("ui_visibility", "important_fields", "required_fields")


class ActivityFields(FieldStream):
    """Fields of activities. By OAuth it takes the scope `admin`."""

    name = "pipedrive_activity_fields"
    path = "/api/v2/activityFields"
    include_fields = ("ui_visibility",)


class DealFields(FieldStream):
    """Fields of deals; leads inherit the custom ones."""

    name = "pipedrive_deal_fields"
    path = "/api/v2/dealFields"
    include_fields = _ALL


class OrganizationFields(FieldStream):
    """Fields of organizations."""

    name = "pipedrive_organization_fields"
    path = "/api/v2/organizationFields"
    include_fields = _ALL


class PersonFields(FieldStream):
    """Fields of persons."""

    name = "pipedrive_person_fields"
    path = "/api/v2/personFields"
    include_fields = _ALL


class ProductFields(FieldStream):
    """Fields of products."""

    name = "pipedrive_product_fields"
    path = "/api/v2/productFields"
    include_fields = ("ui_visibility",)
    gated = True


class ProjectFields(FieldStream):
    """Fields of projects."""

    name = "pipedrive_project_fields"
    path = "/api/v2/projectFields"
    gated = True


class LeadFields(OffsetStream):
    """Fields of leads: their own, and those of deals that they inherit, with the parts of each."""

    name = "pipedrive_lead_fields"
    path = "/v1/leadFields"
    primary_keys = ("key",)
    gated = True


class NoteFields(V1Stream):
    """Fields of notes."""

    name = "pipedrive_note_fields"
    path = "/v1/noteFields"
    primary_keys = ("key",)
