"""Field definitions of the invented company, and values for its custom fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.sandbox.vocabulary import LONG, UGLY, WORDS, Inventor, day, sql, words

if TYPE_CHECKING:
    from collections.abc import Callable

Row = dict[str, Any]

# Every field type that a custom field can have.
CUSTOM_TYPES = words(
    "varchar varchar_auto text phone double monetary enum set date daterange time timerange "
    "address user org people"
)

SUBFIELDS = {
    "monetary": (("value", "double"), ("currency", "varchar")),
    "daterange": (("value", "date"), ("until", "date")),
    "time": (("value", "time"), ("timezone_id", "int"), ("timezone_name", "varchar")),
    "timerange": (
        ("value", "time"),
        ("until", "time"),
        ("timezone_id", "int"),
        ("timezone_name", "varchar"),
    ),
    "address": tuple(
        (part, "varchar")
        for part in words(
            "value street_number route subpremise sublocality locality admin_area_level_1 "
            "admin_area_level_2 country postal_code formatted_address"
        )
    ),
}
ZONES = ((318, "Europe/London"), (296, "Europe/Tallinn"), (164, "America/Sao_Paulo"))

# code:type pairs of the built-in fields; a trailing ? marks those returned only when asked for.
SYSTEM = {
    "deal": (
        "id:int title:varchar creator_user_id:user owner_id:user value:monetary person_id:people "
        "org_id:org pipeline_id:pipeline stage_id:stage add_time:date update_time:date "
        "stage_change_time:date status:status probability:int lost_reason:varchar_options "
        "visible_to:visible_to close_time:date won_time:date lost_time:date "
        "expected_close_date:date label_ids:set origin:varchar origin_id:varchar channel:enum "
        "channel_id:varchar acv:monetary arr:monetary mrr:monetary is_archived:boolean "
        "archive_time:date next_activity_id:activity? last_activity_id:activity? "
        "first_won_time:date? products_count:int? files_count:int? notes_count:int? "
        "followers_count:int? email_messages_count:int? activities_count:int? "
        "done_activities_count:int? undone_activities_count:int? participants_count:int? "
        "last_incoming_mail_time:date? last_outgoing_mail_time:date? smart_bcc_email:varchar? "
        "source_lead_id:lead?"
    ),
    "person": (
        "id:int name:varchar first_name:varchar last_name:varchar owner_id:user org_id:org "
        "emails:varchar phones:phone add_time:date update_time:date visible_to:visible_to "
        "label_ids:set picture_id:picture postal_address:address notes:text im:varchar "
        "birthday:date job_title:varchar open_deals_count:int? won_deals_count:int? "
        "lost_deals_count:int? activities_count:int? files_count:int? notes_count:int?"
    ),
    "organization": (
        "id:int name:varchar owner_id:user add_time:date update_time:date visible_to:visible_to "
        "label_ids:set address:address website:varchar linkedin:varchar industry:enum "
        "annual_revenue:double employee_count:int open_deals_count:int? people_count:int? "
        "activities_count:int? files_count:int? notes_count:int?"
    ),
    "product": (
        "id:int name:varchar code:varchar description:text unit:varchar tax:double category:enum "
        "is_linkable:boolean visible_to:visible_to owner_id:user add_time:date update_time:date "
        "billing_frequency:billing_frequency prices:price_list"
    ),
    "activity": (
        "id:int subject:varchar type:enum owner_id:user creator_user_id:user add_time:date "
        "update_time:date deal_id:deal lead_id:lead person_id:people org_id:org "
        "project_id:projects due_date:date due_time:time duration:time busy:boolean done:boolean "
        "marked_as_done_time:date location:address public_description:text priority:enum note:text "
        "attendees:json?"
    ),
    "project": (
        "id:int title:varchar description:text status:status board_id:projects_board "
        "phase_id:projects_phase owner_id:user start_date:date end_date:date deal_ids:deals "
        "person_ids:people org_ids:org label_ids:set health_status:int add_time:date "
        "update_time:date status_change_time:date archive_time:date"
    ),
}
CUSTOM_COUNT = {
    "deal": 124,
    "person": 34,
    "organization": 32,
    "product": 12,
    "activity": 0,
    "project": 18,
}
#: Tables whose rows have an entity's custom fields.
RECORDS = {
    "deal": ("deals", "leads"),
    "person": ("persons",),
    "organization": ("organizations",),
    "product": ("products",),
    "project": ("projects",),
}
LEAD = (
    "title:varchar owner_id:user creator_id:user label_ids:set value:monetary "
    "expected_close_date:date person_id:people organization_id:org source_name:varchar "
    "origin:varchar origin_id:varchar channel:enum channel_id:varchar source_deal_id:deal "
    "is_archived:boolean was_seen:boolean next_activity_id:activity add_time:date "
    "update_time:date visible_to:visible_to cc_email:varchar"
)
# Entities whose definitions carry a description in the API's examples.
DESCRIBED = {"deal", "person", "activity"}


def definition(
    entity: str, code: str, field_type: str, name: str, source: Inventor, *, custom: bool
) -> Row:
    """One field definition, with every optional part."""
    optional = field_type.endswith("?")
    field_type = field_type.rstrip("?")
    options = _options(field_type, code, source, custom=custom)
    row: Row = {
        "field_name": name,
        "field_code": code,
        "field_type": field_type,
        "options": options,
        "subfields": [
            {"field_code": part, "field_name": f"{part} of {name}", "field_type": kind}
            for part, kind in SUBFIELDS[field_type]
        ]
        if field_type in SUBFIELDS
        else None,
        "is_custom_field": custom,
        "is_optional_response_field": optional,
    }
    if entity in DESCRIBED:
        row["description"] = f"About {name}" if source.chance(0.5) else None
    visible: Row = {"add_visible_flag": source.chance(0.5), "details_visible_flag": True}
    if entity == "deal":
        pipelines = sorted(source.sample(range(1, 5), source.below(4)))
        visible["projects_detail_visible_flag"] = False
        visible["show_in_pipelines"] = {
            "show_in_all": not pipelines,
            "pipeline_ids": pipelines,
        }
    row["ui_visibility"] = visible
    if entity in {"deal", "person", "organization", "project"}:
        stages = sorted(source.sample(range(1, 21), source.below(3))) if entity == "deal" else []
        row["important_fields"] = {"enabled": bool(stages), "stage_ids": stages}
        row["required_fields"] = {"enabled": bool(stages)}
        if entity == "deal":
            row["required_fields"] |= {
                "stage_ids": stages,
                "statuses": {"1": ["won", "lost"]} if stages else {},
            }
    return row


def _options(field_type: str, code: str, source: Inventor, *, custom: bool) -> list[Row] | None:
    if field_type not in {"enum", "set"}:
        return None
    if not custom:
        # Built-in options have text ids.
        return [{"id": word, "label": word.title()} for word in WORDS[:4]]
    first = 1 + int(code[:4], 16) * 8
    labels = source.sample(WORDS, 5)
    labels[4] = source.pick(UGLY[:3])
    return [
        {
            "id": first + place,
            "label": label,
            "color": source.pick(("green", "red", None)),
            "add_time": "2021-03-04T05:06:07Z",
            "update_time": None if place else "2024-01-31T23:59:59Z",
        }
        for place, label in enumerate(labels)
    ]


def definitions(entity: str, source: Inventor) -> dict[str, Row]:
    """All field definitions of an entity, by field code: built-in ones, then custom ones."""
    rows: dict[str, Row] = {}
    for pair in SYSTEM[entity].split():
        code, field_type = pair.split(":")
        name = code.replace("_", " ").capitalize()
        rows[code] = definition(entity, code, field_type, name, source, custom=False)
    for number in range(CUSTOM_COUNT[entity]):
        field_type = CUSTOM_TYPES[number % len(CUSTOM_TYPES)]
        # Numbers 3 and 4 share a name: names are not unique in the API.
        name = f"{WORDS[(number if number != 4 else 3) % len(WORDS)].title()} {field_type}"
        if number == 4:
            name = str(rows[list(rows)[-1]]["field_name"])
        elif number >= len(WORDS):
            name += f" {number // len(WORDS) + 1}"
        if number == 5:
            name = 'Größe "XL" / 大きさ 📏'
        code = f"{source.getrandbits(160):040x}"
        rows[code] = definition(entity, code, field_type, name, source, custom=True)
    return rows


class Values:
    """Makes values for the custom fields of an entity."""

    def __init__(self, fields: dict[str, Row], limits: dict[str, int]) -> None:
        """Remember the custom fields, and the highest ids that references may name."""
        self.fields = [row for row in fields.values() if row["is_custom_field"]]
        self.limits = limits

    def some(self, source: Inventor, about: int) -> Row:
        """Values for about this many fields; the other keys are absent, now and then null."""
        count = min(len(self.fields), max(0, about + source.below(5) - 2))
        values = {
            row["field_code"]: self.value(row, source) for row in source.sample(self.fields, count)
        }
        if source.chance(0.01):
            return {row["field_code"]: None for row in self.fields} | values
        return values

    def value(self, row: Row, source: Inventor) -> Any:
        """One value in the v2 encoding."""
        kind = row["field_type"]
        if kind in self.limits:
            return 1 + source.below(self.limits[kind])
        if kind == "enum":
            return source.pick(row["options"])["id"]
        if kind == "set":
            count = 1 + source.below(3)
            return sorted(option["id"] for option in source.sample(row["options"], count))
        return MAKERS[kind](source)


def _monetary(source: Inventor) -> Row:
    amount = 1.10 if source.chance(0.1) else source.money(9_000_000)
    return {"value": amount, "currency": source.pick(("EUR", "USD", "JPY"))}


def _date_range(source: Inventor) -> Row:
    start = source.moment(900)
    return {"value": day(start), "until": day(start + 86400 * (1 + source.below(60)))}


def _address(source: Inventor) -> Row:
    place = source.address()
    return place | {"formatted_address": place["value"]}


def _clock(source: Inventor, *, until: bool) -> Row:
    zone, name = source.pick(ZONES)
    hour = 8 + source.below(9)
    end = {"until": f"{hour + 1:02d}:30:00"} if until else {}
    return {"value": f"{hour:02d}:00:00", **end, "timezone_id": zone, "timezone_name": name}


MAKERS: dict[str, Callable[[Inventor], Any]] = {
    "text": lambda source: LONG if source.chance(0.0005) else source.sentence(),
    "varchar": Inventor.sentence,
    "varchar_auto": Inventor.sentence,
    "phone": lambda source: f"+372 5{source.below(10**6):06d}",
    "double": lambda source: source.pick((1.1, 0, -3, 1234567890123.45, source.money(1000))),
    "monetary": _monetary,
    "date": lambda source: day(source.moment(900)),
    "daterange": _date_range,
    "time": lambda source: _clock(source, until=False),
    "timerange": lambda source: _clock(source, until=True),
    "address": _address,
}


# What v1 appends to the code for the parts of a value beside the first.
V1_PARTS: dict[str, tuple[str, ...]] = {
    "monetary": ("currency",),
    "daterange": ("until",),
    "timerange": ("until",),
    "time": (),
    "address": tuple(part for part, _ in SUBFIELDS["address"] if part != "value"),
}


def as_v1(code: str, kind: str, value: Any) -> Row:
    """The v1 attributes, at the root of a record, for a value in the v2 encoding."""
    if kind == "enum":
        return {code: str(value)}
    if kind == "set":
        return {code: ",".join(str(option) for option in value)}
    if not isinstance(value, dict):
        return {code: value}
    parts = [part for part in value if part in V1_PARTS[kind]]
    return {code: value["value"]} | {f"{code}_{part}": value[part] for part in parts}


def as_v2(code: str, kind: str, row: Row) -> Any:
    """A value in the v2 encoding, as far as the v1 attributes of a record tell it."""
    value = row[code]
    if kind == "enum":
        return int(value)
    if kind == "set":
        return [int(option) for option in value.split(",")]
    if kind not in V1_PARTS:
        return value
    parts = [part for part in V1_PARTS[kind] if f"{code}_{part}" in row]
    return {"value": value} | {part: row[f"{code}_{part}"] for part in parts}


def of_code(row: Row, code: str) -> list[str]:
    """The attributes of a lead that belong to a custom field."""
    return [name for name in row if name == code or name.startswith(f"{code}_")]


def lead_field(number: int, field: Row, moment: str) -> dict[str, Row]:
    """Definitions in the shape of v1, by key: a field of leads, then its parts.

    Args:
        number: Place in the list; the id, which parts do not have.
        field: The definition in the shape of v2.
        moment: When it was added.
    """
    code, custom = field["field_code"], field["is_custom_field"]
    flags = words("index_visible details_visible add_visible searchable filtering_allowed")
    row: Row = {
        "id": number,
        "key": code,
        "name": field["field_name"],
        "order_nr": number,
        "field_type": field["field_type"],
        "add_time": moment,
        "update_time": moment if custom else None,
        "last_updated_by_user_id": 1 if custom else None,
        "created_by_user_id": 1 if custom else None,
        "active_flag": True,
        "edit_flag": custom,
        **{name if name.endswith("allowed") else f"{name}_flag": True for name in flags},
        "important_flag": False,
        "bulk_edit_allowed": custom,
        "sortable_flag": True,
        "mandatory_flag": code == "title",
        "options": v1_options(field),
        "options_deleted": [],
        "is_subfield": False,
    }
    parts: list[Row] = [
        row
        | {
            "id": None,
            "key": f"{code}_{part}",
            "name": f"{part} of {field['field_name']}",
            "field_type": "varchar",
            "is_subfield": True,
            "subfields": [],
        }
        for part in (V1_PARTS.get(field["field_type"], ()) if custom else ())
    ]
    row["subfields"] = [{name: part[name] for name in ("key", "name")} for part in parts]
    return {each["key"]: each for each in (row, *parts)}


def v1_options(field: Row) -> list[Row] | None:
    """The options of a field, as v1 writes them."""
    if field["options"] is None:
        return None
    return [{"id": option["id"], "label": option["label"]} for option in field["options"]]


def lead_fields(deal_fields: dict[str, Row], source: Inventor) -> dict[str, Row]:
    """Field definitions of leads: some of their own, then the custom ones of deals."""
    rows: dict[str, Row] = {}
    fields: list[Row] = []
    for code, kind in (pair.split(":") for pair in LEAD.split()):
        name = code.replace("_", " ").capitalize()
        fields.append({"field_code": code, "field_name": name, "field_type": kind})
        fields[-1] |= {"is_custom_field": False, "options": None}
    fields += [row for row in deal_fields.values() if row["is_custom_field"]]
    for number, field in enumerate(fields, 1):
        rows |= lead_field(number, field, sql(source.moment()))
    return rows
