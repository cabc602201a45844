"""Write, or check, everything that documents the settings and streams outside of the code.

The code is the only source: the README's tables, the settings and capabilities of `meltano.yml`
and those of the Meltano Hub definition stand between markers and are generated from it.

    python -m scripts.docs           write them
    python -m scripts.docs --check   exit with 1 if any of them is not current
"""

from __future__ import annotations

import argparse
import copy
import re
import sys
import textwrap
import typing as t
from pathlib import Path

import yaml

from tap_pendo_pipedrive import settings
from tap_pendo_pipedrive.streams import PENDO_STREAMS, PIPEDRIVE_STREAMS
from tap_pendo_pipedrive.streams.pendo.events import GroupedEventStream
from tap_pendo_pipedrive.streams.pipedrive.children import ChildStream
from tap_pendo_pipedrive.streams.pipedrive.sales import ArchivingStream
from tap_pendo_pipedrive.tap import TapPendoPipedrive

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent

#: The kinds of setting that Meltano knows, by JSON schema type.
KINDS = {
    "array": "array",
    "boolean": "boolean",
    "integer": "integer",
    "number": "decimal",
    "object": "object",
    "string": "string",
}


def main() -> int:
    """Write the generated blocks, or with --check only compare them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="change nothing, exit 1 on a difference"
    )
    check = parser.parse_args().check

    stale = []
    for path, blocks in generated().items():
        before = path.read_text("utf-8")
        after = before
        for name, content in blocks.items():
            after = replace_block(path, after, name, content)
        if after == before:
            continue
        stale.append(str(path.relative_to(ROOT)))
        if not check:
            path.write_text(after, "utf-8")
    if stale and check:
        print(f"Not current: {', '.join(stale)}. `make docs` writes them anew.")
        return 1
    print(
        f"Written: {', '.join(stale)}"
        if stale
        else "Settings and streams are documented as they are."
    )
    return 0


def generated() -> dict[Path, dict[str, Callable[[], str]]]:
    """List the generated blocks by file and name."""
    plugin = {
        "capabilities": capabilities_yaml,
        "selection": selection_yaml,
        "settings": settings_yaml,
    }
    return {
        ROOT / "README.md": {"settings": settings_table, "streams": streams_table},
        ROOT / "meltano.yml": plugin,
        ROOT / "docs" / "hub" / "tap-pendo-pipedrive.yml": plugin,
    }


def replace_block(path: Path, text: str, name: str, content: Callable[[], str]) -> str:
    """Put new content between a block's markers, indented as the markers are.

    Raises:
        SystemExit: If the file does not have the block exactly once.
    """
    begin, end = f"generated: {name}", f"end of {name}"
    pattern = re.compile(
        rf"^(?P<begin>(?P<indent> *)\S+ {begin}\b.*\n)(?:.*\n)*?(?P<end>(?P=indent)\S+ {end}\b.*)$",
        re.MULTILINE,
    )
    if len(pattern.findall(text)) != 1:
        sys.exit(f"{path.name} must have the markers '{begin}' and '{end}' exactly once.")

    def fill(match: re.Match[str]) -> str:
        return match["begin"] + textwrap.indent(content(), match["indent"]) + match["end"]

    return pattern.sub(fill, text)


# --- settings -------------------------------------------------------------------------------------


def all_settings() -> dict[str, dict[str, t.Any]]:
    """Return every setting's schema: the tap's own and those that the SDK adds."""
    schema = copy.deepcopy(dict(TapPendoPipedrive.config_jsonschema))
    TapPendoPipedrive.append_builtin_config(schema)
    return t.cast("dict[str, dict[str, t.Any]]", schema["properties"])


def kind_of(schema: Mapping[str, t.Any]) -> str:
    """Return the JSON schema type of a setting."""
    types = schema.get("type", "string")
    return t.cast("str", types if isinstance(types, str) else next(k for k in types if k != "null"))


def choices_of(schema: Mapping[str, t.Any]) -> list[t.Any]:
    """Return the values that a setting is limited to, if it is."""
    return [choice for choice in schema.get("enum", []) if choice is not None]


def capabilities_yaml() -> str:
    """List the tap's capabilities."""
    names = sorted(capability.value for capability in TapPendoPipedrive.capabilities)
    return as_yaml({"capabilities": names})


def selection_yaml() -> str:
    """Select the streams that a catalog selects by default; Meltano would take all of them."""
    costly = [cls.name for cls in all_streams() if not cls.selected_by_default]
    return as_yaml({"select": ["*.*", *(f"!{name}.*" for name in costly)]})


def settings_yaml() -> str:
    """List the settings as Meltano wants them."""
    return as_yaml({"settings": [meltano_setting(*item) for item in all_settings().items()]})


def meltano_setting(name: str, schema: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Describe one setting for Meltano."""
    kind, choices = KINDS[kind_of(schema)], choices_of(schema)
    if schema.get("format") == "date-time":
        kind = "date_iso8601"
    setting: dict[str, t.Any] = {"name": name}
    if title := schema.get("title"):
        setting["label"] = title
    setting["kind"] = "options" if choices else kind
    if choices:
        setting["options"] = [{"label": str(choice), "value": choice} for choice in choices]
    if schema.get("secret"):
        setting["sensitive"] = True
    if "default" in schema:
        setting["value"] = schema["default"]
    setting["description"] = plain(schema.get("description", ""))
    return setting


def as_yaml(value: object) -> str:
    """Dump a block of YAML."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=90)


def settings_table() -> str:
    """Return the README's table of the tap's own settings, and a line on the SDK's."""
    own = set(settings.SCHEMA["properties"]) - sdk_settings()
    rows = [
        (f"`{name}`", type_cell(schema), default_cell(schema), plain(schema.get("description", "")))
        for name, schema in all_settings().items()
        if name in own
    ]
    others = ", ".join(f"`{name}`" for name in all_settings() if name not in own)
    table = "".join(table_lines(("Setting", "Type", "Default", "What it does"), rows))
    return f"\n{table}\nThe SDK adds {others}.\n\n"


def sdk_settings() -> set[str]:
    """Return the names of the settings that come from the SDK."""
    schema: dict[str, t.Any] = {"type": "object", "properties": {}}
    TapPendoPipedrive.append_builtin_config(schema)
    return set(schema["properties"])


def type_cell(schema: Mapping[str, t.Any]) -> str:
    """Say what a setting accepts."""
    if choices := choices_of(schema):
        return ", ".join(f"`{choice}`" for choice in choices)
    kind = kind_of(schema)
    if schema.get("format") == "date-time":
        kind = "date and time"
    if kind == "array":
        kind = f"list of {kind_of(schema['items'])}s"
    low, high = schema.get("minimum"), schema.get("maximum")
    if high is not None:
        kind += f", {low} to {high}"
    return f"{kind}, **secret**" if schema.get("secret") else kind


def default_cell(schema: Mapping[str, t.Any]) -> str:
    """Say what holds when a setting is not set."""
    default = schema.get("default")
    return "" if default is None else f"`{str(default).lower()}`"


# --- streams --------------------------------------------------------------------------------------


def all_streams() -> list[t.Any]:
    """Return the classes of all streams. What the SDK has as properties are plain values there."""
    return [*PIPEDRIVE_STREAMS, *PENDO_STREAMS]


def streams_table() -> str:
    """Return the README's table of streams."""
    header = ("Stream", "What", "Endpoint", "Primary key", "Replication", "API tokens")
    return "\n" + "".join(table_lines(header, [stream_row(cls) for cls in all_streams()])) + "\n"


def stream_row(cls: t.Any) -> tuple[str, ...]:  # noqa: ANN401 - of all_streams
    """Describe one stream by its class."""
    paths = [cls.path]
    if issubclass(cls, ArchivingStream):
        paths.append(cls.__new__(cls).path_of({"is_archived": True}))
    return (
        f"`{cls.name}`" + ("" if cls.selected_by_default else " *"),
        plain((cls.__doc__ or "").strip().partition("\n")[0]).removesuffix("."),
        " and ".join(f"`{path}`" if path.startswith("/") else path for path in paths),
        ", ".join(f"`{key}`" for key in cls.primary_keys),
        replication_cell(cls),
        cost_cell(cls) if cls.token_cost else "",
    )


def cost_cell(cls: t.Any) -> str:  # noqa: ANN401 - as above
    """Say what a request costs, and what it is about."""
    if issubclass(cls, ArchivingStream) and cls.archived_cost != cls.token_cost:
        return f"{cls.token_cost} a page, archived {cls.archived_cost}"
    if issubclass(cls, ChildStream):
        count = cls.parents_a_request
        return f"{cls.token_cost} for each" + (f" {count}" if count > 1 else "")
    return f"{cls.token_cost} a page"


def replication_cell(cls: t.Any) -> str:  # noqa: ANN401 - as above
    """Say how a stream is read again."""
    if parent := cls.parent_stream_type:
        return f"with the `{parent.name}` that a run reads"
    if issubclass(cls, GroupedEventStream):
        return "`hour` or `day`, by setting"
    if not isinstance(cls.replication_key, str):
        return "full"
    how = "by the API" if cls.filtered else "by the tap"
    return f"`{cls.replication_key}`, filtered {how}"


# --- text -----------------------------------------------------------------------------------------


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    for row in (header, ["---"] * len(header), *rows):
        yield "| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |\n"


def plain(text: str) -> str:
    """Return a text in one line."""
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main())
