"""JSON Schemas of the Pendo streams."""
