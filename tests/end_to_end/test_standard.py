"""The SDK's standard tests of a tap, against the sandbox."""

from __future__ import annotations

import atexit
import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from singer_sdk.testing.suites import tap_stream_attribute_tests

from tap_pendo_pipedrive.tap import TapPendoPipedrive
from tests.sandbox.company import Company
from tests.sandbox.pendo import PendoServer
from tests.sandbox.pipedrive import PipedriveServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tap_pendo_pipedrive.core.stream import ApiStream

# The suite's tests are made from the catalog, so the servers must be up when this file is read.
_servers = contextlib.ExitStack()
atexit.register(_servers.close)
# Events of the last days, enough for each of their streams.
_now = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
_company = Company(scale=0.01, now=_now, usage_per_day=300)
# The suite does not allow attributes that no schema knows; the tap passes them on.
for _table, _rows in _company.tables.items():
    for _row in _rows.values():
        for _name in ("brand_new_attribute", "brandNewAttribute"):
            _row.pop(_name, None)
    _company.touch(_table)
_pipedrive: PipedriveServer = _servers.enter_context(PipedriveServer(_company))
_pendo: PendoServer = _servers.enter_context(PendoServer(_company))


@pytest.fixture(scope="module", autouse=True)
def _stop_the_servers() -> Iterator[None]:
    yield
    _servers.close()


#: The suite warns of columns that a small company never fills.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Fields in transformed catalog but not in records",
    "ignore:No records were available to test",
)


class EverythingTap(TapPendoPipedrive):
    """The tap with every stream selected, as the suite wants it."""

    def discover_streams(self) -> Sequence[ApiStream]:
        streams = super().discover_streams()
        for stream in streams:
            stream.selected_by_default = True
        return streams


def _has_one_type(evaluate: Callable[..., bool]) -> Callable[..., bool]:
    def evaluate_(stream: ApiStream, property_name: str, property_schema: dict[str, Any]) -> bool:
        types = [each for each in property_schema.get("type", ()) if each != "null"]
        return len(types) == 1 and evaluate(stream, property_name, property_schema)

    return evaluate_


for _test in tap_stream_attribute_tests.tests:
    # The suite takes a column of several types for one of each.
    _test.evaluate = staticmethod(_has_one_type(_test.evaluate))  # type: ignore[method-assign]

TestTapPendoPipedrive = get_tap_test_class(
    EverythingTap,
    config={
        "pipedrive_api_token": _pipedrive.token,
        "pipedrive_api_url": _pipedrive.url,
        "pendo_integration_key": _pendo.key,
        "pendo_api_url": _pendo.url,
    },
    suite_config=SuiteConfig(),
)
