"""JSON Schemas of the streams, one folder per service and one file per stream."""
