"""What the loaded tables can answer together that neither service can alone."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from typing_extensions import LiteralString

#: Pendo's account id is the domain of the customer's website, which Pipedrive knows too.
USAGE_OF_OPEN_DEALS: t.Final[LiteralString] = """
WITH usage AS (
    SELECT
        account_id,
        count(DISTINCT visitor_id) AS visitors,
        count(DISTINCT feature_id) AS features,
        sum(num_events) AS clicks,
        max(last_time)::date AS last_seen
    FROM pendo_feature_events
    GROUP BY account_id
),
open_deals AS (
    SELECT org_id, currency, count(*) AS deals, sum(value) AS worth
    FROM pipedrive_deals
    WHERE status = 'open' AND NOT is_deleted AND NOT is_archived
    GROUP BY org_id, currency
)
SELECT
    organizations.name AS organization,
    usage.account_id AS pendo_account,
    usage.visitors,
    usage.features,
    usage.clicks,
    usage.last_seen,
    open_deals.deals AS open_deals,
    round(open_deals.worth)::bigint AS worth,
    open_deals.currency
FROM usage
JOIN pipedrive_organizations AS organizations
    ON regexp_replace(lower(organizations.website), '^https?://(www\\.)?|/.*$', '', 'g')
        = usage.account_id
JOIN open_deals ON open_deals.org_id = organizations.id
ORDER BY open_deals.worth DESC NULLS LAST, organizations.id, open_deals.currency
LIMIT 10
"""

#: The questions of the demo: title and query.
QUESTIONS: t.Final[tuple[tuple[str, LiteralString], ...]] = (
    ("How customers with open deals use the product", USAGE_OF_OPEN_DEALS),
)
