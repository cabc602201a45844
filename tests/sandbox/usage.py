"""The Pendo side of the invented company: applications, pages, features, guides, reports.

The accounts that use the product are the organizations of the sales side; an account's id is the
domain of the organization's website.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sandbox.vocabulary import LONG, UGLY, Inventor, epoch_ms

if TYPE_CHECKING:
    from tests.sandbox.fields import Row

# The first web application has this id in most subscriptions; the others are large numbers.
DEFAULT_APP = -323232
APPS: dict[int, Row] = {
    DEFAULT_APP: {"id": DEFAULT_APP, "name": "Fernhill Desk", "platform": "web"},
    5184920477540352: {"id": 5184920477540352, "name": "Fernhill Admin", "platform": "web"},
    6023374587543552: {"id": 6023374587543552, "name": "Fernhill Pocket", "platform": "ios"},
}
NEVER = 0


def _user(number: int) -> Row:
    if number == 0:
        return {"id": "-42", "username": "system", "first": "", "last": "", "role": 0}
    return {
        "id": str(5600000000000000 + number),
        "username": f"user{number}@fernhill.example",
        "first": f"User{number}",
        "last": UGLY[0] if number == 4 else "Writer",
        "role": 8,
        "userType": "user",
        "hasLoggedIn": True,
        "lastLogin": 1_700_000_000_000 + number,
        "deletedAt": NEVER,
        "visitorIds": [],
    }


def _common(kind: str, key: str, source: Inventor, apps: list[int]) -> Row:
    created = source.moment(1200)
    updated = source.moment(since=created)
    app = source.pick(apps)
    return {
        "id": key,
        "appId": app,
        "kind": kind,
        "name": source.sentence(),
        "createdAt": epoch_ms(created),
        "createdByUser": _user(source.below(6)),
        "lastUpdatedAt": epoch_ms(updated) + source.below(1000),
        "lastUpdatedByUser": _user(source.below(6)) if source.chance(0.9) else None,
        "rootVersionId": key,
        "stableVersionId": f"{key}-20240131235959.123456789",
    }


def _key(source: Inventor) -> str:
    return "".join(source.pick("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ-_") for _ in range(27))


def _tagged(row: Row, source: Inventor) -> Row:
    hour = source.now - source.now % 3600
    return row | {
        "appIds": [row["appId"]],
        "color": source.pick(("", "gray")),
        "group": {
            "id": "_PENDO_DEFAULTGROUP_00_",
            "name": "Default",
            "description": "",
            "color": ".groupColor01",
            "type": "",
            "length": 12,
            "items": None,
            "createdAt": NEVER,
            "lastUpdatedAt": NEVER,
        },
        "dirty": source.chance(0.05),
        "isAutoTagged": False,
        "isCoreEvent": source.chance(0.2),
        "isSuggested": False,
        "suggestedName": "",
        "description": source.maybe(0.3, source.sentence()),
        "ignoredFrustrationTypes": [],
        "tagMaintenanceExclude": False,
        "validThrough": epoch_ms(hour),
        "dailyMergeFirst": epoch_ms(hour - 86400 * 300),
        "dailyRollupFirst": NEVER if source.chance(0.2) else epoch_ms(hour - 86400 * 200),
    }


def pages(count: int, source: Inventor) -> dict[str, Row]:
    """Tagged pages of all applications."""
    rows: dict[str, Row] = {}
    for number in range(count):
        row = _tagged(_common("Page", _key(source), source, list(APPS)), source)
        rule = f"//*/area{number}/**"
        row["rules"] = [{"rule": rule, "designerHint": f"http://app/{number}", "parsedRule": rule}]
        row["rulesjson"] = "" if number % 2 else [rule]
        if number % 90 == 4:
            row["brandNewAttribute"] = ["?"]
        rows[row["id"]] = row
    return rows


def features(count: int, page_rows: dict[str, Row], source: Inventor) -> dict[str, Row]:
    """Tagged features; most belong to a page, some to the whole application."""
    rows: dict[str, Row] = {}
    page_list = list(page_rows.values())
    for _ in range(count):
        row = _tagged(_common("Feature", _key(source), source, list(APPS)), source)
        page = source.pick(page_list) if page_list and source.chance(0.8) else None
        row["appWide"] = page is None
        if page is not None:
            row |= {"pageId": page["id"], "appId": page["appId"], "appIds": [page["appId"]]}
        row |= {
            "elementPathRules": ['#save > button[data-id="1"]'],
            "elementInitialTag": "BUTTON",
            "elementSelectionType": "suggested",
            "createdDesignerVersion": "1.2.3",
            "suggestedMatch": "",
            "eventPropertyConfigurations": [
                {
                    "name": "plan",
                    "type": "html",
                    "path": "",
                    "pattern": ".*",
                    "rule": "",
                    "selector": "#plan",
                    "isActive": True,
                }
            ]
            if source.chance(0.1)
            else None,
        }
        rows[row["id"]] = row
    return rows


def guides(
    count: int, page_rows: dict[str, Row], accounts: list[str], source: Inventor
) -> dict[str, Row]:
    """Guides with steps, some with polls, some shown to named accounts only."""
    rows: dict[str, Row] = {}
    page_ids = list(page_rows)
    for number in range(count):
        key = _key(source)
        row = _common("Guide", key, source, list(APPS))
        polls = _polls(number, key) if number % 5 == 0 or number == 1 else []
        published = source.chance(0.7)
        named = source.sample(accounts, min(3, len(accounts))) if number % 8 == 0 else []
        row |= {
            "appIds": [row["appId"]],
            "state": "public" if published else source.pick(("draft", "staged", "disabled")),
            "launchMethod": source.pick(("auto", "badge", "dom", "api", "auto-launcher")),
            "isMultiStep": number % 3 == 0,
            "isTraining": False,
            "isModule": False,
            "isTopLevel": False,
            "publishedEver": published,
            "description": LONG if number == 9 else source.sentence(),
            "editorType": "ade",
            "emailState": "",
            "authoredLanguage": "en-US",
            "children": [],
            "recurrence": 604_800_000 if number % 10 == 0 else 0,
            "recurrenceEligibilityWindow": 0,
            "publishedAt": epoch_ms(source.moment(300)) if published else NEVER,
            "resetAt": NEVER,
            "showsAfter": NEVER if number % 4 else epoch_ms(source.moment(100)),
            "expiresAfter": NEVER,
            "currentFirstEligibleToBeSeenAt": NEVER,
            "audience": [
                {"source": {"visitors": None}},
                {"filter": " || ".join(f'accountIds == "{account}"' for account in named)},
            ]
            if named
            else [],
            "audienceUiHint": {
                "filters": [
                    {"kind": "account", "operator": "==", "value": account, "$valid": True}
                    for account in named
                ]
            },
            "attributes": {
                "type": "building-block",
                "device": {"type": "desktop"},
                "priority": number,
                "capping": {"maxImpressions": None, "maxSessionImpressions": 1},
                "dates": {"en-US": "2025-01-31"},
                "isAnnouncement": number % 9 == 0,
            },
            "steps": [
                {
                    "id": f"{key[:20]}s{place}",
                    "guideId": key,
                    "templateId": "building-block",
                    "type": "lightbox",
                    "name": "" if place else source.sentence(),
                    "pageId": source.pick(page_ids) if page_ids else "",
                    "rank": 10_000_000 + place,
                    "advanceMethod": "button",
                    "contentType": "text/html; charset=utf-8",
                    "pollIds": [poll["id"] for poll in polls] if place == 0 else [],
                    "attributes": {"height": 300, "width": "500"},
                    "lastUpdatedAt": row["lastUpdatedAt"],
                    "resetAt": NEVER,
                }
                for place in range(3 if number % 3 == 0 else 1)
            ],
            "polls": polls,
        }
        rows[key] = row
    return rows


def _polls(number: int, guide: str) -> list[Row]:
    scored: Row = {
        "id": f"{guide[:9]}p0",
        "question": "How likely are you to recommend us? 🤔",
        "resetAt": NEVER,
        "numericResponses": list(range(11)),
        "attributes": {"type": "NPSRating", "display": "All"},
    }
    text: Row = {
        "id": f"{guide[:9]}p1",
        "question": 'Why "that" score?',
        "resetAt": NEVER,
        "attributes": {"type": "FreeForm", "maxLength": 500, "placeholder": "…"},
    }
    picked: Row = {
        "id": f"{guide[:9]}p0",
        "question": "Pick one",
        "resetAt": NEVER,
        "idResponses": {"003isdx53ctwpf": "Yes", "1kx7": "No"},
        "attributes": {"type": "PickList"},
    }
    return [scored, text] if number % 10 == 0 else [picked]


def reports(count: int, source: Inventor) -> dict[str, Row]:
    """Report definitions; they belong to no application."""
    rows: dict[str, Row] = {}
    for number in range(count):
        row = _common("Report", _key(source), source, list(APPS))
        del row["appId"]
        row |= {
            "type": ("Visitor", "Account", "Path", "Funnel")[number % 4],
            "level": "",
            "scope": "private" if number % 3 else "shared",
            "share": "",
            "shared": number % 3 == 0,
            "target": "visitor",
            "aggregation": {
                "fields": [{"type": "string", "field": "visitorId", "title": "Visitor"}],
                "pipeline": [{"source": {"visitors": None}}, {"identified": "visitorId"}],
            },
            "definition": {
                "type": "visitor",
                "config": {"appId": "any" if number % 2 else DEFAULT_APP},
                "period": {"period": "dayRange", "count": -30} if number % 2 else None,
            },
            "lastRunAt": NEVER if number % 4 == 0 else epoch_ms(source.moment(30)),
            "lastSuccessRunAt": NEVER if number % 4 == 0 else epoch_ms(source.moment(30)),
            "lastSuccessRunObj": "",
            "ownedByUser": _user(1 + source.below(5)),
        }
        rows[row["id"]] = row
    return rows
