"""The tap: settings, discovery, sync, exit code."""

from __future__ import annotations

import enum
import sys
import time
import typing as t

import click
from singer_sdk import Tap
from singer_sdk.exceptions import ConfigValidationError

from tap_pendo_pipedrive import settings
from tap_pendo_pipedrive.core import memory
from tap_pendo_pipedrive.core.bookmarks import is_readable
from tap_pendo_pipedrive.core.failures import TapError
from tap_pendo_pipedrive.core.messages import MessageWriter
from tap_pendo_pipedrive.core.prefetch import Allowance
from tap_pendo_pipedrive.core.redaction import guard_logging, redact
from tap_pendo_pipedrive.core.stream import ApiStream, Outcome
from tap_pendo_pipedrive.streams import pendo_streams, pipedrive_streams

if t.TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

ENVIRONMENT_PREFIX: t.Final = "TAP_PENDO_PIPEDRIVE_"
#: Bytes of pages that may wait to be written, over all streams.
PAGES_AHEAD: t.Final = 28 << 20


class Phase(enum.Enum):
    """How far a run has come."""

    DISCOVERY = enum.auto()
    SYNC = enum.auto()
    OVER = enum.auto()


class ConfigError(ConfigValidationError, click.ClickException):
    """The configuration is not valid. On the command line each error is a line, and exit 1."""

    def format_message(self) -> str:
        """List the errors."""
        return "\n".join(self.errors)


class SyncFailed(click.ClickException):
    """At least one stream failed, or was forbidden while fail_on_forbidden is set."""


class TapPendoPipedrive(Tap):
    """Extracts Pendo (product analytics) and Pipedrive (CRM)."""

    name = "tap-pendo-pipedrive"
    config_jsonschema = settings.SCHEMA
    message_writer_class = MessageWriter
    # The catalog holds the account's own custom fields, so discovery needs valid settings.
    dynamic_catalog = True

    def __init__(
        self,
        *,
        config: dict[str, t.Any] | None = None,
        parse_env_config: bool = False,
        **kwargs: t.Any,
    ) -> None:
        self.allowance = Allowance(PAGES_AHEAD)
        self.discovery_problems: list[TapError] = []
        self._phase = Phase.DISCOVERY
        if parse_env_config:
            schema = self.config_jsonschema
            self.append_builtin_config(schema)
            config = {**(config or {}), **settings.from_environment(schema, ENVIRONMENT_PREFIX)}
        super().__init__(config=dict(config or {}), **kwargs)

    def load_state(self, state: dict[str, t.Any]) -> None:
        """Load the bookmarks that can be read, and remember the streams of the others."""
        bookmarks = state.get("bookmarks") or {}
        if not isinstance(bookmarks, dict):
            message = "The state is not readable: bookmarks must be an object by stream."
            raise TapError(message)
        self.unreadable_bookmarks = {n for n, each in bookmarks.items() if not is_readable(each)}
        readable = {n: each for n, each in bookmarks.items() if n not in self.unreadable_bookmarks}
        super().load_state({**state, "bookmarks": readable})

    # Settings and discovery.

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Check the settings before any request.

        Raises:
            ConfigError: With a message for each setting that is wrong.
        """
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        self._config = settings.drop_unset(self._config)
        redact.add(str(self._config.get(name) or "") for name in settings.SECRETS)
        guard_logging()
        for name in settings.unknown(self._config, schema):
            self.logger.warning("%s: the tap does not know this setting and ignores it.", name)
        errors = settings.check(self._config, schema)
        if errors and raise_errors:
            summary = "The configuration is not valid"
            raise ConfigError(summary, errors=errors, schema=schema)
        return errors

    def discover_streams(self) -> Sequence[ApiStream]:
        """List the streams of the services that are on."""
        services = settings.Services.of(self.config)
        streams: list[ApiStream] = []
        if services.pendo:
            streams += pendo_streams(self)
        if services.pipedrive:
            streams += pipedrive_streams(self)
        return streams

    @property
    def catalog_dict(self) -> dict[str, t.Any]:
        """The catalog that discovery prints.

        Raises:
            TapError: The account's own fields could not be read.
        """
        catalog = super().catalog_dict
        if self.discovery_problems:
            raise self.discovery_problems[0]
        return catalog

    # Sync.

    def sync_all(self) -> None:  # type: ignore[misc]  # the SDK's stops at the first failure
        """Sync every selected stream; one stream's trouble does not stop the others.

        Raises:
            SyncFailed: After the others were read and their state written.
        """
        self._reset_state_progress_markers()
        self._set_compatible_replication_methods()
        if self.state:
            self.state_writer.write_state(self.state)
        self._phase = Phase.SYNC
        memory.prepare()
        streams = [stream for stream in self._api_streams() if stream.is_wanted]
        roots = [stream for stream in streams if stream.parent_stream_type is None]
        roots.sort(key=lambda stream: stream.comes_last)
        try:
            for number, stream in enumerate(roots):
                self._fetch_ahead(roots[number:])
                self._sync_stream(stream)
        except SystemExit:
            self.state_writer.write_state(self.state)
            raise
        finally:
            self._phase = Phase.OVER
            for stream in streams:
                stream.close()
        self._sum_up(streams)

    def _api_streams(self) -> list[ApiStream]:
        return t.cast("list[ApiStream]", list(self.streams.values()))

    def _fetch_ahead(self, streams: Sequence[ApiStream]) -> None:
        """Let enough streams of each service fetch that its places in flight are never empty."""
        # Twice as many as places: some have fetched all they have and wait to be written.
        places = {stream.client: 2 * stream.client.governor.concurrency for stream in streams}
        for stream in streams:
            if places[stream.client] > 0:
                places[stream.client] -= 1
                stream.fetch_ahead()

    def _sync_stream(self, stream: ApiStream) -> None:
        start = time.monotonic()
        try:
            stream.sync()
        except Exception as error:
            self.logger.debug("Traceback of %s", stream.name, exc_info=True)
            stream.end_early(error)
        stream.report.seconds = time.monotonic() - start
        stream.close_books()

    def _sum_up(self, streams: Sequence[ApiStream]) -> None:
        for stream in streams:
            report, usage = stream.report, stream.client.usage_of(stream.name)
            self.logger.info(
                "%s: %s; %d records, %d requests (%d retries), %d API tokens, %.1f s",
                stream.name,
                report.outcome.value,
                report.records,
                usage.requests,
                usage.retries,
                usage.tokens,
                report.seconds,
            )
        for client in {stream.client: None for stream in streams}:
            self.logger.info("%s in total: %s", client.service, client.bill())
        stopped = [stream.name for stream in streams if stream.report.outcome is Outcome.STOPPED]
        forbidden = [s.name for s in streams if s.report.outcome is Outcome.FORBIDDEN]
        failed = [stream.name for stream in streams if stream.report.outcome is Outcome.FAILED]
        if stopped:
            self.logger.warning(
                "Stopped on the API budget; the next run continues with: %s", ", ".join(stopped)
            )
        if forbidden:
            self.logger.warning("Skipped as forbidden: %s", ", ".join(forbidden))
        if self.config["fail_on_forbidden"]:
            failed += forbidden
        if failed:
            message = f"Not read to the end: {', '.join(failed)}. The log says why."
            raise SyncFailed(message)

    def run_connection_test(self) -> bool:  # type: ignore[misc]  # the SDK ignores failures
        """Read one record of each stream.

        Raises:
            SyncFailed: A stream cannot be read.
        """
        super().run_connection_test()
        self._sum_up(self._api_streams())
        return True

    # Signals.

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """End the tap with 128 + signum; a sync first writes its final state.

        The state must not be written here: the signal may have come in the middle of a message.
        """
        del frame
        if self._phase is Phase.DISCOVERY:
            sys.exit(128 + signum)
        if self._phase is Phase.OVER or self.allowance.interrupt is not None:
            return  # On the way out already.
        self.logger.info("Signal %d: writing the final state and shutting down.", signum)
        self.allowance.interrupt = SystemExit(128 + signum)


if __name__ == "__main__":
    TapPendoPipedrive.cli()
