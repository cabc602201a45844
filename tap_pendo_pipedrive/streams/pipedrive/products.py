"""Products with what belongs to them."""

from __future__ import annotations

from tap_pendo_pipedrive.streams.pipedrive.children import ChildStream, ParentStream
from tap_pendo_pipedrive.streams.pipedrive.custom_fields import CustomFieldStream
from tap_pendo_pipedrive.streams.pipedrive.stream import CursorStream


class Products(ParentStream, CustomFieldStream, CursorStream):
    """Products with their prices. The API has no `updated_until` for them."""

    name = "pipedrive_products"
    path = "/api/v2/products"
    primary_keys = ("id",)
    replication_key = "update_time"
    filtered = in_order = gated = True
    fields_stream = "pipedrive_product_fields"


class ProductVariations(ChildStream, CursorStream):
    """Variations of products with their prices."""

    name = "pipedrive_product_variations"
    path = "/api/v2/products/{id}/variations"
    primary_keys = ("id",)
    gated = True
    parent_stream_type = Products
    parent_key = "product_id"


class ProductFollowers(ChildStream, CursorStream):
    """Users who follow products."""

    name = "pipedrive_product_followers"
    path = "/api/v2/products/{id}/followers"
    primary_keys = ("product_id", "user_id")
    parent_stream_type = Products
    parent_key = "product_id"
