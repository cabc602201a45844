"""`tap | target-jsonl` as programs with a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.end_to_end.expected import STREAMS, differences, expect_all
from tests.harness import parse

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.programs import Workbench
    from tests.sandbox.company import Company

Files = dict[str, list[dict[str, Any]]]


def load(workbench: Workbench, target_jsonl: str, config: dict[str, Any]) -> Files:
    """Load into files and read them back, by name."""
    folder = workbench.folder / "output"
    settings = {"destination_path": str(folder), "do_timestamp_file": False}
    target = [target_jsonl, "--config", workbench.file("target.json", settings)]
    workbench.pipe(workbench.tap(config), target)
    return {path.stem: read(path) for path in folder.iterdir()}


def read(path: Path) -> list[dict[str, Any]]:
    # Not splitlines(): texts hold separators that it takes for line ends.
    return parse(path.read_text(encoding="utf-8").split("\n"))


def test_every_row_of_every_stream(
    company: Company, config: dict[str, Any], workbench: Workbench, target_jsonl: str
) -> None:
    files = load(workbench, target_jsonl, config)
    assert set(files) == set(STREAMS)
    wanted = expect_all(company)
    found = [
        line for stream in STREAMS for line in differences(stream, files[stream], [wanted[stream]])
    ]
    assert not found, "\n".join(found[:60])


def test_stream_maps(
    company: Company, config: dict[str, Any], workbench: Workbench, target_jsonl: str
) -> None:
    config["stream_maps"] = {
        "pipedrive_deals": {
            "__alias__": "open_deals",
            "__filter__": "status == 'open'",
            "id": "id",
            "shout": "title.upper()",
            "value": "value",
            "__else__": None,
        },
        "pipedrive_notes": {"content": None},
        "pendo_guides": None,
        "pipedrive_deal_products": {"__alias__": "line_items"},
    }
    files = load(workbench, target_jsonl, config)
    assert "pipedrive_deals" not in files
    assert "pendo_guides" not in files
    deals = company.rows("pipedrive_deals")
    assert {row["id"]: row["shout"] for row in files["open_deals"]} == {
        row["id"]: row["title"].upper() for row in deals if row["status"] == "open"
    }
    assert all(set(row) == {"id", "shout", "value"} for row in files["open_deals"])
    assert {row["id"] for row in files["pipedrive_notes"]} == {
        row["id"] for row in company.rows("pipedrive_notes")
    }
    assert not any("content" in row for row in files["pipedrive_notes"])
    # The children of renamed parents come, those of filtered ones do not.
    is_open = {row["id"] for row in deals if row["status"] == "open"}
    items = [row for row in company.rows("pipedrive_deal_products") if row["deal_id"] in is_open]
    assert {row["id"] for row in files["line_items"]} == {row["id"] for row in items}
    assert items


def test_flattening(
    company: Company, config: dict[str, Any], workbench: Workbench, target_jsonl: str
) -> None:
    config |= {"flattening_enabled": True, "flattening_max_depth": 2}
    files = load(workbench, target_jsonl, config)
    wanted = expect_all(company)
    assert {stream: len(rows) for stream, rows in files.items()} == {
        stream: len(rows) for stream, rows in wanted.items()
    }
    monetary = {
        row["field_code"]
        for row in company.rows("pipedrive_deal_fields")
        if row["is_custom_field"] and row["field_type"] == "monetary"
    }
    deals = wanted["pipedrive_deals"]
    amounts = 0
    for row in files["pipedrive_deals"]:
        assert "custom_fields" not in row
        for code, value in deals[row["id"]]["custom_fields"].items():
            if code in monetary and value is not None:
                assert float(row[f"custom_fields__{code}__value"]) == value["value"]
                assert row[f"custom_fields__{code}__currency"] == value["currency"]
                amounts += 1
    assert amounts
    for row in files["pipedrive_organizations"]:
        address = wanted["pipedrive_organizations"][row["id"]]["address"]
        if address is not None:
            assert row["address__locality"] == address["locality"]
