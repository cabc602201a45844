"""Field definitions of each entity: names, types, options, and who sees them."""

from __future__ import annotations

from tap_pendo_pipedrive.streams.pipedrive.custom_fields import FieldStream

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
