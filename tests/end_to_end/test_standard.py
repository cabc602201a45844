"""The SDK's standard tests of a tap, against the sandbox."""

from __future__ import annotations

import atexit
import contextlib
from typing import TYPE_CHECKING

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class

from tap_pendo_pipedrive.tap import TapPendoPipedrive
from tests.end_to_end.expected import UNKNOWN
from tests.sandbox.company import Company
from tests.sandbox.pendo import PendoServer
from tests.sandbox.pipedrive import PipedriveServer

if TYPE_CHECKING:
    from collections.abc import Iterator

# The suite's tests are made from the catalog, so the servers must be up when this file is read.
_servers = contextlib.ExitStack()
atexit.register(_servers.close)
_company = Company(scale=0.01)
# The suite does not allow attributes that no schema knows; the tap passes them on.
for _table, _rows in _company.tables.items():
    for _row in _rows.values():
        for _name in UNKNOWN:
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

TestTapPendoPipedrive = get_tap_test_class(
    TapPendoPipedrive,
    config={
        "pipedrive_api_token": _pipedrive.token,
        "pipedrive_api_url": _pipedrive.url,
        "pendo_integration_key": _pendo.key,
        "pendo_api_url": _pendo.url,
    },
    suite_config=SuiteConfig(),
)
