"""Visitors and accounts of the product, their metadata and its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.sandbox.usage import APPS, DEFAULT_APP
from tests.sandbox.vocabulary import UGLY, Inventor, epoch_ms

if TYPE_CHECKING:
    from tests.sandbox.fields import Row

ANONYMOUS = "_PENDO_T_"
# Pendo asks its customers to use neither quotes nor backslashes in ids; they do all the same.
STRANGE_ACCOUNTS = ('west "wing".example', "back\\slash.example", 'both\\".example', "ünïcode 会社")
STRANGE_VISITORS = (
    'o"brien',
    '"><script>alert(1)</script>',
    "C:\\Users\\guest",
    'ends with \\"',
    "trailing\\",
    "美咲@例え.jp",
    "🚀 rocket",
    "a/b?c=d&e=f#g",
    "100% sure",
    " spaces around ",
    "UPPER@People.Example",
    "+1 555 0100",
    "123456789012345678901234567890",
    "0",
)
BROWSERS = (
    ("Chrome", "145.0.0", "Windows", "Mozilla/5.0 (Windows NT 10.0) Chrome/145.0.0 Safari/537.36"),
    ("Firefox", "148.0", "Linux", "Mozilla/5.0 (X11; Linux x86_64; rv:148.0) Firefox/148.0"),
    ("Safari", "19.1", "Mac OS X", 'Mozilla/5.0 (Macintosh; "odd" build\\7) Safari/619.1'),
    ("Pocket", "3.2.1", "iOS", "Pocket/3.2.1 CFNetwork/1500 Darwin/25.0.0"),
)
SERVERS = ("desk.fernhill.example", "admin.fernhill.example", "desk-eu.fernhill.example")

# Group -> field -> declared type. The data contradicts some of them and has fields beside them.
VISITOR_FIELDS: dict[str, dict[str, str]] = {
    "auto": {
        "accountid": "string",
        "accountids": "list",
        "createdat": "time",
        "firstvisit": "time",
        "id": "string",
        "idhash": "integer",
        "lastbrowsername": "string",
        "lastbrowserversion": "string",
        "lastoperatingsystem": "string",
        "lastservername": "string",
        "lastupdated": "time",
        "lastuseragent": "string",
        "lastvisit": "time",
    },
    "agent": {
        "email": "string",
        "full_name": "string",
        "role": "",
        "is_admin": "boolean",
        "signed_up": "time",
        "language": "string",
        "never_sent": "string",
    },
    "custom": {
        "score": "float",
        "seats_used": "integer",
        "teams": "list",
        "nickname": "",
        "renewal": "time",
        "gone": "string",
    },
    "pendo": {"donotprocess": "boolean", "designerenabled": "boolean"},
    "salesforce": {"contact_id": "string", "open_cases__c": "integer"},
}
ACCOUNT_FIELDS: dict[str, dict[str, str]] = {
    "auto": {
        "firstvisit": "time",
        "id": "string",
        "idhash": "integer",
        "lastupdated": "time",
        "lastvisit": "time",
    },
    "agent": {"name": "string", "plan": "string", "seats": "integer", "trial": "boolean"},
    "custom": {"pipedrive_org_id": "integer", "mrr": "float", "tags": "list", "segment": ""},
    "salesforce": {"account_id": "string", "closed_at": "time"},
    "hubspot": {"lifecyclestage": "string"},
}


def schema(fields: dict[str, dict[str, str]]) -> dict[str, dict[str, Row]]:
    """What `/metadata/schema/...` answers: group -> field -> description."""
    return {
        group: {
            name: {
                "Type": kind,
                "DisplayName": name.replace("_", " ").title(),
                "ElementType": "string" if kind == "list" else "",
                "ElementFormat": "",
                "Dirty": False,
                "isHidden": name == "idhash",
                "isDeleted": name == "gone",
                "isCalculated": False,
                "isPerApp": group == "auto" and name in {"firstvisit", "lastvisit", "lastupdated"},
                "isPromoted": False,
                "neverIndex": False,
                "sample": None if kind else "?",
            }
            for name, kind in names.items()
        }
        for group, names in fields.items()
    }


def app_group(app: int) -> str:
    """Name of the metadata group that holds an application's copy of `auto`."""
    return f"auto_{app}".replace("-", "_")


class People:
    """Everyone who uses the product.

    Attributes:
        visitors: Rows of the aggregation source, by visitor id.
        accounts: The same for accounts.
        visitor_apps: Visitor id -> the applications that it was seen in.
        account_apps: The same for accounts.
        members: Visitor id -> ids of its accounts; none for an anonymous visitor.
    """

    def __init__(self, accounts: dict[str, int], persons: dict[int, Row], source: Inventor) -> None:
        """Invent them.

        Args:
            accounts: Account id -> id of the Pipedrive organization.
            persons: Persons of the sales side, who are the visitors where they have an email.
            source: Where chance comes from.
        """
        self.visitors: dict[str, Row] = {}
        self.accounts: dict[str, Row] = {}
        self.visitor_apps: dict[str, list[int]] = {}
        self.account_apps: dict[str, list[int]] = {}
        self.members: dict[str, list[str]] = {}
        self._source = source
        self._nid = 0
        # A push of metadata stamps thousands of rows with one moment.
        self._pushes = [epoch_ms(source.moment(200)) for _ in range(3)]
        mails: dict[int, list[str]] = {}
        for person in persons.values():
            if person["org_id"] and person["emails"]:
                mails.setdefault(person["org_id"], []).append(person["emails"][0]["value"])
        names = [*accounts, *STRANGE_ACCOUNTS]
        for account in names:
            org = accounts.get(account)
            known = mails.get(org or 0, [])[:4]
            extra = [f"user{n}@{account}" for n in range(1 + source.below(3))]
            for visitor in [*known, *extra]:
                self._visitor(visitor, [account])
            self._account(account, org)
        for place, visitor in enumerate(STRANGE_VISITORS):
            self._visitor(visitor, source.sample(names, 2 if place % 3 == 0 else 1))
        for _ in range(max(5, len(self.visitors) // 4)):
            key = "".join(source.pick("abcdefghijkABCDEFGHIJK0123456789") for _ in range(11))
            self._visitor(ANONYMOUS + key, [])

    def _auto(self, key: str, row: Row, apps: list[int]) -> Row:
        source = self._source
        self._nid += 1
        first = epoch_ms(source.moment(900))
        last = first + source.below(max(1, epoch_ms(source.now) - first))
        updated = last
        if source.chance(0.4):
            updated = source.pick(self._pushes)
        auto: Row = {
            "id": key,
            "nid": self._nid,
            "idhash": source.getrandbits(32),
            "firstvisit": first,
            "lastvisit": last,
            "lastupdated": updated,
        } | row
        per_app = {
            app_group(app): {"firstvisit": first, "lastvisit": last, "lastupdated": updated}
            for app in apps
        }
        if source.chance(0.03):
            # Made by an import and never seen: no such moments.
            for name in ("firstvisit", "lastvisit", "lastupdated"):
                del auto[name]
            per_app = {}
        return {"auto": auto, **per_app}

    def _apps(self) -> list[int]:
        source = self._source
        apps = [app for app in APPS if source.chance(0.6)]
        return apps or [DEFAULT_APP]

    def _visitor(self, key: str, accounts: list[str]) -> None:
        if key in self.visitors:
            self.members[key] = list(dict.fromkeys([*self.members[key], *accounts]))
            return
        source = self._source
        apps = self.visitor_apps[key] = self._apps()
        self.members[key] = accounts
        browser = source.pick(BROWSERS)
        metadata = self._auto(
            key,
            {
                "accountid": accounts[0] if accounts else "",
                "accountids": accounts,
                "createdat": epoch_ms(source.moment(1000)),
                "lastbrowsername": browser[0],
                "lastbrowserversion": browser[1],
                "lastoperatingsystem": browser[2],
                "lastservername": source.pick(SERVERS),
                "lastuseragent": browser[3],
            },
            apps,
        )
        if source.chance(0.02):
            # Not to be processed: hardly any attribute.
            lean: Row = {"pendo": {"donotprocess": True}}
            if source.chance(0.5):
                lean["auto"] = {"id": key}
            self.visitors[key] = {"visitorId": key, "metadata": lean}
            return
        if accounts:
            metadata["agent"] = {
                "email": key if "@" in key else None,
                "full_name": f"{source.person()[0]} {source.pick(UGLY)}",
                "role": source.pick(("admin", "member", 3, None)),
                "is_admin": source.pick((True, False, "true", None)),
                "signed_up": source.pick((epoch_ms(source.moment()), "2025-01-31", None)),
                "undeclared": source.below(3),
            }
            metadata["custom"] = self._some(
                {
                    "score": source.money(100),
                    "seats_used": source.pick((source.below(50), f"{source.below(50)}.0", "7")),
                    "teams": source.sample(["sales", "support", "ops"], source.below(3)),
                    "nickname": source.pick(UGLY),
                    "renewal": epoch_ms(source.moment(30)),
                }
            )
            if source.chance(0.2):
                metadata["salesforce"] = {
                    "contact_id": f"003{source.below(10**12):015d}",
                    "open_cases__c": f"{source.below(9)}.0",
                }
            if source.chance(0.1):
                metadata["pendo"] = {"designerenabled": source.chance(0.5), "donotprocess": False}
        self.visitors[key] = {"visitorId": key, "metadata": metadata}

    def _some(self, row: Row) -> Row:
        return {name: value for name, value in row.items() if self._source.chance(0.7)}

    def _account(self, key: str, org: int | None) -> None:
        source = self._source
        members = [visitor for visitor, accounts in self.members.items() if key in accounts]
        apps = {app for visitor in members[-8:] for app in self.visitor_apps[visitor]}
        self.account_apps[key] = [app for app in APPS if app in apps] or [DEFAULT_APP]
        metadata = self._auto(key, {}, self.account_apps[key])
        metadata["agent"] = {
            "name": source.sentence(),
            "plan": source.pick(("free", "team", "enterprise")),
            "seats": source.pick((source.below(500), f"{source.below(500)}.00")),
            "trial": source.chance(0.2),
        }
        metadata["custom"] = self._some(
            {
                "pipedrive_org_id": org,
                "mrr": source.money(9000),
                "tags": source.sample(["eu", "us", "vip"], source.below(3)),
                "segment": source.pick(("A", 1, None)),
            }
        )
        if source.chance(0.3):
            metadata["salesforce"] = {"account_id": f"001{source.below(10**12):015d}"}
        if source.chance(0.1):
            metadata["hubspot"] = {"lifecyclestage": "customer"}
        self.accounts[key] = {"accountId": key, "metadata": metadata}

    def edit(self, row: Row, group: str, values: dict[str, Any], moment: int | None) -> None:
        """Set metadata of a visitor or an account; with a moment, it counts as updated then."""
        row["metadata"].setdefault(group, {}).update(values)
        if moment is not None:
            row["metadata"].setdefault("auto", {})["lastupdated"] = moment

    def seen(self, visitor: str, account: str, app: int, moment: int, now: int) -> None:
        """Note that a visitor was active at a moment, which Pendo learns now."""
        for row in (self.visitors.get(visitor), self.accounts.get(account)):
            if row is None or "auto" not in row["metadata"]:
                continue
            for group in ("auto", app_group(app)):
                auto = row["metadata"].setdefault(group, {})
                auto.setdefault("firstvisit", moment)
                auto["lastvisit"] = max(moment, auto.get("lastvisit") or 0)
                auto["lastupdated"] = now

    def add_visitor(self, key: str, accounts: list[str], moment: int) -> Row:
        """Add a visitor who is first seen at a moment, and accounts that are new."""
        self._visitor(key, accounts)
        row = self.visitors[key]
        auto = row["metadata"].setdefault("auto", {})
        auto |= {"firstvisit": moment, "lastvisit": moment, "lastupdated": moment}
        for account in accounts:
            if account not in self.accounts:
                self._account(account, None)
                self.edit(self.accounts[account], "auto", {}, moment)
        return row
