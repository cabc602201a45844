"""Settings are checked before any request, and a mistake is named with what would be right."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.exceptions import ConfigValidationError

from tap_pendo_pipedrive.tap import TapPendoPipedrive
from tests.harness import log_text, parse, run_command
from tests.integration.expected import ALL_PENDO, CATALOG, EVENTS, PENDO

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Sync
    from tests.sandbox import PendoServer, PipedriveServer

PREFIX = "TAP_PENDO_PIPEDRIVE_"
SECRETS = {
    "pipedrive_api_token",
    "pipedrive_client_id",
    "pipedrive_client_secret",
    "pipedrive_refresh_token",
    "pendo_integration_key",
}
OAUTH = {
    "pipedrive_client_id": "id",
    "pipedrive_client_secret": "secret",
    "pipedrive_refresh_token": "refresh",
}
DEFAULTS = {
    "request_timeout": 300,
    "max_retries": 8,
    "fail_on_forbidden": False,
    "pipedrive_oauth_url": "https://oauth.pipedrive.com",
    "pipedrive_include_archived": True,
    "pipedrive_include_deleted": True,
    "pipedrive_custom_fields": "nested",
    "pipedrive_daily_budget_reserve": 5,
    "pendo_region": "us",
    "pendo_event_granularity": "hour",
    "pendo_lookback_days": 10,
    "pendo_include_anonymous_visitors": False,
    "max_concurrency": 6,
}
OPTIONAL = {
    "start_date",
    "end_date",
    "pipedrive_company_domain",
    "pipedrive_api_url",
    "pipedrive_custom_field_names",
    "pendo_api_url",
    "pendo_app_ids",
}
CODE = "dcf558aac1ae4e8c4f849ba5e668430d8df9be12"


def problems(config: dict[str, Any]) -> list[str]:
    """What the tap says about a configuration."""
    try:
        TapPendoPipedrive(config=config, setup_mapper=False)
    except ConfigValidationError as error:
        return error.errors
    return []


def one_problem(config: dict[str, Any]) -> str:
    found = problems(config)
    assert len(found) == 1, found
    return found[0]


# Which settings there are.


def test_settings_and_defaults() -> None:
    properties = TapPendoPipedrive.config_jsonschema["properties"]
    own = {*DEFAULTS, *OPTIONAL, *SECRETS}
    assert own <= set(properties)
    assert {k: properties[k]["default"] for k in own if "default" in properties[k]} == DEFAULTS
    assert {name for name, definition in properties.items() if definition.get("secret")} == SECRETS
    assert all(properties[name].get("description") for name in own)


# Credentials.


def test_no_credentials_names_both_services() -> None:
    message = one_problem({})
    for name in ("pipedrive_api_token", "pipedrive_client_id", "pendo_integration_key"):
        assert name in message


@pytest.mark.parametrize("extra", [{"pipedrive_client_id": "id"}, OAUTH])
def test_both_kinds_of_pipedrive_credentials(extra: dict[str, str]) -> None:
    message = one_problem({"pipedrive_api_token": "token", **extra})
    assert "pipedrive_api_token" in message
    assert "pipedrive_client_id" in message


@pytest.mark.parametrize("missing", OAUTH)
@pytest.mark.parametrize("pendo", [{}, {"pendo_integration_key": "key"}], ids=["alone", "pendo"])
def test_incomplete_oauth_names_what_is_missing(missing: str, pendo: dict[str, str]) -> None:
    config = {name: value for name, value in OAUTH.items() if name != missing}
    assert one_problem(config | pendo).split(":")[0] == missing


@pytest.mark.parametrize("empty", ["", "  ", None])
@pytest.mark.parametrize("name", ["pipedrive_api_token", "pendo_integration_key"])
def test_empty_credentials_are_no_credentials(name: str, empty: str | None) -> None:
    assert "no credentials" in one_problem({name: empty})


@pytest.mark.parametrize("value", ["two words", "line\nbreak", "naïve-é", "tab\tbed"])
def test_credentials_that_no_header_can_carry(value: str) -> None:
    message = one_problem({"pipedrive_api_token": value})
    assert message.startswith("pipedrive_api_token:")
    assert value not in message


# Values.


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("pendo_region", "mars", "us, us1, eu, jp, au"),
        ("pendo_event_granularity", "week", "hour, day"),
        ("pipedrive_custom_fields", "flat", "nested, named"),
        ("max_retries", -1, "0 to 20"),
        ("max_retries", 21, "0 to 20"),
        ("max_retries", "8", "0 to 20"),
        ("pipedrive_daily_budget_reserve", -1, "0 to 100"),
        ("pipedrive_daily_budget_reserve", 101, "0 to 100"),
        ("pendo_lookback_days", -1, "0 to 90"),
        ("pendo_lookback_days", 91, "0 to 90"),
        ("max_concurrency", 0, "1 to 32"),
        ("max_concurrency", 33, "1 to 32"),
        ("max_concurrency", 1.5, "1 to 32"),
        ("request_timeout", 0, "at least 1"),
        ("request_timeout", "soon", "at least 1"),
        ("fail_on_forbidden", "maybe", "true or false"),
        ("pipedrive_include_archived", 1, "true or false"),
        ("pendo_app_ids", "1,2", "list of whole numbers"),
        ("pendo_app_ids", ["one"], "list of whole numbers"),
        ("pipedrive_custom_field_names", "budget", "names by field code"),
        ("pipedrive_custom_field_names", [CODE], "names by field code"),
        ("pipedrive_custom_field_names", {CODE: 1}, "names by field code"),
        ("pipedrive_custom_field_names", {CODE: None}, "names by field code"),
        ("pipedrive_custom_field_names", {CODE: ""}, "no letter or digit"),
        ("pipedrive_custom_field_names", {CODE: " _ "}, "no letter or digit"),
        ("pipedrive_custom_field_names", {CODE[:-1]: "budget"}, "40 characters"),
        ("pipedrive_custom_field_names", {CODE + "0": "budget"}, "40 characters"),
        ("pipedrive_custom_field_names", {CODE.upper(): "budget"}, "40 characters"),
        ("pipedrive_custom_field_names", {"budget": CODE}, "40 characters"),
        ("pipedrive_company_domain", "acme.pipedrive.com", "acme"),
        ("pipedrive_company_domain", "evil.example/", "acme"),
        ("pipedrive_company_domain", "https://acme.pipedrive.com", "acme"),
        ("start_date", "yesterday", "2026-01-31T00:00:00Z"),
        ("end_date", "31.01.2026", "2026-01-31T00:00:00Z"),
        ("start_date", "2026-02-30T00:00:00Z", "2026-01-31T00:00:00Z"),
        ("start_date", 20260131, "2026-01-31T00:00:00Z"),
        ("pipedrive_api_url", "localhost", "https://"),
        ("pendo_api_url", "ftp://files.example", "https://"),
        ("pipedrive_oauth_url", "https://", "https://"),
    ],
)
def test_wrong_value_names_the_setting_and_what_it_accepts(
    name: str, value: Any, accepted: str
) -> None:
    message = one_problem({"pendo_integration_key": "key", name: value})
    assert message.startswith(f"{name}:")
    assert accepted in message


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("max_retries", (0, 20)),
        ("pipedrive_daily_budget_reserve", (0, 100)),
        ("pendo_lookback_days", (0, 90)),
        ("max_concurrency", (1, 32)),
        ("request_timeout", (1, 3600)),
        ("pendo_region", ("us", "us1", "eu", "jp", "au")),
        ("pipedrive_company_domain", ("acme", "a", "acme-2")),
        ("pipedrive_custom_field_names", ({}, {CODE: "x"}, {CODE: "予算", "0" * 40: "cf_Budget"})),
        ("start_date", ("2026-01-31", "2026-01-31T00:00:00Z", "2026-01-31T10:00:00.5+02:00")),
    ],
)
def test_ends_of_the_ranges_are_accepted(name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        assert problems({"pendo_integration_key": "key", name: value}) == []


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        # Later as a text, earlier as a time.
        ("2026-01-01T01:00:00Z", "2026-01-01T02:00:00+02:00"),
    ],
)
def test_dates_the_wrong_way_round(start: str, end: str) -> None:
    message = one_problem({"pendo_integration_key": "key", "start_date": start, "end_date": end})
    assert "start_date" in message
    assert "end_date" in message
    assert start in message


@pytest.mark.parametrize("name", ["pipedrive_api_url", "pipedrive_oauth_url", "pendo_api_url"])
class TestUrls:
    @pytest.mark.parametrize(
        "url", ["http://api.example.com", "http://192.168.0.2:80", "http://localhost.example.com"]
    )
    def test_plain_http_is_for_this_machine_only(self, name: str, url: str) -> None:
        message = one_problem({"pendo_integration_key": "key", name: url})
        assert message.startswith(f"{name}:")
        assert "https" in message

    @pytest.mark.parametrize(
        "url",
        [
            "http://localhost:8080",
            "http://127.0.0.1",
            "http://127.9.9.9:1",
            "http://[::1]:8000/",
            "https://proxy.example.com/pipedrive",
        ],
    )
    def test_https_and_this_machine_are_fine(self, name: str, url: str) -> None:
        assert problems({"pendo_integration_key": "key", name: url}) == []

    def test_no_credentials_in_it(self, name: str) -> None:
        url = "https://user:tok-SECRET-1@proxy.example.com"
        message = one_problem({"pendo_integration_key": "key", name: url})
        assert message.startswith(f"{name}:")
        assert "SECRET" not in message


def test_a_secret_in_the_names_of_custom_fields_is_not_echoed() -> None:
    secret = "tok-SECRET-12345"
    for names in ({secret: "budget"}, {CODE: secret, "x": "y"}, {CODE: [secret]}, secret):
        config = {"pendo_integration_key": secret, "pipedrive_custom_field_names": names}
        assert secret not in one_problem(config)


def test_every_mistake_is_named_at_once() -> None:
    found = problems({"pipedrive_client_id": "id", "max_retries": 99, "pendo_region": "mars"})
    assert len(found) == 3


def test_an_empty_text_counts_as_not_set() -> None:
    names = {*DEFAULTS, *OPTIONAL, *SECRETS} - {"pendo_integration_key"}
    config = {"pendo_integration_key": "key", **dict.fromkeys(names, "")}
    tap = TapPendoPipedrive(config=config, setup_mapper=False)
    assert {name: tap.config[name] for name in DEFAULTS} == DEFAULTS
    assert set(tap.streams) == set(ALL_PENDO)


def test_an_unknown_setting_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert problems({"pendo_integration_key": "key", "pendo_regoin": "eu"}) == []
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert any("pendo_regoin" in text for text in warnings)


def test_settings_of_the_sdk_are_known(caplog: pytest.LogCaptureFixture) -> None:
    extra = {
        "stream_maps": {},
        "stream_map_config": {},
        "flattening_enabled": False,
        "flattening_max_depth": 1,
        "flattening_max_key_length": 60,
    }
    assert problems({"pendo_integration_key": "key", **extra}) == []
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == []


# Secrets.


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize("wrap", [lambda s: [s], lambda s: {"key": s}, lambda s: f"{s} {s}"])
def test_a_secret_of_the_wrong_form_is_not_echoed(
    name: str, wrap: Any, caplog: pytest.LogCaptureFixture
) -> None:
    found = problems({name: wrap("tok-SECRET-12345"), "max_retries": 99})
    assert any(message.startswith(f"{name}:") for message in found)
    assert "SECRET" not in json.dumps(found)
    assert "SECRET" not in log_text(caplog)


@pytest.mark.parametrize(
    "name",
    [
        "pendo_region",
        "start_date",
        "end_date",
        "max_retries",
        "fail_on_forbidden",
        "pipedrive_company_domain",
        "pipedrive_api_url",
        "pendo_app_ids",
        "pipedrive_custom_field_names",
        "unknown_setting",
    ],
)
def test_a_secret_in_the_wrong_place_is_not_echoed(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The same key was pasted into another setting too."""
    key = "tok-SECRET 12345" if name == "pipedrive_company_domain" else "tok-SECRET-12345"
    found = problems({"pendo_integration_key": "tok-SECRET-12345", name: key, "max_concurrency": 0})
    assert found
    text = json.dumps(found) + log_text(caplog)
    assert "tok-SECRET-12345" not in text


def test_a_token_pasted_as_company_domain_only_is_not_echoed() -> None:
    """Nothing else tells that it is a secret."""
    token = "0123456789abcdef0123456789abcdef01234567/"
    message = one_problem({"pendo_integration_key": "key", "pipedrive_company_domain": token})
    assert message.startswith("pipedrive_company_domain:")
    assert token[:-1] not in message


# Nothing is asked before the settings are right.


def test_no_request_before_the_settings_are_right(
    tmp_path: Path, config: dict[str, Any], pipedrive: PipedriveServer, pendo: PendoServer
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config | {"pendo_region": "mars"}))
    for arguments in ((), ("--test",)):
        result = run_command("--config", str(file), *arguments)
        assert result.returncode != 0
        assert result.stdout == ""
        assert "pendo_region" in result.stderr
        assert "us, us1, eu, jp, au" in result.stderr
        assert "Traceback" not in result.stderr
    assert pipedrive.requests == pendo.requests == []


# --config=ENV.


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without the tap's variables, in a folder without a .env file."""
    for name in os.environ:
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def set_variables(environment: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        environment.setenv(PREFIX + name.upper(), value)


def test_environment_gives_every_type(environment: pytest.MonkeyPatch) -> None:
    set_variables(
        environment,
        {
            "pendo_integration_key": "key",
            "pendo_app_ids": "[-323232, 5184920477540352]",
            "pendo_lookback_days": "3",
            "pipedrive_custom_field_names": f'{{"{CODE}": "budget"}}',
            "fail_on_forbidden": "true",
            "pipedrive_include_deleted": "false",
            "start_date": "2026-01-01T00:00:00Z",
            "pendo_region": "eu",
        },
    )
    config = TapPendoPipedrive(parse_env_config=True, setup_mapper=False).config
    assert config["pendo_app_ids"] == [-323232, 5184920477540352]
    assert config["pendo_lookback_days"] == 3
    assert config["pipedrive_custom_field_names"] == {CODE: "budget"}
    assert config["fail_on_forbidden"] is True
    assert config["pipedrive_include_deleted"] is False
    assert config["start_date"] == "2026-01-01T00:00:00Z"
    assert config["pendo_region"] == "eu"


def test_empty_variables_count_as_not_set(environment: pytest.MonkeyPatch) -> None:
    """Orchestrators pass unset settings on as empty variables."""
    names = {*DEFAULTS, *OPTIONAL, *SECRETS} - {"pendo_integration_key"}
    set_variables(environment, dict.fromkeys(names, "") | {"pendo_integration_key": "key"})
    config = TapPendoPipedrive(parse_env_config=True, setup_mapper=False).config
    assert {name: config[name] for name in DEFAULTS} == DEFAULTS
    assert not config.get("pendo_app_ids")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_retries", "many"),
        ("max_retries", "21"),
        ("pendo_app_ids", "1,2"),
        ("pendo_app_ids", "{}"),
        ("pipedrive_custom_field_names", "budget"),
        ("pipedrive_custom_field_names", f"{CODE}: budget"),
        ("pipedrive_custom_field_names", f'{{"{CODE}": 1}}'),
        ("fail_on_forbidden", "perhaps"),
    ],
)
def test_wrong_variable_names_the_setting(
    name: str, value: str, environment: pytest.MonkeyPatch
) -> None:
    set_variables(environment, {"pendo_integration_key": "key", name: value})
    with pytest.raises(ConfigValidationError) as caught:
        TapPendoPipedrive(parse_env_config=True, setup_mapper=False)
    assert len(caught.value.errors) == 1
    assert caught.value.errors[0].startswith(f"{name}:")


def test_environment_alone_runs_the_program(
    config: dict[str, Any], tmp_path: Path, pendo: PendoServer
) -> None:
    variables = {PREFIX + name.upper(): str(value) for name, value in config.items()}
    empty = {PREFIX + name: "" for name in ("MAX_RETRIES", "FAIL_ON_FORBIDDEN", "START_DATE")}
    env = {**os.environ, **variables, **empty, PREFIX + "PIPEDRIVE_API_TOKEN": ""}
    result = run_command("--config=ENV", env=env)
    assert result.returncode == 0, result.stderr
    streams = {m["stream"] for m in parse(result.stdout.split("\n")) if m["type"] == "SCHEMA"}
    assert streams == {*PENDO, *EVENTS}


# The other commands.


@pytest.fixture
def config_file(tmp_path: Path, config: dict[str, Any]) -> str:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    return str(file)


def test_version() -> None:
    result = run_command("--version")
    assert result.returncode == 0
    assert result.stdout.startswith("tap-pendo-pipedrive v")


def test_about_lists_the_settings_and_marks_secrets() -> None:
    result = run_command("--about", "--format=json")
    assert result.returncode == 0
    about = json.loads(result.stdout)
    assert about["name"] == "tap-pendo-pipedrive"
    properties = about["settings"]["properties"]
    assert {*DEFAULTS, *OPTIONAL, *SECRETS} <= set(properties)
    assert {name for name, value in properties.items() if value.get("secret")} == SECRETS
    assert {"catalog", "discover", "state"} <= set(about["capabilities"])


def test_discover(config_file: str) -> None:
    result = run_command("--config", config_file, "--discover")
    assert result.returncode == 0
    catalog = json.loads(result.stdout)
    assert {entry["tap_stream_id"] for entry in catalog["streams"]} == set(CATALOG)


def test_connection_test(config_file: str, pipedrive: PipedriveServer) -> None:
    result = run_command("--config", config_file, "--test")
    assert result.returncode == 0, result.stderr
    assert pipedrive.requests


def test_connection_test_fails_with_wrong_credentials(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(config | {"pendo_integration_key": "wrong"}))
    result = run_command("--config", str(file), "--test")
    assert result.returncode != 0
    assert "pendo_integration_key" in result.stderr
    assert "Traceback" not in result.stderr


def test_schema_test_reads_no_records(config_file: str) -> None:
    result = run_command("--config", config_file, "--test=schema")
    assert result.returncode == 0, result.stderr
    messages = parse(result.stdout.split("\n"))
    assert {m["stream"] for m in messages if m["type"] == "SCHEMA"} == set(CATALOG)
    assert [m for m in messages if m["type"] == "RECORD"] == []


def test_a_run_reads_the_catalog_and_the_state(
    tmp_path: Path, config_file: str, sync: Sync
) -> None:
    catalog = json.loads(run_command("--config", config_file, "--discover").stdout)
    catalog["streams"] = [
        e for e in catalog["streams"] if e["tap_stream_id"] == "pipedrive_persons"
    ]
    first = sync(catalog=catalog)
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))
    (tmp_path / "state.json").write_text(json.dumps(first.state))
    result = run_command(
        "--config",
        config_file,
        "--catalog",
        str(tmp_path / "catalog.json"),
        "--state",
        str(tmp_path / "state.json"),
    )
    assert result.returncode == 0, result.stderr
    messages = parse(result.stdout.split("\n"))
    assert {m["stream"] for m in messages if m["type"] == "SCHEMA"} == {"pipedrive_persons"}
    records = [m for m in messages if m["type"] == "RECORD"]
    assert 1 <= len(records) < len(first.records("pipedrive_persons"))
