"""JSON Schemas of the Pipedrive streams."""
