"""The small tables of the invented company: users, roles, pipelines, currencies, filters, ..."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sandbox.vocabulary import WORDS, Inventor, day, sql, words, z, z_ms

if TYPE_CHECKING:
    from tests.sandbox.fields import Row

NEVER = "0000-00-00 00:00:00"
APPS = ("sales", "projects", "campaigns", "global", "account_settings")
CURRENCIES = words(
    "EUR:Euro:€ USD:US_Dollar:$ GBP:Pound_Sterling:£ JPY:Yen:¥ SEK:Swedish_Krona:kr NOK:Norwegian_"
    "Krone:kr DKK:Danish_Krone:kr PLN:Zloty:zł CZK:Czech_Koruna:Kč HUF:Forint:Ft RON:Leu:lei "
    "BGN:Lev:лв CHF:Swiss_Franc:Fr TRY:Turkish_Lira:₺ UAH:Hryvnia:₴ INR:Rupee:₹ CNY:Yuan:¥ "
    "KRW:Won:₩ BRL:Real:R$ MXN:Mexican_Peso:$ CAD:Canadian_Dollar:$ AUD:Australian_Dollar:$ "
    "NZD:New_Zealand_Dollar:$ SGD:Singapore_Dollar:$ HKD:Hong_Kong_Dollar:$ ZAR:Rand:R "
    "ILS:Shekel:₪ AED:Dirham:د.إ SAR:Riyal:﷼ THB:Baht:฿ IDR:Rupiah:Rp MYR:Ringgit:RM PHP:Peso:₱ "
    "VND:Dong:₫ CLP:Chilean_Peso:$ COP:Colombian_Peso:$ PEN:Sol:S/ ARS:Argentine_Peso:$ "
    "KWD:Kuwaiti_Dinar:د.ك FHP:Fernhill_Points:✿"
)


def currencies(count: int) -> dict[int, Row]:
    """Currencies; the last one is the company's own."""
    rows: dict[int, Row] = {}
    for number, entry in enumerate(CURRENCIES[:count], 1):
        code, name, symbol = entry.split(":")
        rows[number] = {
            "id": number,
            "code": code,
            "name": name.replace("_", " "),
            "decimal_points": {"JPY": 0, "KRW": 0, "KWD": 3}.get(code, 2),
            "symbol": symbol,
            "active_flag": code != "HUF",
            "is_custom_flag": code == "FHP",
        }
    return rows


def permission_sets(count: int, source: Inventor) -> dict[str, Row]:
    """Permission sets, by UUID."""
    rows: dict[str, Row] = {}
    for number in range(count):
        key = source.uuid()
        rows[key] = {
            "id": key,
            "name": f"{APPS[number % len(APPS)]} {'admin' if number < len(APPS) else 'regular'}",
            "app": APPS[number % len(APPS)],
            "type": "admin" if number < len(APPS) else "regular",
            "assignment_count": 3 + number,
        }
    return rows


def roles(count: int, source: Inventor) -> dict[int, Row]:
    """A tree of roles; the counts are texts, as in the API."""
    rows: dict[int, Row] = {}
    for number in range(1, count + 1):
        parent = None if number == 1 else 1 + source.below(number - 1)
        rows[number] = {
            "id": number,
            "parent_role_id": parent,
            "name": "(Unassigned users)" if number == 1 else f"Team {number}",
            "active_flag": True,
            "assignment_count": str(source.below(9)),
            "sub_role_count": "0",
            "level": 1 if parent is None else rows[parent]["level"] + 1,
        }
        if parent is not None:
            rows[parent]["sub_role_count"] = str(int(rows[parent]["sub_role_count"]) + 1)
    return rows


def users(count: int, sets: dict[str, Row], source: Inventor) -> dict[int, Row]:
    """Users; some were never changed, some never logged in, some are gone."""
    rows: dict[int, Row] = {}
    set_ids = list(sets)
    for number in range(1, count + 1):
        first, last = source.person()
        created = source.moment()
        rows[number] = {
            "id": number,
            "name": f"{first} {last}",
            "default_currency": "EUR",
            "locale": source.pick(("et_EE", "en_US", "pt_BR")),
            "lang": 1,
            "email": f"user{number}@fernhill.example",
            "phone": source.maybe(0.6, f"+372 600 {number:04d}"),
            "activated": number % 9 != 0,
            "last_login": NEVER if number % 9 == 0 else sql(source.moment(since=created)),
            "created": sql(created),
            "modified": None if number % 7 == 0 else sql(source.moment(since=created)),
            "has_created_company": number == 1,
            "access": [
                {
                    "app": sets[set_id]["app"],
                    "admin": sets[set_id]["type"] == "admin",
                    "permission_set_id": set_id,
                }
                for set_id in set_ids[number % 3 :: 3]
            ],
            "active_flag": number % 10 != 0,
            "timezone_name": source.pick(("Europe/Tallinn", "America/New_York")),
            "timezone_offset": "+03:00",
            "role_id": 1 + number % 12,
            "icon_url": source.maybe(0.3, f"https://icons.example/{number}.png"),
            "is_you": number == 1,
            "is_deleted": number % 13 == 0,
        }
    return rows


def activity_types(count: int, source: Inventor) -> dict[int, Row]:
    """Activity types; a third are the company's own."""
    keys = [
        *words("call meeting task deadline email lunch"),
        *(f"custom_{number}" for number in range(count)),
    ]
    rows: dict[int, Row] = {}
    for number in range(1, count + 1):
        added = source.moment()
        rows[number] = {
            "id": number,
            "order_nr": number,
            "name": keys[number - 1].replace("_", " ").title(),
            "key_string": keys[number - 1],
            "icon_key": source.pick(("call", "task", "bell")),
            "active_flag": number != count,
            "color": "FFFFFF",
            "is_custom_flag": number > 6,
            "add_time": sql(added),
            "update_time": NEVER if number == 3 else sql(source.moment(since=added)),
        }
    return rows


def filters(count: int, users_count: int, source: Inventor) -> dict[int, Row]:
    """Saved filters; some were never edited."""
    kinds = ("deals", "leads", "org", "people", "products", "activity", "projects")
    rows: dict[int, Row] = {}
    for number in range(1, count + 1):
        added = source.moment()
        rows[number] = {
            "id": number,
            "name": source.sentence(),
            "filter_code": source.maybe(0.2, f"all_{number}"),
            "is_editable": number % 4 != 0,
            "active_flag": True,
            "type": kinds[number % len(kinds)],
            "temporary_flag": source.maybe(0.2, True),
            "user_id": 1 + source.below(users_count),
            "add_time": sql(added),
            "update_time": None if number % 6 == 0 else sql(source.moment(since=added)),
            "visible_to": source.pick(("1", "3", "5", "7")),
            "last_used_time": source.maybe(0.5, sql(source.moment(60))),
            "custom_view_id": source.maybe(0.3, number + 500),
        }
    return rows


def lead_labels(source: Inventor) -> dict[str, Row]:
    """Labels of leads, by UUID."""
    rows: dict[str, Row] = {}
    for name, color in zip(
        ("Hot", "Warm", "Cold", "VIP ⭐", "Partner", "Later"),
        ("red", "yellow", "blue", "purple", "green", "gray"),
        strict=True,
    ):
        key, added = source.uuid(), source.moment()
        stamp = z_ms(added + 0.551)
        rows[key] = {"id": key, "name": name, "color": color}
        rows[key] |= {"add_time": stamp, "update_time": stamp}
    return rows


def pipelines(count: int, source: Inventor) -> dict[int, Row]:
    """Sales pipelines."""
    rows: dict[int, Row] = {}
    for number in range(1, count + 1):
        added = source.moment()
        rows[number] = {
            "id": number,
            "name": f"Pipeline {WORDS[number]}",
            "order_nr": number,
            "is_deleted": False,
            "is_deal_probability_enabled": number % 2 == 0,
            "add_time": z(added),
            "update_time": None if number == count else z(source.moment(since=added)),
        }
    return rows


def stages(count: int, pipelines_count: int, source: Inventor) -> dict[int, Row]:
    """Stages, dealt out over the pipelines."""
    rows: dict[int, Row] = {}
    for number in range(1, count + 1):
        added = source.moment()
        place = (number - 1) // pipelines_count
        rows[number] = {
            "id": number,
            "order_nr": place,
            "name": f"Stage {place + 1}",
            "is_deleted": False,
            "deal_probability": min(100, 20 * (place + 1)),
            "pipeline_id": 1 + (number - 1) % pipelines_count,
            "is_deal_rot_enabled": number % 3 == 0,
            "days_to_rotten": 30 if number % 3 == 0 else None,
            "add_time": z(added),
            "update_time": z(source.moment(since=added)),
        }
    return rows


GOALS = words("deals_won deals_progressed activities_completed activities_added deals_started")


def goals(count: int, users: int, source: Inventor) -> dict[str, Row]:
    """Goals, by a hexadecimal id; every third is no longer active."""
    rows: dict[str, Row] = {}
    for number in range(count):
        key = f"{source.getrandbits(128):032x}"
        kind = GOALS[number % len(GOALS)]
        start = source.moment(700)
        tracked: Row = {"target": 1 + source.below(500), "tracking_metric": "quantity"}
        if number % 4 == 0:
            tracked |= {"tracking_metric": "sum", "currency_id": 1}
        params: Row = {"pipeline_id": sorted(source.sample(range(1, 5), 1 + source.below(3)))}
        if kind.startswith("activities"):
            params["activity_type_id"] = [1 + source.below(12)]
        rows[key] = {
            "id": key,
            "owner_id": 1 + source.below(users),
            "title": source.sentence(),
            "type": {"name": kind, "params": params},
            "assignee": {
                "id": 1 + source.below(users),
                "type": source.pick(("person", "company", "team")),
            },
            "interval": source.pick(words("weekly monthly quarterly yearly")),
            "duration": {"start": day(start), "end": source.maybe(0.5, day(source.now))},
            "expected_outcome": tracked,
            "is_active": number % 3 != 2,
            "report_ids": [f"{source.getrandbits(128):032x}"],
        }
    return rows


def legacy_teams(count: int, users_count: int, source: Inventor) -> dict[int, Row]:
    """Teams of the old kind, with their members; the flags are numbers."""
    rows: dict[int, Row] = {}
    for number in range(1, count + 1):
        rows[number] = {
            "id": number,
            "name": f"Team {WORDS[number].title()}",
            "description": source.maybe(0.5, source.sentence()),
            "manager_id": 1 + source.below(users_count),
            "users": sorted(source.sample(range(1, users_count + 1), source.below(6))),
            "active_flag": int(number % 3 != 0),
            "deleted_flag": 0,
            "add_time": sql(source.moment()),
            "created_by_user_id": 1,
        }
    return rows


def lead_sources() -> dict[str, Row]:
    """Where leads come from; nothing but names."""
    names = (
        *("Manually created", "Deal", "Web forms", "Prospector", "Leadbooster", "Live chat"),
        *("Import", "Website visitors", "Workflow automation", "API"),
    )
    return {name: {"name": name} for name in names}


def note_fields() -> dict[int, Row]:
    """Definitions of the attributes of notes, in the shape of v1."""
    rows: dict[int, Row] = {}
    pins = [f"pinned_to_{kind}_flag:enum" for kind in words("lead deal organization person")]
    for pair in (
        *words("id:int content:text user_id:user deal_id:deal lead_id:lead person_id:people"),
        *words("org_id:org add_time:date update_time:date"),
        *pins,
    ):
        key, kind = pair.split(":")
        number = len(rows) + 1
        rows[number] = {
            "id": number,
            "key": key,
            "name": key.replace("_", " ").capitalize(),
            "field_type": kind,
            "active_flag": True,
            "edit_flag": key.startswith("pinned"),
            "bulk_edit_allowed": True,
            "mandatory_flag": key == "content",
        }
        if kind == "enum":
            rows[number]["options"] = [{"id": 1, "label": "Yes"}, {"id": 0, "label": "No"}]
    return rows
