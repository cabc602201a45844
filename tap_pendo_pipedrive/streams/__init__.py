"""Every stream, by service."""

from tap_pendo_pipedrive.streams.pendo import PENDO_STREAMS, pendo_streams
from tap_pendo_pipedrive.streams.pipedrive import PIPEDRIVE_STREAMS, pipedrive_streams

__all__ = ["PENDO_STREAMS", "PIPEDRIVE_STREAMS", "pendo_streams", "pipedrive_streams"]
