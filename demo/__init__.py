"""The tap's main job, start to end: `make demo`.

Loads Pendo and Pipedrive into PostgreSQL with Meltano. Without credentials it starts a sandbox that
plays both APIs, and without DATABASE_URL a PostgreSQL that comes as a Python package.
"""
