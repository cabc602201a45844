"""What the loaded tables can answer together that neither service can alone."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from typing_extensions import LiteralString

#: Pendo's account id is the domain of the customer's website, which Pipedrive knows too.
OPEN_DEALS_IN_GUIDES: t.Final[LiteralString] = """
WITH targeted AS (
    SELECT
        filter ->> 'value' AS account_id,
        count(DISTINCT guides.id) AS guides,
        max(guides.last_updated_at)::date AS last_changed
    FROM pendo_guides AS guides
    CROSS JOIN jsonb_array_elements(guides.audience_ui_hint -> 'filters') AS filter
    WHERE filter ->> 'kind' = 'account'
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
    targeted.account_id AS pendo_account,
    targeted.guides,
    targeted.last_changed AS guide_changed,
    open_deals.deals AS open_deals,
    round(open_deals.worth)::bigint AS worth,
    open_deals.currency
FROM targeted
JOIN pipedrive_organizations AS organizations
    ON regexp_replace(lower(organizations.website), '^https?://(www\\.)?|/.*$', '', 'g')
        = targeted.account_id
JOIN open_deals ON open_deals.org_id = organizations.id
ORDER BY targeted.guides DESC, open_deals.worth DESC NULLS LAST, organizations.id
LIMIT 10
"""

#: The questions of the demo: title and query.
QUESTIONS: t.Final[tuple[tuple[str, LiteralString], ...]] = (
    ("Customers with open deals that Pendo's guides address", OPEN_DEALS_IN_GUIDES),
)
