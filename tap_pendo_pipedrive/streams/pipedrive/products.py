"""Products with their prices."""

from __future__ import annotations

from tap_pendo_pipedrive.streams.pipedrive.custom_fields import CustomFieldStream
from tap_pendo_pipedrive.streams.pipedrive.stream import CursorStream


class Products(CustomFieldStream, CursorStream):
    """Products with their prices. The API has no `updated_until` for them."""

    name = "pipedrive_products"
    path = "/api/v2/products"
    primary_keys = ("id",)
    replication_key = "update_time"
    filtered = in_order = gated = True
    fields_stream = "pipedrive_product_fields"
