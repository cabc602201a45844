"""Run the tap with ``python -m tap_pendo_pipedrive``."""

from tap_pendo_pipedrive.tap import TapPendoPipedrive

TapPendoPipedrive.cli()
