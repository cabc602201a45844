"""Local servers that answer like the Pipedrive and Pendo APIs.

Both serve one invented company over real HTTP on the loopback interface:

    with PipedriveServer(Company(scale=0.1)) as server:
        requests.get(server.url + "/api/v2/deals", headers={"x-api-token": server.token})

The servers are strict where the vendors' documentation is: an unknown parameter or a timestamp with
a fraction is a 400, as it would be in production, so that a test which passes here means something.
"""

from tests.sandbox.company import Company
from tests.sandbox.pendo import PendoServer
from tests.sandbox.pipedrive import OAuthApp, PipedriveServer, refuse
from tests.sandbox.pipeline import Limits
from tests.sandbox.server import Fault, Request

__all__ = [
    "Company",
    "Fault",
    "Limits",
    "OAuthApp",
    "PendoServer",
    "PipedriveServer",
    "Request",
    "refuse",
]
