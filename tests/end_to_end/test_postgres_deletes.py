"""Rows that vanish from Pipedrive, as PostgreSQL shows them after the next run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.integration.expected import LIVE
from tests.sandbox import changes

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Warehouse
    from tests.sandbox.company import Company
    from tests.sandbox.pipedrive import PipedriveServer

README = Path(__file__).parents[2] / "README.md"
READERS = tuple(f"pipedrive_{table}" for table in LIVE.values())


def query(table: str, entity: str) -> str:
    """The README's query for deleted persons, for another table."""
    text = README.read_text(encoding="utf-8")
    blocks: list[str] = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    (found,) = [block for block in blocks if "pipedrive_live_ids" in block]
    return found.replace("pipedrive_persons", table).replace("'person'", f"'{entity}'")


def test_the_query_of_the_readme(
    company: Company, pipedrive: PipedriveServer, config: dict[str, Any], warehouse: Warehouse
) -> None:
    streams = (*READERS, "pipedrive_live_ids")
    state = warehouse.load(config, streams=streams)
    with warehouse.connect() as connection:
        for entity, table in LIVE.items():
            found = connection.execute(query(f"pipedrive_{table}", entity)).fetchall()
            # Deals that are deleted already come with that status.
            deleted = {k for k, row in company.tables[table].items() if row.get("is_deleted")}
            assert {row["id"] for row in found} == deleted, entity

    held = {entity: set(company.tables[table]) for entity, table in LIVE.items()}
    persons = sorted(company.tables["persons"])
    company.merge("persons", persons[0], persons[1])
    organizations = sorted(company.tables["organizations"])
    company.merge("organizations", organizations[0], organizations[1])
    changes.clear_out(company)
    warehouse.load(config, state, streams=streams)
    with warehouse.connect() as connection:
        for entity, table in LIVE.items():
            found = connection.execute(query(f"pipedrive_{table}", entity)).fetchall()
            alive = {k for k, row in company.tables[table].items() if not row.get("is_deleted")}
            assert {row["id"] for row in found} == held[entity] - alive, entity
            assert found, entity
    assert pipedrive.errors == []


def test_rows_that_vanish_from_a_list_that_is_read_whole(
    company: Company, config: dict[str, Any], warehouse: Warehouse
) -> None:
    streams = ("pipedrive_roles", "pipedrive_role_assignments", "pipedrive_projects")
    state = warehouse.load(config, streams=streams)
    role = next(key for key in company.tables["roles"])
    company.delete("roles", role)
    assignment = next(iter(company.tables["role_assignments"].values()))
    company.remove_role_assignment(assignment["role_id"], assignment["user_id"])
    warehouse.load(config, state, streams=streams)
    with warehouse.connect() as connection:
        roles = connection.execute(
            "SELECT id, _sdc_deleted_at IS NOT NULL AS gone FROM pipedrive_roles"
        ).fetchall()
        left = connection.execute(
            "SELECT role_id, user_id FROM pipedrive_role_assignments WHERE _sdc_deleted_at IS NULL"
        ).fetchall()
        projects = connection.execute(
            "SELECT count(*) AS n FROM pipedrive_projects WHERE _sdc_deleted_at IS NOT NULL"
        ).fetchone()
    assert {row["id"] for row in roles if row["gone"]} == {role}
    assert {(row["role_id"], row["user_id"]) for row in left} == {
        (row["role_id"], row["user_id"]) for row in company.tables["role_assignments"].values()
    }
    assert projects == {"n": 0}
