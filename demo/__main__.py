"""Runs the demo: `make demo`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import psycopg
from dotenv import dotenv_values

from demo import database, sandbox
from demo.console import heading, say, table
from demo.pipeline import Pipeline, PipelineFailed
from demo.questions import QUESTIONS

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".demo"
CHANGES = 200

PREFIX = "TAP_PENDO_PIPEDRIVE_"
#: Any of these in the environment or in .env means: real accounts.
CREDENTIALS = (
    f"{PREFIX}PIPEDRIVE_API_TOKEN",
    f"{PREFIX}PIPEDRIVE_REFRESH_TOKEN",
    f"{PREFIX}PENDO_INTEGRATION_KEY",
)


def main() -> int:
    """Run the demo and say how it went."""
    # SIGTERM and SIGHUP end the demo like Ctrl-C: through every clean-up on the way.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    start = time.monotonic()
    try:
        with contextlib.ExitStack() as stack:
            _demo(stack)
    except KeyboardInterrupt:
        say("Stopped.")
        return 130
    except (PipelineFailed, RuntimeError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    heading(f"Done in {time.monotonic() - start:.0f} s")
    return 0


def _demo(stack: contextlib.ExitStack) -> None:
    known = {**dotenv_values(ROOT / ".env"), **os.environ}
    real = any(known.get(name) for name in CREDENTIALS)
    # Real and invented data stay apart: in folders, and in a database that both may use.
    folder = FOLDER / ("real" if real else "sandbox")
    folder.mkdir(parents=True, exist_ok=True)

    company = None
    if real:
        heading("Real accounts: the credentials in .env or the environment")
    else:
        heading("No credentials in .env: starting the sandbox that plays Pendo and Pipedrive")
        company = stack.enter_context(sandbox.running(ROOT))
        say(f"Pipedrive at {company.pipedrive_url}, Pendo at {company.pendo_url}")

    own_database = known.get("DATABASE_URL")
    if own_database:
        heading("PostgreSQL: the one in DATABASE_URL")
        address = own_database
    else:
        heading("Starting an embedded PostgreSQL")
        address = stack.enter_context(database.embedded(folder / "pg"))
        say(address)
    tables = database.Tables(address, "pendo_pipedrive" if real else "pendo_pipedrive_demo")

    if company:
        # Each demo with invented data starts from nothing. What is not the demo's own stays.
        for file in folder.glob("meltano.db*"):
            file.unlink()
        if not own_database:
            tables.drop()

    heading("Installing the tap and the target with Meltano")
    pipeline = Pipeline(ROOT, folder, {**tables.settings, **(company.settings if company else {})})
    pipeline.install()

    heading("First run: everything" if company else "First run")
    _load(pipeline, 1, company)
    before = tables.row_counts()
    heading("Rows")
    table(("table", "rows"), [*before.items(), ("total", sum(before.values()))])
    _answer(tables)

    if company:
        heading(f"{CHANGES} changes, then a second run: only what has changed")
        for kind, count in company.change(CHANGES)["kinds"].items():
            say(f"{count:3} x {kind}")
    else:
        heading("Second run: only what has changed")
    _load(pipeline, 2, company)
    after = tables.row_counts()
    heading("Rows after the second run")
    changed = [(name, before.get(name, 0), rows) for name, rows in after.items()]
    table(("table", "before", "after"), [row for row in changed if row[1] != row[2]])
    totals = [f"{sum(counts.values()):,}" for counts in (before, after)]
    say(f"In total {totals[0]}, then {totals[1]}; the other tables are as before.")
    _costs()


_runs: list[tuple[str, float, dict[str, sandbox.Usage]]] = []


def _load(pipeline: Pipeline, number: int, company: sandbox.Sandbox | None) -> None:
    earlier = company.usage() if company else {}
    start = time.monotonic()
    pipeline.run(number)
    seconds = time.monotonic() - start
    usage = (
        {name: used - earlier[name] for name, used in company.usage().items()} if company else {}
    )
    _runs.append((f"run {number}", seconds, usage))


def _costs() -> None:
    heading("What the runs cost")
    services = list(_runs[0][2])
    header = ["", "seconds"]
    for service in services:
        header += [f"{service} requests", f"{service} tokens"]
    rows = []
    for name, seconds, usage in _runs:
        counts = [count for used in usage.values() for count in (used.requests, used.tokens)]
        rows.append((name, f"{seconds:.1f}", *counts))
    table(header, rows)


def _answer(tables: database.Tables) -> None:
    for title, text in QUESTIONS:
        heading(title)
        try:
            header, rows = tables.query(text)
        except psycopg.errors.UndefinedTable:
            say("(takes the tables of both services)")
            continue
        table(header, rows)
        if not rows:
            say("(none)")


if __name__ == "__main__":
    sys.exit(main())
