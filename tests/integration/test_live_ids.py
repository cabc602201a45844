"""The ids of what exists: vanished rows of every kind are seen, for as few tokens as can be."""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from tests import harness
from tests.integration.expected import LIVE as TABLES
from tests.sandbox import changes
from tests.sandbox.pipedrive import refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness import Run
    from tests.integration.conftest import Sync
    from tests.sandbox.company import Company
    from tests.sandbox.pipedrive import PipedriveServer
    from tests.sandbox.server import Request

LIVE = "pipedrive_live_ids"
READERS = [f"pipedrive_{table}" for table in TABLES.values()]


def existing(company: Company) -> dict[str, set[str]]:
    """What the company has, by entity."""
    return {
        entity: {
            str(key) for key, row in company.tables[table].items() if not row.get("is_deleted")
        }
        for entity, table in TABLES.items()
    }


def found(run: Run) -> dict[str, set[str]]:
    ids: dict[str, set[str]] = defaultdict(set)
    for each in run.records(LIVE):
        assert each.keys() == {"entity", "id"}
        ids[each["entity"]].add(each["id"])
    return ids


def tokens(pipedrive: PipedriveServer) -> int:
    return sum(request.cost for request in pipedrive.requests)


def test_it_is_not_selected_by_default(config: dict[str, Any], sync: Sync) -> None:
    catalog = harness.discover(config)
    entry = next(each for each in catalog["streams"] if each["tap_stream_id"] == LIVE)
    root = next(each["metadata"] for each in entry["metadata"] if each["breadcrumb"] == [])
    assert root["selected-by-default"] is False
    assert entry["key_properties"] == ["entity", "id"]
    assert LIVE not in sync(catalog=catalog).streams


def test_alone_it_lists_every_entity(company: Company, sync_only: Sync) -> None:
    run = sync_only(LIVE)
    assert run.exit_code == 0
    assert found(run) == existing(company)
    assert len(run.records(LIVE)) == sum(map(len, existing(company).values()))
    assert [each["stream"] for each in run.of_type("ACTIVATE_VERSION")] == [LIVE]


def test_bodies_are_as_small_as_can_be(
    company: Company, pipedrive: PipedriveServer, sync_only: Sync
) -> None:
    # Definitions of custom fields are not fetched for this, but used if they are there.
    fields = [f"pipedrive_{entity}_fields" for entity in ("deal", "organization", "person")]
    sync_only(LIVE, *fields)
    pipedrive.requests.clear()
    sync_only(LIVE, *fields)
    lists = [each for each in pipedrive.requests if not each.path.endswith("Fields")]
    assert {request.path for request in lists} == {
        "/api/v2/activities",
        "/api/v2/deals",
        "/api/v2/deals/archived",
        "/api/v2/organizations",
        "/api/v2/persons",
        "/api/v2/products",
        "/v1/leads",
        "/v1/leads/archived",
        "/v1/notes",
    }
    for request in lists:
        assert "include_fields" not in request.params
        assert request.params["limit"] == "500"
        entity = request.path.removesuffix("/archived").rpartition("/")[2]
        narrow = request.path.startswith("/api") and entity in {"deals", "organizations", "persons"}
        assert ("custom_fields" in request.params) == narrow
    assert len(company.tables["persons"]) > 0


@pytest.mark.parametrize("windows", [False, True])
def test_lists_that_are_read_in_full_anyway_are_not_read_again(
    windows: bool,
    company: Company,
    pipedrive: PipedriveServer,
    sync_only: Sync,
    request: pytest.FixtureRequest,
) -> None:
    if windows:
        request.getfixturevalue("small_pages")
    sync_only(*READERS)
    sync_only(*READERS, LIVE)
    pipedrive.requests.clear()
    plain = sync_only(*READERS)
    cost = tokens(pipedrive)
    pipedrive.requests.clear()
    run = sync_only(*READERS, LIVE)
    assert found(run) == existing(company)
    # A page for what changed meanwhile in each list that was long enough for windows; the one of
    # archived deals is not.
    assert tokens(pipedrive) == cost + (sum((10, 10, 10, 10)) if windows else 0)
    for stream in READERS:
        assert len(run.records(stream)) == len(plain.records(stream))


def test_incremental_runs_read_the_lists(company: Company, sync_only: Sync) -> None:
    first = sync_only(*READERS, LIVE)
    company.add("persons", name="Somebody new")
    run = sync_only(*READERS, LIVE, state=first.state)
    assert len(run.records("pipedrive_persons")) < 10
    assert found(run) == existing(company)


def test_a_row_that_moves_between_windows_is_not_taken_for_gone(
    company: Company, pipedrive: PipedriveServer, sync_only: Sync, small_pages: int
) -> None:
    sync_only("pipedrive_persons", LIVE)
    persons = company.tables["persons"]
    keys = sorted(persons, key=lambda key: persons[key]["update_time"] or "")
    moving = keys[len(keys) // 2 :]
    moved: list[int] = []

    def edit(request: Request) -> None:
        # As soon as the end of the list was read, rows of the windows before it move there.
        if request.path.endswith("/persons") and "updated_until" in request.params and not moved:
            moved.extend(moving[:5])
            for key in moved:
                company.edit("persons", key, name="Moved")

    pipedrive.fault = edit
    run = sync_only("pipedrive_persons", LIVE)
    assert moved
    assert found(run)["person"] == existing(company)["person"]


def test_a_list_that_failed_is_read_by_itself(
    company: Company, pipedrive: PipedriveServer, sync_only: Sync
) -> None:
    sync_only("pipedrive_deals", LIVE)
    pipedrive.fault = lambda request: (
        refuse(500, "/api/v2/deals/archived")(request)
        if "include_fields" in request.params
        else None
    )
    run = sync_only("pipedrive_deals", LIVE, max_retries=0)
    assert run.exit_code == 1
    assert found(run) == existing(company)


def test_an_entity_that_is_forbidden_is_left_out(
    company: Company,
    pipedrive: PipedriveServer,
    sync_only: Sync,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sync_only(LIVE)
    pipedrive.fault = refuse(403, "/v1/leads")
    run = sync_only(LIVE)
    assert run.exit_code == 0
    assert found(run) == {each: ids for each, ids in existing(company).items() if each != "lead"}
    assert "pipedrive_live_ids: without the ids of lead" in harness.log_text(caplog)


def test_a_failure_activates_nothing(pipedrive: PipedriveServer, sync_only: Sync) -> None:
    sync_only(LIVE)
    pipedrive.fault = refuse(500, "/v1/notes")
    run = sync_only(LIVE, max_retries=0)
    assert run.exit_code == 1
    assert run.of_type("ACTIVATE_VERSION") == []


def test_everything_that_can_vanish_is_missing_the_next_time(
    company: Company, sync_only: Sync
) -> None:
    before = sync_only(*READERS, LIVE)
    gone = {table: {str(key) for key in keys} for table, keys in changes.clear_out(company).items()}
    run = sync_only(*READERS, LIVE, state=before.state)
    assert found(run) == existing(company)
    vanished = {entity: ids - found(run)[entity] for entity, ids in found(before).items()}
    for entity, table in TABLES.items():
        assert vanished[entity] == gone.get(table, set()) & found(before)[entity], entity
    assert all(vanished[entity] for entity in ("person", "organization", "lead", "deal"))


def _merge(company: Company) -> tuple[str, Any]:
    gone, kept = sorted(company.tables["persons"])[:2]
    company.merge("persons", gone, kept)
    return "person", gone


def _convert(company: Company) -> tuple[str, Any]:
    lead = next(key for key, row in company.tables["leads"].items() if not row["is_archived"])
    company.convert_lead(lead)
    return "lead", lead


@pytest.mark.parametrize("happen", [_merge, _convert])
def test_merges_and_conversions(
    happen: Callable[[Company], tuple[str, Any]], company: Company, sync_only: Sync
) -> None:
    before = copy.deepcopy(existing(company))
    entity, gone = happen(company)
    run = sync_only(LIVE)
    assert before[entity] - found(run)[entity] == {str(gone)}
