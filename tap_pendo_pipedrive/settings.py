"""The tap's settings: their schema, and what must hold between them."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import re
import typing as t
from urllib.parse import urlsplit

from dotenv import find_dotenv, load_dotenv
from singer_sdk import typing as th
from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR, extend_validator_with_defaults

from tap_pendo_pipedrive.core import timestamps
from tap_pendo_pipedrive.core.redaction import redact

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonschema import ValidationError

#: Host by region (Pendo: "Engage API").
PENDO_HOSTS: t.Final = {
    "us": "https://app.pendo.io",
    "us1": "https://us1.app.pendo.io",
    "eu": "https://app.eu.pendo.io",
    "jp": "https://app.jpn.pendo.io",
    "au": "https://app.au.pendo.io",
}
PIPEDRIVE_HOST: t.Final = "https://api.pipedrive.com"
PIPEDRIVE_OAUTH: t.Final = (
    "pipedrive_client_id",
    "pipedrive_client_secret",
    "pipedrive_refresh_token",
)

SCHEMA: t.Final[dict[str, t.Any]] = th.PropertiesList(
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description=(
            "Incremental streams start here. Without it, Pipedrive is read from the beginning and"
            " Pendo's event streams start 30 days back."
        ),
    ),
    th.Property(
        "end_date",
        th.DateTimeType,
        title="End date",
        description=(
            "Incremental streams stop before this instant, so that a backfill can be cut into"
            " windows."
        ),
    ),
    th.Property(
        "request_timeout",
        th.IntegerType(minimum=1),
        default=300,
        title="Request timeout",
        description="Seconds to wait for the answer to one HTTP request.",
    ),
    th.Property(
        "max_retries",
        th.IntegerType(minimum=0, maximum=20),
        default=8,
        title="Tries per request",
        description="Tries per request before its stream fails.",
    ),
    th.Property(
        "fail_on_forbidden",
        th.BooleanType,
        default=False,
        title="Fail on forbidden streams",
        description=(
            "Streams that the credentials may not read are skipped with a warning. When true,"
            " the run exits with 1 after the other streams."
        ),
    ),
    th.Property(
        "pipedrive_api_token",
        th.StringType,
        secret=True,
        title="Pipedrive API token",
        description="Personal API token of the Pipedrive user whose data is read.",
    ),
    th.Property(
        "pipedrive_client_id",
        th.StringType,
        secret=True,
        title="Pipedrive OAuth client ID",
        description="Client ID of an OAuth app, instead of an API token.",
    ),
    th.Property(
        "pipedrive_client_secret",
        th.StringType,
        secret=True,
        title="Pipedrive OAuth client secret",
        description="Client secret of the OAuth app.",
    ),
    th.Property(
        "pipedrive_refresh_token",
        th.StringType,
        secret=True,
        title="Pipedrive OAuth refresh token",
        description="Refresh token that the OAuth app got for the company.",
    ),
    th.Property(
        "pipedrive_company_domain",
        th.StringType(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$"),
        title="Pipedrive company domain",
        description="'acme' for https://acme.pipedrive.com. Without it: https://api.pipedrive.com.",
    ),
    th.Property(
        "pipedrive_api_url",
        th.StringType,
        title="Pipedrive API URL",
        description="Replaces Pipedrive's host, for a proxy or a local server.",
    ),
    th.Property(
        "pipedrive_oauth_url",
        th.StringType,
        default="https://oauth.pipedrive.com",
        title="Pipedrive OAuth URL",
        description="Host of Pipedrive's token server.",
    ),
    th.Property(
        "pipedrive_include_archived",
        th.BooleanType,
        default=True,
        title="Include archived",
        description="Read archived deals, leads and projects too, into the same streams.",
    ),
    th.Property(
        "pipedrive_include_deleted",
        th.BooleanType,
        default=True,
        title="Include deleted",
        description="Read deals and projects deleted in the last 30 days too.",
    ),
    th.Property(
        "pipedrive_custom_fields",
        th.StringType,
        allowed_values=["nested", "named"],
        default="nested",
        title="Form of custom fields",
        description=(
            "nested: one custom_fields object by field code. named: columns of their own, named"
            " after the fields, with the labels of options."
        ),
    ),
    th.Property(
        "pipedrive_custom_field_names",
        th.ObjectType(additional_properties=th.StringType),
        title="Names of custom fields",
        description=(
            "Names for the columns of custom fields, by field code, that stay when a field is"
            " renamed in Pipedrive."
        ),
    ),
    th.Property(
        "pipedrive_daily_budget_reserve",
        th.IntegerType(minimum=0, maximum=100),
        default=5,
        title="Daily budget reserve",
        description=(
            "Stop cleanly when less than this percentage of the company's daily API tokens is left."
        ),
    ),
    th.Property(
        "pendo_integration_key",
        th.StringType,
        secret=True,
        title="Pendo integration key",
        description="Integration key of the Pendo subscription.",
    ),
    th.Property(
        "pendo_region",
        th.StringType,
        allowed_values=list(PENDO_HOSTS),
        default="us",
        title="Pendo region",
        description="Where the Pendo subscription lives, as in the address of its log-in page.",
    ),
    th.Property(
        "pendo_api_url",
        th.StringType,
        title="Pendo API URL",
        description="Replaces Pendo's host, for a proxy or a local server.",
    ),
    th.Property(
        "pendo_app_ids",
        th.ArrayType(th.IntegerType),
        title="Pendo applications",
        description="Ids of the applications to read. Without it: all.",
    ),
    th.Property(
        "pendo_event_granularity",
        th.StringType,
        allowed_values=["hour", "day"],
        default="hour",
        title="Pendo event granularity",
        description="Bucket of the grouped event streams.",
    ),
    th.Property(
        "pendo_lookback_days",
        th.IntegerType(minimum=0, maximum=90),
        default=10,
        title="Pendo look-back",
        description="Days before its bookmark that each run reads again of every event stream.",
    ),
    th.Property(
        "pendo_reread_on_rule_change",
        th.BooleanType,
        default=True,
        title="Read again after a rule changed",
        description=(
            "When the rule of a page or feature changed, Pendo rebuilds its past events: read them"
            " again from start_date on."
        ),
    ),
    th.Property(
        "pendo_include_anonymous_visitors",
        th.BooleanType,
        default=False,
        title="Include anonymous visitors",
        description="Read visitors that were never identified too.",
    ),
    th.Property(
        "max_concurrency",
        th.IntegerType(minimum=1, maximum=32),
        default=6,
        title="Concurrency",
        description="HTTP requests in flight at most, per service.",
    ),
    th.Property(
        "emit_activate_version_messages",
        th.BooleanType,
        default=True,
        title="Remove vanished rows",
        description=(
            "After a stream was read whole (`FULL_TABLE`), tell the target by ACTIVATE_VERSION that"
            " rows which did not come again are gone."
        ),
    ),
).to_dict()

SECRETS: t.Final = tuple(name for name, prop in SCHEMA["properties"].items() if prop.get("secret"))

#: A token pasted here by mistake must not show either.
_NOT_ECHOED: t.Final = (*SECRETS, "pipedrive_company_domain")
_NAMES_BY_CODE: t.Final = (
    "an object of names by field code, such as"
    ' {"dcf558aac1ae4e8c4f849ba5e668430d8df9be12": "budget"}'
)
_MOMENT: t.Final = "a date and time such as 2026-01-31T00:00:00Z"
_Validator = extend_validator_with_defaults(DEFAULT_JSONSCHEMA_VALIDATOR)


@dataclasses.dataclass(frozen=True)
class Services:
    """Which services are on.

    Attributes:
        pipedrive: Pipedrive's credentials are set.
        pendo: Pendo's key is set.
    """

    pipedrive: bool
    pendo: bool

    @classmethod
    def of(cls, config: Mapping[str, t.Any]) -> Services:
        """Tell from the settings which services are on."""
        token = bool(config.get("pipedrive_api_token"))
        oauth = all(config.get(name) for name in PIPEDRIVE_OAUTH)
        return cls(pipedrive=token or oauth, pendo=bool(config.get("pendo_integration_key")))


def drop_unset(config: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Leave out settings that are None or an empty text, which count as not set."""
    return {
        name: value
        for name, value in config.items()
        if value is not None and not (isinstance(value, str) and not value.strip())
    }


def from_environment(schema: Mapping[str, t.Any], prefix: str) -> dict[str, t.Any]:
    """Read settings from environment variables, and from a ``.env`` file in or above this folder.

    Unlike the SDK's reader it skips empty variables, and leaves values that do not fit their type
    as they are, for :func:`check` to name them.

    Args:
        schema: The settings' JSON schema.
        prefix: What precedes a setting's name in capitals.
    """
    load_dotenv(find_dotenv(usecwd=True))
    config: dict[str, t.Any] = {}
    for name, definition in schema["properties"].items():
        text = os.environ.get(prefix + name.upper(), "").strip()
        if text:
            kinds = definition.get("type", "string")
            config[name] = text if "string" in kinds else _parse(text)
    return config


def _parse(text: str) -> t.Any:  # noqa: ANN401 - settings have many types
    lowered = text.lower()
    if lowered in _TRUTH:
        return _TRUTH[lowered]
    try:
        return json.loads(text)
    except ValueError:
        return text


#: How booleans are written in the environment.
_TRUTH: t.Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def unknown(config: Mapping[str, t.Any], schema: Mapping[str, t.Any]) -> list[str]:
    """Name the settings that the tap does not know."""
    return sorted(set(config) - set(schema["properties"]))


def check(config: dict[str, t.Any], schema: Mapping[str, t.Any]) -> list[str]:
    """Fill in defaults and find everything that is wrong with the settings.

    Args:
        config: The settings; missing ones get their defaults in place.
        schema: The settings' JSON schema.

    Returns:
        A message for each error, which names the setting and what it accepts and never holds
        the value of a secret.
    """
    errors = [_message(error) for error in _Validator(schema).iter_errors(config)]
    wrong = {error.split(":", 1)[0] for error in errors}

    def valid(name: str) -> t.Any:  # noqa: ANN401 - settings have many types
        return config.get(name) if name not in wrong else None

    errors += _check_credentials(config)
    errors += _check_dates(valid("start_date"), valid("end_date"))
    errors += _check_field_names(valid("pipedrive_custom_field_names"))
    for name in ("pipedrive_api_url", "pipedrive_oauth_url", "pendo_api_url"):
        errors += check_url(name, valid(name))
    return errors


def _message(error: ValidationError) -> str:
    name = str(error.path[0]) if error.path else "configuration"
    definition = SCHEMA["properties"].get(name, error.schema)
    accepted = _accepted(definition)
    if name in _NOT_ECHOED:
        return f"{name}: must be {accepted}."
    return f"{name}: {redact(error.message)}. It must be {accepted}."


def _accepted(definition: Mapping[str, t.Any]) -> str:
    if choices := definition.get("enum"):
        return "one of " + ", ".join(str(choice) for choice in choices if choice is not None)
    kinds = definition.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    kind = next((kind for kind in kinds if kind != "null"), "a valid value")
    low, high = definition.get("minimum"), definition.get("maximum")
    if low is not None and high is not None:
        return f"a whole number from {low} to {high}"
    if low is not None:
        return f"a whole number of at least {low}"
    if "pattern" in definition:
        return "the first part of the company's address, such as acme for acme.pipedrive.com"
    if definition.get("additionalProperties") == {"type": ["string"]}:
        return _NAMES_BY_CODE
    return {
        "string": _MOMENT if definition.get("format") == "date-time" else "a text",
        "boolean": "true or false",
        "array": "a list of whole numbers, such as [-323232]",
        "integer": "a whole number",
        "object": "an object",
    }.get(kind, kind)


def _check_credentials(config: Mapping[str, t.Any]) -> list[str]:
    token = bool(config.get("pipedrive_api_token"))
    given = [name for name in PIPEDRIVE_OAUTH if config.get(name)]
    missing = [name for name in PIPEDRIVE_OAUTH if not config.get(name)]
    errors = []
    if token and given:
        errors.append(
            f"pipedrive_api_token and {', '.join(given)}: both kinds of Pipedrive credentials are"
            " set. Keep either the API token or the three OAuth settings."
        )
    elif given and missing:
        errors.append(f"{', '.join(missing)}: must be set too, since {', '.join(given)} is set.")
    if not (token or given or config.get("pendo_integration_key")):
        errors.append(
            "pipedrive_api_token, pendo_integration_key: no credentials are set. Set"
            " pipedrive_api_token (or pipedrive_client_id, pipedrive_client_secret and"
            " pipedrive_refresh_token) for Pipedrive, pendo_integration_key for Pendo, or both."
        )
    # A line break or a letter beyond Latin-1 cannot be sent in a header.
    errors += [
        f"{name}: must be printable text without spaces or line breaks; was it copied whole?"
        for name in SECRETS
        if isinstance(value := config.get(name), str) and not re.fullmatch(r"[\x21-\x7e]+", value)
    ]
    return errors


def _check_dates(start: str | None, end: str | None) -> list[str]:
    errors = []
    moments = {}
    for name, value in (("start_date", start), ("end_date", end)):
        if not isinstance(value, str):
            continue
        try:
            moments[name] = timestamps.parse(value)
        except ValueError:
            errors.append(
                f"{name}: {redact(repr(value))} is not a date and time. It must be {_MOMENT}."
            )
    if len(moments) == 2 and moments["start_date"] >= moments["end_date"]:  # noqa: PLR2004
        errors.append(
            f"start_date, end_date: start_date ({start}) must be before end_date ({end})."
        )
    return errors


def _check_field_names(names: Mapping[str, str] | None) -> list[str]:
    name = "pipedrive_custom_field_names"
    errors = []
    for code, column in (names or {}).items():
        if not re.fullmatch("[0-9a-f]{40}", code):
            errors.append(
                f"{name}: {redact(repr(code))} is not a field code, which is 40 characters from 0"
                f" to 9 and a to f. It must be {_NAMES_BY_CODE}."
            )
        if not any(char.isalnum() for char in column):
            errors.append(
                f"{name}: the name {redact(repr(column))} has no letter or digit. It must be"
                f" {_NAMES_BY_CODE}."
            )
    return errors


def check_url(name: str, url: str | None) -> list[str]:
    """Find what is wrong with a URL that credentials are sent to."""
    if url is None:
        return []
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host:
        return [f"{name}: must be a URL such as https://proxy.example.com."]
    if parts.username or parts.password or parts.query or parts.fragment:
        return [f"{name}: must not hold a user, a password, a query or a fragment."]
    if parts.scheme == "http" and not _is_loopback(host):
        message = (
            f"{name}: plain http would send the credentials in the clear to {redact(host)}."
            " It must be https, or http to this machine (localhost, 127.0.0.1)."
        )
        return [message]
    return []


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
