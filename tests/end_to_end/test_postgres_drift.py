"""Schema drift in PostgreSQL: what the catalog of yesterday does not tell of is in the tables."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests import harness

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Warehouse
    from tests.sandbox.company import Company
    from tests.sandbox.pipedrive import PipedriveServer
    from tests.sandbox.server import Request

STREAMS = ("pipedrive_deals", "pipedrive_persons")


def test_attributes_and_types_of_after_discovery(
    company: Company, pipedrive: PipedriveServer, config: dict[str, Any], warehouse: Warehouse
) -> None:
    catalog = harness.select(harness.discover(config), *STREAMS)
    workbench = warehouse.workbench

    def load(state: dict[str, Any] | None) -> dict[str, Any]:
        tap = workbench.tap(config, state, streams=STREAMS)
        workbench.file("catalog.json", catalog)  # The one of before the changes.
        target = [
            warehouse.target,
            "--config",
            workbench.file("target.json", warehouse.target_config()),
        ]
        return workbench.pipe(tap, target).state

    state = load(None)
    before = warehouse.columns("pipedrive_persons")
    assert before["org_id"] == "bigint"
    assert before["birthday"] == "date"

    persons = list(company.tables["persons"])
    code = company.add_custom_field("deal", "varchar", "Added after discovery")["field_code"]
    deal = next(key for key, row in company.tables["deals"].items() if not row["is_archived"])
    company.edit("deals", deal, custom_fields={code: "found"}, score=7)
    company.edit("persons", persons[0], org_id="none", birthday="in spring", job_title=7)
    company.edit("persons", persons[1], org_id=2, score=1, tags=["a"], extra={"deep": {"er": 1}})
    company.edit("persons", persons[2], org_id=2.5, score=1.25, tags=["b", "c"], extra=None)
    company.edit("persons", persons[3], score="high", tags=None)
    state = load(state)

    columns = warehouse.columns("pipedrive_persons")
    assert columns.items() >= before.items()
    added = {name: columns[name] for name in columns.keys() - before.keys()}
    assert added == {
        "org_id__string": "text",
        "org_id__number": "numeric",
        "birthday__string": "text",
        "score": "text",
        "tags": "jsonb",
        "extra": "jsonb",
    }
    rows = {row["id"]: row for row in warehouse.rows("pipedrive_persons")}
    assert len(rows) == len(persons)
    held = [rows[persons[0]][name] for name in ("org_id__string", "birthday__string")]
    assert held == ["none", "in spring"]
    assert rows[persons[2]]["org_id__number"] == Decimal("2.5")
    assert [rows[key]["org_id"] for key in persons[:3]] == [None, 2, None]
    assert rows[persons[0]]["job_title"] == "7"
    scores = [Decimal(rows[key]["score"]) for key in persons[1:3]]
    assert scores == [1, Decimal("1.25")]
    assert rows[persons[3]]["score"] == "high"
    assert [rows[key]["tags"] for key in persons[1:4]] == [["a"], ["b", "c"], None]
    assert rows[persons[1]]["extra"] == {"deep": {"er": 1}}
    # Rows of the first run have kept what they had.
    untouched = persons[10]
    assert rows[untouched]["org_id"] == company.tables["persons"][untouched]["org_id"]
    deals = {row["id"]: row for row in warehouse.rows("pipedrive_deals")}
    assert deals[deal]["custom_fields"][code] == "found"
    assert deals[deal]["score"] == 7

    # The columns keep their types in later runs, whatever comes first.
    company.edit("deals", deal, score="high")
    company.edit("persons", persons[4], tags="one", extra=5, org_id="none either")
    load(state)
    deals = {row["id"]: row for row in warehouse.rows("pipedrive_deals")}
    assert [deals[deal][name] for name in ("score", "score__string")] == [None, "high"]
    row = next(each for each in warehouse.rows("pipedrive_persons") if each["id"] == persons[4])
    held = [row[name] for name in ("tags__string", "extra", "org_id__string")]
    assert held == ["one", 5, "none either"]


def test_a_type_that_changes_in_the_middle_of_a_run(
    company: Company, pipedrive: PipedriveServer, config: dict[str, Any], warehouse: Warehouse
) -> None:
    # The second page of the same run says otherwise than the first.
    keys = sorted(company.tables["persons"])
    half = len(keys) // 2
    for number, key in enumerate(keys):
        company.edit("persons", key, measure=number if number < half else f"text {number}")

    def smaller_pages(request: Request) -> None:
        request.query[:] = [
            (name, "50" if name == "limit" else value) for name, value in request.query
        ]

    pipedrive.fault = smaller_pages
    warehouse.load(config, streams=("pipedrive_persons",))
    rows = {row["id"]: row for row in warehouse.rows("pipedrive_persons")}
    assert len(rows) == len(keys)
    assert [rows[key]["measure"] for key in keys[:half]] == list(range(half))
    texts = [rows[key]["measure__string"] or rows[key]["measure"] for key in keys[half:]]
    assert texts == [f"text {number}" for number in range(half, len(keys))]
