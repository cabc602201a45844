"""Organizations, persons and products of the invented company."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sandbox.vocabulary import LONG, UGLY, Inventor, organization_name, words, z, z_ms

if TYPE_CHECKING:
    from tests.sandbox.fields import Row, Values

ORG_COUNTERS = words(
    "open_deals_count related_open_deals_count closed_deals_count related_closed_deals_count "
    "email_messages_count people_count activities_count done_activities_count "
    "undone_activities_count files_count notes_count followers_count won_deals_count "
    "related_won_deals_count lost_deals_count related_lost_deals_count"
)
ORG_OPTIONAL = ("next_activity_id", "last_activity_id", *ORG_COUNTERS, "smart_bcc_email")
PERSON_COUNTERS = words(
    "open_deals_count related_open_deals_count closed_deals_count related_closed_deals_count "
    "participant_open_deals_count participant_closed_deals_count email_messages_count "
    "activities_count done_activities_count undone_activities_count files_count notes_count "
    "followers_count won_deals_count related_won_deals_count lost_deals_count "
    "related_lost_deals_count"
)
PERSON_OPTIONAL = (
    "next_activity_id",
    "last_activity_id",
    *PERSON_COUNTERS,
    "last_incoming_mail_time",
    "last_outgoing_mail_time",
    "marketing_status",
    "doi_status",
    "smart_bcc_email",
)


def changed(source: Inventor, added: float, bulk: float, share: float = 0.08) -> float:
    """When a row was changed: on its own, or together with many others in one bulk edit."""
    if source.chance(share) and bulk > added:
        return bulk
    return source.moment(since=added)


def organizations(
    count: int, users: int, values: Values, source: Inventor
) -> tuple[dict[int, Row], dict[str, int]]:
    """Organizations by id, and the web domains of those that have a website."""
    rows: dict[int, Row] = {}
    domains: dict[str, int] = {}
    bulk = float(int(source.now - 40 * 86400))
    for key in range(1, count + 1):
        name, domain = organization_name(key - 1)
        added = source.moment()
        website = None
        if source.chance(0.7):
            website = f"https://{domain}"
            domains[domain] = key
        rows[key] = {
            "id": key,
            "name": f"{name} {source.pick(UGLY)}" if source.chance(0.01) else name,
            "owner_id": 1 + source.below(users),
            "add_time": z(added),
            "update_time": z(changed(source, added, bulk)),
            "is_deleted": False,
            "visible_to": source.pick((1, 3, 5, 7)),
            "address": source.address() if source.chance(0.6) else None,
            "label_ids": [5, 6][: source.below(3)],
            "website": website,
            "linkedin": source.maybe(0.2, f"https://linkedin.example/company/{key}"),
            "industry": source.maybe(0.5, source.below(20)),
            "annual_revenue": source.maybe(0.4, source.below(40_000_000_000)),
            "employee_count": source.maybe(0.5, source.below(90_000)),
            "custom_fields": values.some(source, 5),
            "next_activity_id": None,
            "last_activity_id": None,
            **dict.fromkeys(ORG_COUNTERS, 0),
            "smart_bcc_email": f"fernhill+org{key}@mail.example",
        }
    return rows, domains


def _lines(source: Inventor, texts: list[str], labels: tuple[str, ...]) -> list[Row]:
    return [
        {"value": text, "primary": place == 0, "label": source.pick(labels)}
        for place, text in enumerate(texts)
    ]


def persons(
    count: int, users: int, orgs: dict[int, Row], values: Values, source: Inventor
) -> dict[int, Row]:
    """Persons; a few were never changed, some belong to no organization."""
    rows: dict[int, Row] = {}
    bulk = float(int(source.now - 12 * 86400))
    for key in range(1, count + 1):
        first, last = source.person()
        added = source.moment()
        org_id = 1 + source.below(len(orgs)) if source.chance(0.8) else None
        mails = [f"{first}.{last}.{n}@people.example".lower() for n in range(source.below(4))]
        phones = [f"+44 20 {source.below(10**8):08d}" for _ in range(source.below(3))]
        rows[key] = {
            "id": key,
            "name": source.pick(UGLY) or "?" if source.chance(0.005) else f"{first} {last}",
            "first_name": first,
            "last_name": source.maybe(0.95, last),
            "owner_id": 1 + source.below(users),
            "org_id": org_id,
            "add_time": z(added),
            "update_time": None if source.chance(0.004) else z(changed(source, added, bulk, 0.1)),
            "emails": _lines(source, mails, ("work", "home")),
            "phones": _lines(source, phones, ("mobile", "work", "")),
            "is_deleted": False,
            "visible_to": source.pick((1, 3, 5, 7)),
            "label_ids": [1, 2][: source.below(3)],
            "picture_id": source.maybe(0.1, 9000 + key),
            "custom_fields": values.some(source, 4),
            "notes": source.maybe(0.05, "From contact sync"),
            "im": _lines(source, [f"im{key}"], ("skype",)) if source.chance(0.1) else [],
            "birthday": source.maybe(0.1, "1984-02-29"),
            "job_title": source.maybe(0.4, source.pick(("CEO", "Buyer", "Vice\tPresident"))),
            "postal_address": source.address() if source.chance(0.1) else None,
            "next_activity_id": None,
            "last_activity_id": None,
            **dict.fromkeys(PERSON_COUNTERS, 0),
            "last_incoming_mail_time": source.maybe(0.2, z(source.moment(90))),
            "last_outgoing_mail_time": source.maybe(0.2, z(source.moment(90))),
            "marketing_status": source.pick(("no_consent", "subscribed", "unsubscribed")),
            "doi_status": source.pick((None, "not_sent", "confirmed")),
            "smart_bcc_email": f"fernhill+person{key}@mail.example",
        }
    return rows


def products(count: int, users: int, values: Values, source: Inventor) -> dict[int, Row]:
    """Products; this endpoint writes its times with milliseconds."""
    rows: dict[int, Row] = {}
    bulk = float(int(source.now - 100 * 86400))
    for key in range(1, count + 1):
        added = source.moment()
        frequency = source.pick(("one-time", "monthly", "annually", "weekly"))
        rows[key] = {
            "id": key,
            "name": source.sentence() or "Product",
            "code": source.maybe(0.8, f"FH-{key:04d}"),
            "description": LONG if key % 211 == 0 else source.sentence(),
            "unit": source.pick(("", "pcs", "h", None)),
            "tax": source.pick((0, 9, 20, 22.5)),
            "category": source.pick((None, "40", "41", "42")),
            "is_linkable": key % 17 != 0,
            "is_deleted": False,
            "visible_to": source.pick((1, 3, 5, 7)),
            "owner_id": 1 + source.below(users),
            "add_time": z_ms(added),
            "update_time": z_ms(changed(source, added, bulk, 0.2)),
            "billing_frequency": frequency,
            "billing_frequency_cycles": source.maybe(0.3, 12) if frequency == "monthly" else None,
            "prices": [
                {
                    "product_id": key,
                    "price": 1.10 if source.chance(0.05) else source.money(5000),
                    "currency": currency,
                    "cost": source.money(2000),
                    "direct_cost": source.maybe(0.3, source.money(500)),
                    "notes": "",
                }
                for currency in ("EUR", "USD", "JPY")[: source.below(4)]
            ],
            "custom_fields": values.some(source, 3),
        }
    return rows
