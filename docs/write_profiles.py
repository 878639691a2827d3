"""Writes docs/profiles.md from the profile's own schema: `python docs/write_profiles.py`."""

from pathlib import Path

from aurl.profile import list_profiles
from aurl.profile.template import describe_keys, describe_kinds, describe_stage_keys
from aurl.registry import HOMES

PAGE = Path(__file__).with_name("profiles.md")
HEAD = """# Profiles

A profile is a TOML file. Layers are merged, lowest first: packaged defaults, `aurl.toml` in your configuration folder,
the nearest `aurl.toml` (here or above), each `--profile`, `AURL_*` variables, each `--set`, and the command's own
options. Tables merge, arrays replace. A file may begin with `extends = "name-or-path"` (or an array). All faults
are reported at once, each with its key, the file that set it, and the nearest key that exists.

    aurl profile show --origin                            # every value and where it comes from
    aurl train --set training.lr=1e-3                     # one key; the value is TOML, or text
    AURL_TRAINING__LR=1e-3 aurl train                     # the same, from the environment
    AURL_HOME=/data/aurl aurl train                       # not a key: where data sets and runs live

A component is a table with a `kind` and that kind's own options: `split = { kind = "hash", valid = 0.05 }`.
"""


def cell(text: str) -> str:
    """Text that a Markdown table takes."""
    return text.replace("|", "\\|")


def page() -> str:
    """The whole page."""
    lines = [HEAD, "## Packaged profiles", "", "| name | for |", "|---|---|"]
    lines += [f"| `{found.name}` | {cell(found.description)} |" for found in list_profiles() if found.packaged]
    section = ""
    for key in describe_keys():
        table, _, name = key.key.partition(".")
        if table != section:
            section = table
            lines += ["", f"## `[{section}]`", "", "| key | type | default | meaning |", "|---|---|---|---|"]
        kinds = f" See [{key.registry}](#{key.registry})." if key.registry else ""
        lines.append(f"| `{name}` | {cell(key.type)} | `{cell(key.default)}` | {cell(key.description)}{kinds} |")
    lines += ["", "## `[[stages]]`", "", "| key | type | default | meaning |", "|---|---|---|---|"]
    for key in describe_stage_keys():
        default = f"`{cell(key.default)}`" if key.default else "required"
        lines.append(f"| `{key.key.partition('.')[2]}` | {cell(key.type)} | {default} | {cell(key.description)} |")
    lines += ["", "# Kinds"]
    for registry in sorted(HOMES):
        lines += ["", f"## {registry}", "", "| kind | does | options |", "|---|---|---|"]
        for kind in describe_kinds(registry):
            options = f"`{cell(kind.options)}`" if kind.options else ""
            lines.append(f"| `{kind.kind}` | {cell(kind.summary)} | {options} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
