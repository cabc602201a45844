"""The vendor's own response examples go through every stream that has one and come out whole.

The examples are not part of this repository.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from werkzeug import Request, Response

from tests.end_to_end.expected import V1_TIME, v1_time
from tests.end_to_end.programs import ROOT
from tests.harness import Run, run_tap

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer

FILE = Path(
    os.environ.get("PIPEDRIVE_EXAMPLES")
    or ROOT.parent / "shared" / "facts" / "pipedrive_examples.json"
)
pytestmark = pytest.mark.skipif(
    not FILE.exists(),
    reason=(
        f"Pipedrive's response examples are missing: put them at {FILE}, or set"
        " PIPEDRIVE_EXAMPLES to their path. They are a JSON object whose `examples` map"
        ' "v2 GET /deals" and its like to the response examples of Pipedrive\'s OpenAPI documents.'
    ),
)

#: Example -> the stream that its rows belong to.
ENDPOINTS = {
    "v2 GET /activities": "pipedrive_activities",
    "v2 GET /activityFields": "pipedrive_activity_fields",
    "v1 GET /activityTypes": "pipedrive_activity_types",
    "v2 GET /boards": "pipedrive_project_boards",
    "v1 GET /callLogs": "pipedrive_call_logs",
    "v1 GET /currencies": "pipedrive_currencies",
    "v2 GET /dealFields": "pipedrive_deal_fields",
    "v2 GET /deals/installments": "pipedrive_deal_installments",
    "v2 GET /deals/products": "pipedrive_deal_products",
    "v2 GET /deals": "pipedrive_deals",
    "v2 GET /deals/archived": "pipedrive_deals",
    "v1 GET /files": "pipedrive_files",
    "v1 GET /filters": "pipedrive_filters",
    "v1 GET /goals/find": "pipedrive_goals",
    "v1 GET /leadFields": "pipedrive_lead_fields",
    "v1 GET /leadLabels": "pipedrive_lead_labels",
    "v1 GET /leadSources": "pipedrive_lead_sources",
    "v1 GET /leads": "pipedrive_leads",
    "v1 GET /leads/archived": "pipedrive_leads",
    "v1 GET /legacyTeams": "pipedrive_legacy_teams",
    "v1 GET /mailbox/mailThreads": "pipedrive_mail_threads",
    "v1 GET /noteFields": "pipedrive_note_fields",
    "v1 GET /notes": "pipedrive_notes",
    "v2 GET /organizationFields": "pipedrive_organization_fields",
    "v2 GET /organizations": "pipedrive_organizations",
    "v1 GET /permissionSets": "pipedrive_permission_sets",
    "v1 GET /permissionSets/{id}/assignments": "pipedrive_permission_set_assignments",
    "v2 GET /personFields": "pipedrive_person_fields",
    "v2 GET /persons": "pipedrive_persons",
    "v2 GET /phases": "pipedrive_project_phases",
    "v2 GET /pipelines": "pipedrive_pipelines",
    "v2 GET /productFields": "pipedrive_product_fields",
    "v2 GET /products": "pipedrive_products",
    "v2 GET /projectFields": "pipedrive_project_fields",
    "v2 GET /projectTemplates": "pipedrive_project_templates",
    "v2 GET /projects": "pipedrive_projects",
    "v2 GET /projects/archived": "pipedrive_projects",
    "v1 GET /roles": "pipedrive_roles",
    "v1 GET /roles/{id}/assignments": "pipedrive_role_assignments",
    "v1 GET /roles/{id}/settings": "pipedrive_role_settings",
    "v2 GET /stages": "pipedrive_stages",
    "v2 GET /tasks": "pipedrive_tasks",
    "v1 GET /users": "pipedrive_users",
}


def examples() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))["examples"]
    return found


def rows_of(example: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of an example: a list, a list within an object, or the object itself."""
    data = example["data"]
    if isinstance(data, dict):
        data = data.get("goals", [data])
    return [row for row in data if row]


def serve(server: HTTPServer, endpoint: str, example: dict[str, Any]) -> None:
    """Serve an example exactly as it is, and after it what is left of the list: nothing."""
    version, _, path = endpoint.split(" ")

    def answer(request: Request) -> Response:
        body = example
        if "cursor" in request.args:
            body = {"success": True, "data": [], "additional_data": {"next_cursor": None}}
        elif start := int(request.args.get("start", 0)):
            # A walk by offset may look back at the end of the page before.
            paging = {"start": start, "limit": 100, "more_items_in_collection": False}
            body = {
                "success": True,
                "data": rows_of(example)[start:] or None,
                "additional_data": {"pagination": paging},
            }
        return Response(json.dumps(body), content_type="application/json; charset=utf-8")

    prefix = "/api/v2" if version == "v2" else "/v1"
    pattern = re.compile(re.escape(prefix + path).replace(r"\{id\}", "[^/]+") + "$")
    server.expect_request(pattern, method="GET").respond_with_handler(answer)


@pytest.fixture
def run(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A sync of all examples."""
    found = examples()
    for endpoint in ENDPOINTS:
        serve(httpserver, endpoint, found[endpoint])
    config = {
        "pipedrive_api_token": "an-example",
        "pipedrive_api_url": httpserver.url_for("").rstrip("/"),
    }
    run = run_tap(monkeypatch, config)
    httpserver.check()
    assert run.exit_code == 0, run.error
    return run


def loss(given: dict[str, Any], record: dict[str, Any]) -> list[str]:
    """What of an example is missing or different in a record."""
    lost = []
    for name, value in given.items():
        wanted = v1_time(value)
        if name not in record:
            lost.append(f"{name} is missing")
        elif record[name] != wanted:
            lost.append(f"{name} is {record[name]!r}, not {wanted!r}")
    return lost


def test_examples_come_out_whole(run: Run) -> None:
    found = examples()
    assert set(run.streams) == set(ENDPOINTS.values())
    lost = []
    for endpoint, stream in ENDPOINTS.items():
        rows = rows_of(found[endpoint])
        assert rows, endpoint
        records = run.records(stream)
        for row in rows:
            losses = [loss(row, record) for record in records]
            if [] not in losses:
                nearest = min(losses, key=len, default=["no record at all"])
                lost.append(f"{endpoint}: {nearest}")
    assert not lost, "\n".join(lost)


#: Streams whose example comes more than once, and how often: for current and archived deals, for
#: active goals and others, in each folder of mails, for each permission set.
REPEATED = {
    "pipedrive_deal_installments": 2,
    "pipedrive_deal_products": 2,
    "pipedrive_goals": 2,
    "pipedrive_mail_threads": 4,
}
#: The same, for each row of another stream's example.
FOR_EACH = {
    "pipedrive_permission_set_assignments": "v1 GET /permissionSets",
    "pipedrive_project_phases": "v2 GET /boards",
    "pipedrive_role_assignments": "v1 GET /roles",
    "pipedrive_role_settings": "v1 GET /roles",
}


def test_nothing_comes_twice(run: Run) -> None:
    found = examples()
    for stream in set(ENDPOINTS.values()):
        rows = sum(
            len(rows_of(found[endpoint])) for endpoint, each in ENDPOINTS.items() if each == stream
        )
        times = (
            len(rows_of(found[FOR_EACH[stream]])) if stream in FOR_EACH else REPEATED.get(stream, 1)
        )
        assert len(run.records(stream)) == rows * times, stream


def test_records_validate_against_the_emitted_schemas(run: Run) -> None:
    problems = []
    for message in run.of_type("SCHEMA"):
        schema = message["schema"]
        validator = jsonschema.Draft202012Validator(
            schema, format_checker=jsonschema.FormatChecker()
        )
        for record in run.records(message["stream"]):
            problems += [
                f"{message['stream']}.{'.'.join(map(str, error.path))}: {error.message}"
                for error in validator.iter_errors(record)
            ]
    assert not problems, "\n".join(problems[:40])


def test_examples_hold_what_the_tap_must_change() -> None:
    # Otherwise this file would not test what it claims to.
    text = FILE.read_text(encoding="utf-8")
    assert V1_TIME.search(text)
    assert isinstance(examples()["v2 GET /products"]["data"][0]["custom_fields"], dict)
