"""A working day at the invented company: edits, new rows, archiving and deletion."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.sandbox.vocabulary import Inventor

if TYPE_CHECKING:
    from tests.sandbox.company import Company

# How often each thing happens, out of a hundred.
PLAN = (
    ("edit deals", 20),
    ("add deals", 6),
    ("archive deals", 4),
    ("unarchive deals", 1),
    ("delete deals", 4),
    ("add line items", 6),
    ("remove line items", 3),
    ("edit persons", 10),
    ("add persons", 4),
    ("edit organizations", 7),
    ("add organizations", 2),
    ("edit activities", 8),
    ("add activities", 8),
    ("delete activities", 1),
    ("edit leads", 3),
    ("add leads", 2),
    ("archive leads", 1),
    ("edit notes", 2),
    ("add notes", 2),
    ("edit products", 1),
    ("add files", 1),
    ("edit users", 1),
    ("edit pages", 1),
    ("edit features", 1),
    ("edit guides", 1),
)
TEXTS = {
    "deals": "title",
    "persons": "name",
    "organizations": "name",
    "activities": "subject",
    "leads": "title",
    "notes": "content",
    "products": "name",
    "files": "name",
    "users": "name",
    "pages": "name",
    "features": "name",
    "guides": "name",
}


def change(company: Company, count: int, turn: int = 1) -> dict[str, Any]:
    """Make a number of changes, the same ones for the same company, count and turn.

    Returns:
        How many of each kind were made, and the company's time before and after.
    """
    source = Inventor(company.seed, f"changes {turn} {count}", company.now.timestamp())
    before = company.now
    # A night has passed.
    company.tick(3600)
    done: Counter[str] = Counter()
    weights = [weight for _, weight in PLAN]
    for place in range(count):
        # The first ones go through the plan, so that a short list of changes has a bit of all.
        what = PLAN[place][0] if place < len(PLAN) else source.choices(PLAN, weights)[0][0]
        done[what if _one(company, what, source) else f"{what}: nothing left"] += 1
    return {
        "changes": sum(done.values()),
        "kinds": dict(sorted(done.items())),
        "from": before.isoformat(),
        "to": company.now.isoformat(),
    }


def _one(company: Company, what: str, source: Inventor) -> bool:
    verb, table = what.split(" ", 1)
    if table == "line items":
        return _line_item(company, verb, source)
    rows = company.tables[table]
    if verb == "add":
        text = {TEXTS[table]: f"New: {source.sentence()}"}
        company.add(table, **text)
        return True
    keys = list(rows)
    if table in {"deals", "leads"}:
        archived = verb == "unarchive"
        keys = [
            key
            for key in keys
            if rows[key]["is_archived"] == archived and not rows[key].get("is_deleted")
        ]
    if not keys:
        return False
    key = source.pick(keys)
    if verb == "delete":
        company.delete(table, key)
    elif verb == "archive":
        if table == "deals":
            company.archive_deal(key)
        else:
            company.archive_lead(key)
    elif verb == "unarchive":
        company.unarchive_deal(key)
    else:
        values: dict[str, Any] = {TEXTS[table]: f"Edited: {source.sentence()}"}
        if table == "deals":
            values["value"] = source.money(100_000)
        company.edit(table, key, **values)
    return True


def _line_item(company: Company, verb: str, source: Inventor) -> bool:
    if verb == "add":
        deals = [
            key
            for key, row in company.tables["deals"].items()
            if not row["is_archived"] and not row["is_deleted"]
        ]
        products = list(company.tables["products"])
        if not deals or not products:
            return False
        company.add_product_to_deal(source.pick(deals), source.pick(products))
        return True
    items = list(company.tables["deal_products"])
    if not items:
        return False
    company.remove_product_from_deal(source.pick(items))
    return True


def change_usage(company: Company, count: int, turn: int = 1) -> None:
    """A day in Pendo: new events, late ones, edited and new people, edited rules.

    Args:
        company: The company.
        count: Activities of the day; a tenth of it comes three days late, another one eight days.
        turn: The same company, count and turn make the same changes.
    """
    source = Inventor(company.seed, f"usage {turn} {count}", company.now.timestamp())
    company.tick(86400)
    company.add_events(count, spread=1.0)
    company.add_events(count // 10, days_back=3, spread=0.5)
    company.add_events(count // 10, days_back=8, spread=0.9)
    people = company.analytics.people
    for visitor in source.sample(list(people.visitors), 5):
        company.edit_visitor(visitor, "custom", nickname=source.sentence())
    company.edit_account(source.pick(list(people.accounts)), "custom", mrr=source.money(900))
    company.add_visitor(
        f'new "{turn}" \\ {source.below(10**9)}', [source.pick(list(people.accounts))]
    )
    company.edit_page_rule(source.pick(list(company.tables["pages"])))
    company.edit_feature_rule(source.pick(list(company.tables["features"])))
