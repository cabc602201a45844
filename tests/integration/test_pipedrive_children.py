"""Pipedrive's streams that take requests by parent, and those that not every account has."""

from __future__ import annotations

import datetime as dt
import logging
import math
import re
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tap_pendo_pipedrive.streams.pipedrive import mail
from tests import harness
from tests.harness import Run, Tables, log_text
from tests.integration import expected
from tests.integration.expected import CATALOG, CHILDREN, PIPEDRIVE
from tests.integration.test_incremental import check_every_state
from tests.sandbox import Company, Fault, PipedriveServer, refuse
from tests.sandbox.endpoints import ENDPOINTS, find

if TYPE_CHECKING:
    from tests.integration.conftest import Sync
    from tests.sandbox.server import Request

ALL = PIPEDRIVE | CHILDREN
#: The streams that are asked for by parent, and their parents.
FAMILIES = {
    "pipedrive_deals": (
        "pipedrive_deal_flow",
        "pipedrive_deal_followers",
        "pipedrive_deal_installments",
        "pipedrive_deal_participants",
        "pipedrive_deal_products",
    ),
    "pipedrive_mail_threads": ("pipedrive_mail_messages",),
    "pipedrive_notes": ("pipedrive_note_comments",),
    "pipedrive_organizations": (
        "pipedrive_organization_followers",
        "pipedrive_organization_relationships",
    ),
    "pipedrive_permission_sets": ("pipedrive_permission_set_assignments",),
    "pipedrive_persons": ("pipedrive_person_followers",),
    "pipedrive_products": ("pipedrive_product_followers", "pipedrive_product_variations"),
    "pipedrive_project_boards": ("pipedrive_project_phases",),
    "pipedrive_roles": ("pipedrive_role_assignments", "pipedrive_role_settings"),
}
PARENT_OF = {child: parent for parent, children in FAMILIES.items() for child in children}
#: Of all of them at once.
FAMILY = tuple(sorted({*PARENT_OF, *PARENT_OF.values()}))
OF_DEALS = ("pipedrive_deals", *FAMILIES["pipedrive_deals"])
MAIL = ("pipedrive_mail_threads", "pipedrive_mail_messages")
#: Streams that some plans, add-ons or scopes lack.
GATED = (
    "pipedrive_call_logs",
    "pipedrive_deal_installments",
    "pipedrive_goals",
    "pipedrive_lead_fields",
    "pipedrive_lead_sources",
    "pipedrive_legacy_teams",
    "pipedrive_mail_threads",
    "pipedrive_product_variations",
    "pipedrive_project_boards",
    "pipedrive_project_fields",
    "pipedrive_project_templates",
    "pipedrive_projects",
    "pipedrive_tasks",
)
TOKENS = re.compile(r"(pipedrive_\w+): .* (\d+) requests \(0 retries\), (\d+) API tokens")


def asked(server: PipedriveServer, stream: str) -> list[Request]:
    """The requests of a stream."""
    return [r for r in server.requests if find(r.path)[0] == ALL[stream].path]


def parents_asked(server: PipedriveServer, stream: str) -> Counter[str]:
    """How often each parent's records were asked for."""
    return Counter(
        parent if (parent := find(r.path)[1]) else next(iter(r.params.values()))
        for r in asked(server, stream)
    )


def outcome(caplog: pytest.LogCaptureFixture, stream: str) -> str:
    """How a stream ended, as the log's summary says."""
    found = re.findall(rf"{stream}: ([a-z ]+); \d+ records", log_text(caplog))
    assert len(found) == 1
    return str(found[0])


# A full sync.


class Everything:
    """One run of every Pipedrive stream."""

    def __init__(self) -> None:
        self.company = Company(scale=0.03)
        self.log: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self.log.append(record.getMessage())  # type: ignore[method-assign]
        logger = logging.getLogger("tap-pendo-pipedrive")
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        with PipedriveServer(self.company) as server, pytest.MonkeyPatch.context() as patch:
            server.latency = 0.002
            config = {"pipedrive_api_token": server.token, "pipedrive_api_url": server.url}
            catalog = harness.select(harness.discover(config), *ALL)
            server.reset()
            self.run: Run = harness.run_tap(patch, config, catalog=catalog)
            self.server = server
        logger.removeHandler(handler)
        self.tables = Tables().load(self.run.messages)

    def rows(self, stream: str) -> int:
        return len(self.company.rows(stream))


@pytest.fixture(scope="module")
def everything() -> Everything:
    return Everything()


def test_every_stream_succeeds(everything: Everything) -> None:
    assert (everything.run.exit_code, everything.run.error) == (0, "")
    assert everything.server.errors == []
    assert {request.status for request in everything.server.requests} == {200}


@pytest.mark.parametrize("stream", ALL)
def test_tables_equal_the_company(everything: Everything, stream: str) -> None:
    assert everything.company.rows(stream)
    expected.check(everything.tables, everything.company, [stream])
    keys = [ALL[stream].key_of(record) for record in everything.run.records(stream)]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("stream", sorted({*CHILDREN} - {"pipedrive_deal_flow"}))
def test_each_parent_is_asked_once(everything: Everything, stream: str) -> None:
    parents = {str(row["id"]) for row in everything.company.rows(PARENT_OF[stream])}
    assert parents_asked(everything.server, stream) == dict.fromkeys(parents, 1)


def test_a_long_flow_has_pages(everything: Everything) -> None:
    flows = Counter(row["item_id"] for row in everything.company.rows("deal_flow"))
    deals = {row["id"] for row in everything.company.rows("deals")}
    pages = {str(deal): max(1, math.ceil(flows[deal] / 500)) for deal in deals}
    assert max(pages.values()) == 2
    assert parents_asked(everything.server, "pipedrive_deal_flow") == pages
    for request in asked(everything.server, "pipedrive_deal_flow"):
        assert request.params["items"] == "dealChange"
        assert request.params["all_changes"] == "1"
    kinds = {type(row["new_value"]) for row in everything.company.rows("deal_flow")}
    assert {str, int, float, list, dict, type(None)} <= kinds


def test_requests_for_everything(everything: Everything) -> None:
    """Tokens and requests are what the API charges, and none are wasted."""
    billed = {
        match[1]: (int(match[2]), int(match[3]))
        for match in map(TOKENS.search, everything.log)
        if match
    }
    for stream, (requests, tokens) in billed.items():
        paths = {ALL[stream].path, f"{ALL[stream].path}/archived"} & set(ENDPOINTS)
        sent = [r for r in everything.server.requests if find(r.path)[0] in paths]
        if not stream.endswith("_fields") or stream in {
            "pipedrive_lead_fields",
            "pipedrive_note_fields",
        }:
            assert requests == len(sent), stream
            assert tokens == sum(ENDPOINTS[find(r.path)[0]].cost for r in sent), stream
    assert set(billed) == set(ALL)
    boards = everything.rows("project_boards")
    roles, sets = everything.rows("roles"), everything.rows("permission_sets")
    # Each of four folders, and one more request to see that its list has ended.
    assert billed["pipedrive_mail_threads"] == (8, 160)
    assert billed["pipedrive_goals"] == (2, 40)
    assert billed["pipedrive_projects"] == (2, 20)
    assert billed["pipedrive_project_phases"] == (boards, 10 * boards)
    assert billed["pipedrive_role_settings"] == (roles, 20 * roles)
    assert billed["pipedrive_role_assignments"] == (roles, 10 * roles)
    assert billed["pipedrive_permission_set_assignments"] == (sets, 20 * sets)
    assert billed["pipedrive_lead_sources"] == (1, 2)


def test_children_of_several_parents_are_in_flight_at_once(everything: Everything) -> None:
    assert everything.server.max_in_flight == 6


def test_what_is_not_active_comes_too(everything: Everything) -> None:
    records = everything.run.records
    assert {row["is_active"] for row in records("pipedrive_goals")} == {True, False}
    projects = records("pipedrive_projects")
    assert {row["is_archived"] for row in projects} == {True, False}
    assert any(row["status"] == "deleted" for row in projects)
    threads = Counter(row["id"] for row in records("pipedrive_mail_threads"))
    assert set(threads.values()) == {1, 2}
    assert {row["folder"] for row in records("pipedrive_mail_threads")} == set(mail.FOLDERS)


def test_projects_as_the_settings_say(sync_only: Sync, company: Company) -> None:
    wanted = expected.rows(company, "pipedrive_projects")
    run = sync_only("pipedrive_projects", pipedrive_include_deleted=False)
    left = {key: row for key, row in wanted.items() if row["status"] != "deleted"}
    table = Tables().load(run.messages).rows["pipedrive_projects"]
    expected.compare("pipedrive_projects", table, left)
    run = sync_only("pipedrive_projects", pipedrive_include_archived=False)
    left = {key: row for key, row in wanted.items() if not row["is_archived"]}
    table = Tables().load(run.messages).rows["pipedrive_projects"]
    expected.compare("pipedrive_projects", table, left)


def test_a_relationship_is_told_from_its_owner(sync_only: Sync, company: Company) -> None:
    """Whichever organization changed."""
    streams = ("pipedrive_organizations", "pipedrive_organization_relationships")
    first = sync_only(*streams)
    table = company.tables["organization_relationships"]
    key, tie = next((key, row) for key, row in table.items() if row["type"] == "parent")
    company.edit("organizations", tie["rel_linked_org_id"], name="Another name")
    second = sync_only(*streams, state=first.state)
    row = next(r for r in second.records(streams[1]) if r["id"] == key)
    assert (row["calculated_type"], row["related_organization_name"]) == (
        "daughter",
        "Another name",
    )
    expected.check(Tables().load(first.messages).load(second.messages), company, streams)


# What is read by default, and without what.


def test_requests_for_each_parent_are_made_on_purpose_only(
    config: dict[str, Any], sync: Sync, pipedrive: PipedriveServer
) -> None:
    for entry in harness.discover(config)["streams"]:
        root = next(m["metadata"] for m in entry["metadata"] if not m["breadcrumb"])
        if entry["tap_stream_id"] in ALL:
            by_default = entry["tap_stream_id"] in PIPEDRIVE
            assert root["selected-by-default"] is by_default, entry["tap_stream_id"]
    pipedrive.reset()
    run = sync()
    assert not set(run.streams) & set(CHILDREN)
    assert not any(asked(pipedrive, stream) for stream in CHILDREN)


@pytest.mark.parametrize("parent", FAMILIES)
def test_children_without_their_parents(parent: str, sync_only: Sync, company: Company) -> None:
    children = FAMILIES[parent]
    run = sync_only(*children)
    assert (run.exit_code, run.error) == (0, "")
    assert set(run.streams) == set(children)
    expected.check(Tables().load(run.messages), company, children)


# A second run.


def test_a_second_run_asks_for_changed_parents_only(
    sync_only: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    first = sync_only(*FAMILY)
    tables = Tables().load(first.messages)
    # Away from the second of the bookmarks, whose rows are read again.
    company.tick(10)
    texts = {"deals": "title", "mail_threads": "subject", "notes": "content"}
    changed: dict[str, set[str]] = {}
    for parent in ("deals", "persons", "organizations", "products", "notes", "mail_threads"):
        keys = [k for k, row in company.tables[parent].items() if not row.get("is_deleted")][3:6]
        changed[parent] = {str(key) for key in keys}
        for key in keys:
            company.edit(parent, key, **{texts.get(parent, "name"): "Edited"})
    again = {
        parent: {
            str(row["id"])
            for row in company.rows(parent)
            if row["update_time"] and row["update_time"][:19] >= _bookmark(first, parent, row)
        }
        for parent in changed
    }
    pipedrive.reset()
    second = sync_only(*FAMILY, state=first.state)
    assert second.exit_code == 0
    for child in CHILDREN:
        parent = PARENT_OF[child].removeprefix("pipedrive_")
        assert changed[parent] <= set(parents_asked(pipedrive, child)) <= again[parent], child
        assert len(again[parent]) < len(company.tables[parent]) / 3
    assert second.records("pipedrive_deal_flow")
    # A participant holds a copy of its person, as old as the deal's last change.
    compared = {*CHILDREN, "pipedrive_deal_installments"} - {"pipedrive_deal_participants"}
    expected.check(tables.load(second.messages), company, compared)


def _bookmark(run: Run, parent: str, row: dict[str, Any]) -> str:
    if parent == "mail_threads":
        mark = run.state["bookmarks"]["pipedrive_mail_messages"][mail.MailMessages.READ_UNTIL]
    else:
        context = {"is_archived": row["is_archived"]} if parent == "deals" else {}
        mark = run.bookmark(f"pipedrive_{parent}", **context)
    return str(mark).replace("T", " " if parent == "notes" else "T")[:19]


# The flow of deals.


def test_a_flow_comes_whole_whatever_its_bookmark_says(
    sync_only: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    """A change that comes after the reading of its deal, and before that of the others' flows."""
    streams = ("pipedrive_deals", "pipedrive_deal_flow")
    deals = [key for key, row in company.tables["deals"].items() if not row["is_archived"]]
    late = {"/api/v2/deals/archived": deals[0], f"/v1/deals/{deals[5]}/flow": deals[1]}

    def change(request: Request) -> None:
        if request.path in late:
            company.edit("deals", late.pop(request.path), title="Changed meanwhile")
            for key in deals[7:9]:
                company.edit("deals", key, title="Newer than that")

    pipedrive.fault = change
    first = sync_only(*streams)
    assert not late
    pipedrive.fault = None
    latest = max(row["log_time"] for row in first.records("pipedrive_deal_flow"))
    assert first.bookmark("pipedrive_deal_flow") == latest
    second = sync_only(*streams, state=first.state)
    expected.check(Tables().load(first.messages).load(second.messages), company, streams)


def test_flows_are_cut_by_start_and_end_date(sync_only: Sync, company: Company) -> None:
    times = sorted(
        row["log_time"] for row in expected.rows(company, "pipedrive_deal_flow").values()
    )
    low, high = times[len(times) // 3], times[len(times) * 2 // 3]
    # All deals have changed since, so only the rows' own times count.
    for key, row in company.tables["deals"].items():
        if not row["is_deleted"]:
            company.edit("deals", key)
    run = sync_only("pipedrive_deal_flow", start_date=low)
    found = [row["log_time"] for row in run.records("pipedrive_deal_flow")]
    assert found
    assert min(found) >= low
    run = sync_only("pipedrive_deal_flow", start_date=low, end_date=high)
    assert all(low <= row["log_time"] < high for row in run.records("pipedrive_deal_flow"))


# Mail.


def mark(run: Run) -> str | None:
    state = run.state["bookmarks"].get("pipedrive_mail_messages", {})
    assert set(state) <= {mail.MailMessages.READ_UNTIL}
    value: str | None = state.get(mail.MailMessages.READ_UNTIL)
    return value


def by_change(company: Company) -> list[str]:
    """The threads' ids in the order of their changes."""
    threads = sorted(company.tables["mail_threads"].values(), key=lambda row: row["update_time"])
    return [str(row["id"]) for row in threads]


def test_the_mark_of_mail_is_the_latest_change(
    sync_only: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    first = sync_only(*MAIL)
    assert parents_asked(pipedrive, MAIL[1]) == dict.fromkeys(by_change(company), 1)
    assert mark(first) == max(row["update_time"] for row in company.tables["mail_threads"].values())
    pipedrive.reset()
    second = sync_only(*MAIL, state=first.state)
    assert set(parents_asked(pipedrive, MAIL[1])) == {by_change(company)[-1]}
    assert mark(second) == mark(first)


@pytest.mark.parametrize("answered", [0, 1, 7, 15])
@pytest.mark.parametrize("with_threads", [True, False])
def test_mail_that_fails_goes_on_where_it_was(
    *,
    with_threads: bool,
    answered: int,
    monkeypatch: pytest.MonkeyPatch,
    sync_only: Sync,
    company: Company,
    pipedrive: PipedriveServer,
) -> None:
    monkeypatch.setattr(mail, "THREADS_A_MARK", 3)
    streams = MAIL if with_threads else MAIL[1:]
    order = by_change(company)
    broken = f"/v1/mailbox/mailThreads/{order[answered]}/mailMessages"
    pipedrive.fault = lambda r: Fault(status=500) if r.path == broken else None
    first = sync_only(*streams, max_retries=1)
    assert first.exit_code == 1
    assert "pipedrive_mail_messages" in first.error
    done = answered - answered % 3
    wanted = company.get("mail_threads", int(order[done - 1]))["update_time"] if done else None
    assert mark(first) == wanted
    pipedrive.reset()
    pipedrive.fault = None
    second = sync_only(*streams, state=first.state)
    assert second.exit_code == 0
    assert set(parents_asked(pipedrive, MAIL[1])) == set(order[max(0, done - 1) :])
    expected.check(Tables().load(first.messages).load(second.messages), company, streams)


def test_every_state_of_mail_is_safe(
    monkeypatch: pytest.MonkeyPatch, sync_only: Sync, company: Company
) -> None:
    monkeypatch.setattr(mail, "THREADS_A_MARK", 2)

    def resume(state: dict[str, Any]) -> Run:
        return sync_only(*MAIL, state=state)

    first = sync_only(*MAIL)
    assert check_every_state(first, resume, company, MAIL) > 8


def test_mail_that_moves_while_the_folders_are_listed(
    monkeypatch: pytest.MonkeyPatch,
    sync_only: Sync,
    company: Company,
    pipedrive: PipedriveServer,
) -> None:
    """It is in neither folder at the time when that is read; another thread is newer."""

    class Moment(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Moment:
            del tz
            return cls.fromtimestamp(company.now.timestamp(), dt.timezone.utc)

    monkeypatch.setattr(mail, "dt", SimpleNamespace(datetime=Moment))
    threads = company.tables["mail_threads"]
    moved = next(key for key, row in threads.items() if row["folders"] == ["sent"])
    newer = next(key for key, row in threads.items() if "archive" in row["folders"])
    lists: list[str] = []

    def move(request: Request) -> None:
        if request.path == CATALOG[MAIL[0]].path:
            lists.append(request.params["folder"])
            if request.params["folder"] == "drafts" and lists.count("drafts") == 1:
                company.tick(900)
                company.move_mail_thread(moved, "inbox")
                company.edit("mail_threads", newer, subject="Newer")
                company.edit("mail_messages", _message_of(company, moved), snippet="Moved")

    pipedrive.fault = move
    first = sync_only(*MAIL, max_concurrency=1)
    assert moved not in {row["id"] for row in first.records(MAIL[0])}
    pipedrive.fault = None
    second = sync_only(*MAIL, state=first.state)
    expected.check(Tables().load(first.messages).load(second.messages), company, MAIL[1:])


def _message_of(company: Company, thread: int) -> int:
    rows = company.tables["mail_messages"].values()
    return next(int(row["id"]) for row in rows if row["mail_thread_id"] == thread)


def test_start_and_end_date_of_mail_are_about_the_threads(
    sync_only: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    order = by_change(company)
    times = [company.get("mail_threads", int(key))["update_time"] for key in order]
    company.tables["mail_threads"][int(order[0])]["update_time"] = None
    company.touch("mail_threads")
    run = sync_only(*MAIL, start_date=times[5], end_date=times[12])
    # Nothing says that a thread without a time is old.
    assert set(parents_asked(pipedrive, MAIL[1])) == {order[0], *order[5:12]}
    assert mark(run) == times[11]


@pytest.mark.parametrize("value", ["soon", 7, ["2026-01-01"]])
def test_a_mark_that_is_no_time_fails_the_messages_only(
    value: Any, sync_only: Sync, company: Company, caplog: pytest.LogCaptureFixture
) -> None:
    state = {"bookmarks": {"pipedrive_mail_messages": {mail.MailMessages.READ_UNTIL: value}}}
    run = sync_only(*MAIL, state=state)
    assert run.exit_code == 1
    assert run.error.startswith("Not read to the end: pipedrive_mail_messages.")
    assert "Correct the state" in log_text(caplog)
    expected.check(Tables().load(run.messages), company, MAIL[:1])


# Parents that are gone, and endpoints that are not there.


@pytest.mark.parametrize("child", sorted(PARENT_OF))
def test_a_parent_that_is_gone_meanwhile_is_left_out(
    child: str, sync_only: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    parent = PARENT_OF[child]
    key = list(company.tables[parent.removeprefix("pipedrive_")])[2]
    gone = Fault(status=404, body={"success": False, "error": "not found"})

    def names(request: Request) -> bool:
        path, named = find(request.path)
        if path != ALL[child].path:
            return False
        values = [named, request.params.get("org_id"), request.params.get("board_id")]
        return str(key) in [*values, *request.params.get("deal_ids", "").split(",")]

    pipedrive.fault = lambda request: gone if names(request) else None
    run = sync_only(parent, child)
    assert (run.exit_code, run.error) == (0, "")
    tables = Tables().load(run.messages)
    wanted = expected.rows(company, child)
    link = {"deal_flow": "item_id", "mail_messages": "mail_thread_id", "note_comments": "object_id"}
    column = link.get(
        child.removeprefix("pipedrive_"), f"{parent.removeprefix('pipedrive_')[:-1]}_id"
    )
    column = column.replace("project_board", "board")
    if child != "pipedrive_organization_relationships":
        # Those of the one that is gone come with the other organization.
        wanted = {k: row for k, row in wanted.items() if str(row[column]) != str(key)}
    expected.compare(child, tables.rows[child], wanted)


@pytest.mark.parametrize("status", [402, 403, 404, 410, 415])
@pytest.mark.parametrize("stream", GATED)
def test_what_an_account_does_not_have_is_skipped_by_name(
    *,
    stream: str,
    status: int,
    sync_only: Sync,
    company: Company,
    pipedrive: PipedriveServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipedrive.fault = refuse(status, ALL[stream].path)
    parent = PARENT_OF.get(stream, "pipedrive_users")
    streams = (stream, parent, *FAMILIES.get(stream, ()))
    run = sync_only(*sorted(streams))
    assert (run.exit_code, run.error) == (0, "")
    # Without parents there are no children either.
    skipped = sorted((stream, *FAMILIES.get(stream, ())))
    for each in skipped:
        assert outcome(caplog, each) == "skipped as forbidden"
    assert f"Skipped as forbidden: {', '.join(skipped)}" in log_text(caplog)
    # No more than the requests that are in flight together, or that find a single deal.
    assert len(asked(pipedrive, stream)) <= (15 if stream in PARENT_OF else 4)
    assert not any(asked(pipedrive, child) for child in FAMILIES.get(stream, ()))
    expected.check(Tables().load(run.messages), company, [parent])


@pytest.mark.parametrize("child", ["pipedrive_product_variations", "pipedrive_deal_installments"])
def test_nothing_is_forbidden_because_all_parents_are_gone(
    child: str,
    sync_only: Sync,
    company: Company,
    pipedrive: PipedriveServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whether an endpoint or the parents are not there is told by the parents."""
    parent = PARENT_OF[child]
    none = Fault(status=200, body={"success": True, "data": []})

    def vanish(request: Request) -> Fault | None:
        if find(request.path)[0] == ALL[child].path:
            return Fault(status=404, body={"success": False, "error": "not found"})
        return none if "ids" in request.params else None

    pipedrive.fault = vanish
    run = sync_only(parent, child)
    assert run.exit_code == 0
    assert outcome(caplog, child) == "complete"
    assert run.records(child) == []
    expected.check(Tables().load(run.messages), company, [parent])


@pytest.mark.parametrize("child", ["pipedrive_deal_followers", "pipedrive_mail_messages"])
def test_a_404_of_what_everyone_has_is_about_the_parent(
    child: str, sync_only: Sync, pipedrive: PipedriveServer, caplog: pytest.LogCaptureFixture
) -> None:
    pipedrive.fault = refuse(404, ALL[child].path)
    run = sync_only(PARENT_OF[child], child)
    assert run.exit_code == 0
    assert outcome(caplog, child) == "complete"


# One of several children fails.


@pytest.mark.parametrize("after", [0, 3, 130])
@pytest.mark.parametrize("child", FAMILIES["pipedrive_deals"])
def test_a_child_that_fails_costs_no_other_child_anything(
    child: str, after: int, sync_only: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    answered = 0
    if child in PIPEDRIVE:
        after //= 60

    def fail(request: Request) -> Fault | None:
        nonlocal answered
        if find(request.path)[0] != ALL[child].path:
            return None
        answered += 1
        return Fault(status=500) if answered > after else None

    pipedrive.fault = fail
    first = sync_only(*OF_DEALS, max_retries=1)
    assert first.exit_code == 1
    assert first.error.startswith(f"Not read to the end: {child}.")
    assert len(asked(pipedrive, child)) <= after + 14
    others = set(OF_DEALS) - {child}
    expected.check(Tables().load(first.messages), company, others)
    pipedrive.fault = None
    second = sync_only(*OF_DEALS, state=first.state)
    assert second.exit_code == 0
    expected.check(Tables().load(first.messages).load(second.messages), company, OF_DEALS)


@pytest.mark.parametrize("status", [402, 403])
def test_a_child_that_is_forbidden_leaves_the_others_their_bookmark(
    status: int, sync_only: Sync, company: Company, pipedrive: PipedriveServer
) -> None:
    pipedrive.fault = refuse(status, ALL["pipedrive_deal_flow"].path)
    first = sync_only(*OF_DEALS)
    assert first.exit_code == 0
    expected.check(Tables().load(first.messages), company, set(OF_DEALS) - {"pipedrive_deal_flow"})
    assert len(asked(pipedrive, "pipedrive_deal_flow")) <= 14
    pipedrive.reset()
    sync_only(*OF_DEALS, state=first.state)
    assert len(asked(pipedrive, "pipedrive_deal_followers")) < len(company.tables["deals"]) / 3


@pytest.mark.parametrize("tokens", [4500, 6000])
def test_a_day_that_ends_among_the_children_continues(
    *,
    tokens: int,
    sync_only: Sync,
    company: Company,
    pauses: list[float],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    small_pages: int,
) -> None:
    monkeypatch.setattr(mail, "THREADS_A_MARK", 2)
    streams = (*OF_DEALS, *MAIL)
    tables, state, days = Tables(), None, 0
    with PipedriveServer(company, daily_tokens=tokens) as server:
        own = {"pipedrive_api_token": server.token, "pipedrive_api_url": server.url}
        while days == 0 or "Stopped on the API budget" in log_text(caplog):
            caplog.clear()
            run = sync_only(*streams, state=state, **own)
            assert run.exit_code == 0
            tables.load(run.messages)
            state = run.state
            server.new_day()
            days += 1
            assert days < 40, "no progress from day to day"
    assert days > 2
    expected.check(tables, company, streams)


def test_values_of_any_type_in_a_flow(everything: Everything) -> None:
    schemas = {m["stream"]: m["schema"] for m in everything.run.of_type("SCHEMA")}
    for column in ("old_value", "new_value"):
        definition = schemas["pipedrive_deal_flow"]["properties"][column]
        assert definition["type"] == ["object", "array", "string", "number", "boolean", "null"]
