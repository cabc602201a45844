"""Custom fields: the account's definitions, and the two forms in which values come out.

Source: Pipedrive, "API v2 migration guide" (values by field type) and the Fields API.
"""

from __future__ import annotations

from tap_pendo_pipedrive.streams.pipedrive.custom_fields.naming import Pins
from tap_pendo_pipedrive.streams.pipedrive.custom_fields.streams import (
    CustomFieldStream,
    FieldStream,
)
from tap_pendo_pipedrive.streams.pipedrive.custom_fields.v1 import nest_v1

__all__ = ["CustomFieldStream", "FieldStream", "Pins", "nest_v1"]
