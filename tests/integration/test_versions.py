"""ACTIVATE_VERSION: after a stream was read whole, and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import harness
from tests.integration.expected import STREAMS
from tests.sandbox.server import Fault

if TYPE_CHECKING:
    from tests.harness import Run
    from tests.integration.conftest import Sync
    from tests.sandbox.company import Company
    from tests.sandbox.pipedrive import PipedriveServer

#: Full-table streams without a parent that has a replication key.
WHOLE = {name for name, each in STREAMS.items() if each.replication_key is None} - {
    "pipedrive_deal_installments",
    "pipedrive_deal_products",
    "pipedrive_mail_threads",  # Has a column `version`, which target-postgres cannot take.
}


def activated(run: Run) -> set[str]:
    return {message["stream"] for message in run.of_type("ACTIVATE_VERSION")}


def assert_versions_end_streams(run: Run) -> None:
    """A version is activated once, behind all records, which carry it; others carry none."""
    versions: dict[str, int] = {}
    for message in run.messages:
        if message["type"] == "ACTIVATE_VERSION":
            assert message["stream"] not in versions
            versions[message["stream"]] = message["version"]
        elif message["type"] == "RECORD":
            assert message["stream"] not in versions
    for message in run.of_type("RECORD"):
        assert message.get("version") == versions.get(message["stream"])


def test_streams_that_are_read_whole(sync: Sync) -> None:
    run = sync()
    assert activated(run) == WHOLE
    assert_versions_end_streams(run)


def test_a_list_that_is_empty_now(company: Company, sync_only: Sync) -> None:
    company.tables["roles"].clear()
    company.touch("roles")
    run = sync_only("pipedrive_roles")
    assert run.records("pipedrive_roles") == []
    assert activated(run) == {"pipedrive_roles"}


@pytest.mark.parametrize("status", [403, 404, 500])
def test_no_stream_that_was_not_read_to_its_end(
    status: int, pipedrive: PipedriveServer, sync_only: Sync
) -> None:
    pipedrive.fault = lambda request: (
        Fault(status=status, body={"success": False}) if request.path == "/v1/roles" else None
    )
    run = sync_only("pipedrive_roles", "pipedrive_currencies", max_retries=0)
    assert activated(run) == {"pipedrive_currencies"}


def test_not_when_the_budget_ends_the_run(pipedrive: PipedriveServer, sync_only: Sync) -> None:
    streams = ("pipedrive_currencies", "pipedrive_permission_sets", "pipedrive_roles")
    sync_only(*streams)
    pipedrive.daily_tokens, pipedrive.daily_used = 40, 0
    run = sync_only(*streams, max_concurrency=1)
    assert run.exit_code == 0
    assert activated(run) == set(streams[:2])


def forced(catalog: dict[str, Any], *streams: str) -> dict[str, Any]:
    """Let streams be read whole in each run."""
    for entry in catalog["streams"]:
        if entry["tap_stream_id"] in streams:
            entry["replication_method"] = "FULL_TABLE"
    return catalog


def test_an_incremental_stream_that_the_user_reads_whole(
    company: Company, config: dict[str, Any], sync: Sync
) -> None:
    streams = ("pipedrive_deals", "pipedrive_deal_products", "pipedrive_persons")
    catalog = harness.select(harness.discover(config), *streams)
    first = sync(catalog=catalog)
    assert activated(first) == set()
    whole = forced(catalog, "pipedrive_deals", "pipedrive_persons")
    run = sync(catalog=whole, state=first.state)
    # Children of a parent that is read whole are whole too.
    assert activated(run) == set(streams)
    assert_versions_end_streams(run)
    assert len(run.records("pipedrive_persons")) == len(company.tables["persons"])


def test_the_setting(sync_only: Sync) -> None:
    run = sync_only("pipedrive_roles", emit_activate_version_messages=False)
    assert run.records("pipedrive_roles")
    assert activated(run) == set()
    assert not any("version" in each for each in run.of_type("RECORD"))
