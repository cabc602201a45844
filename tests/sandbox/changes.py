"""A working day at the invented company: edits, new rows, archiving and deletion."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.sandbox.vocabulary import Inventor

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.company import Company
    from tests.sandbox.store import Key

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


def clear_out(company: Company, turn: int = 1) -> dict[str, set[Key]]:
    """Let something vanish in every way there is.

    A row of every kind is deleted, two persons and two organizations are merged, a lead becomes a
    deal, a follower, a participant and a role assignment are removed, a mail thread is archived.

    Args:
        company: The company.
        turn: The same company and turn do the same.

    Returns:
        The ids that are no longer in the lists that a reading asks for, by table.
    """
    source = Inventor(company.seed, f"clear out {turn}", company.now.timestamp())
    company.tick(3600)
    gone: dict[str, set[Key]] = {}
    for table in ("persons", "organizations", "activities", "products", "leads", "notes"):
        key = source.pick(list(company.tables[table]))
        company.delete(table, key)
        gone[table] = {key}
    for table in ("deals", "projects"):
        rows = company.tables[table]
        key = source.pick([key for key, row in rows.items() if row["status"] != "deleted"])
        company.delete(table, key)
        gone[table] = {key}
    for table in ("persons", "organizations"):
        lost, kept = source.sample(list(company.tables[table]), 2)
        company.merge(table, lost, kept)
        gone[table].add(lost)
    leads = company.tables["leads"]
    lead = source.pick([key for key, row in leads.items() if not row["is_archived"]])
    company.convert_lead(lead)
    gone["leads"].add(lead)
    for table in ("deal_followers", "deal_participants", "role_assignments"):
        key = source.pick(list(company.tables[table]))
        company.delete(table, key)
        gone[table] = {key}
    company.move_mail_thread(source.pick(list(company.tables["mail_threads"])), "archive")
    return gone


def add_attribute(company: Company, table: str, name: str, value: Any, count: int = 5) -> list[Key]:
    """Give some rows an attribute that no schema knows; they count as changed.

    Returns:
        Their keys.
    """
    keys = _some(company, table, f"add {name}", count, lambda row: name not in row)
    for key in keys:
        company.edit(table, key, **{name: value})
    return keys


def change_type(
    company: Company, table: str, name: str, convert: Callable[[Any], Any], count: int = 5
) -> list[Key]:
    """Give an attribute values of another type in some rows; they count as changed.

    Args:
        company: The company.
        table: Where.
        name: The attribute.
        convert: Makes the new value of the old one, which is never null.
        count: In how many rows.

    Returns:
        Their keys.
    """
    keys = _some(company, table, f"change {name}", count, lambda row: row.get(name) is not None)
    for key in keys:
        company.edit(table, key, **{name: convert(company.tables[table][key][name])})
    return keys


def _some(
    company: Company, table: str, topic: str, count: int, fits: Callable[[dict[str, Any]], bool]
) -> list[Key]:
    """Keys of some rows that are not deleted, the same ones for the same company and topic."""
    rows = company.tables[table].items()
    keys = [key for key, row in rows if fits(row) and row.get("status") != "deleted"]
    source = Inventor(company.seed, f"{topic} in {table}", company.now.timestamp())
    return source.sample(keys, min(count, len(keys)))


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
