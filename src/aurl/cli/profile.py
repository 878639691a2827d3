"""`aurl profile`: what profiles there are, what they come to, and whether they can be built."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aurl.cli.options import Force, Overrides, Profiles, complete_datasets
from aurl.cli.output import Output, plain, table
from aurl.errors import UsageError

if TYPE_CHECKING:
    from aurl.profile import Profile


def list_(output: Output) -> None:
    """List the profiles that can be named."""
    from aurl.profile import list_profiles

    profiles = list_profiles()
    rows = [
        (listed.name, "packaged" if listed.packaged else str(listed.path), listed.description) for listed in profiles
    ]
    output.result("profile.list", {"profiles": profiles}, table(rows))


list_.__name__ = "list"


def show(
    output: Output,
    profile: Profiles = None,
    overrides: Overrides = None,
    origin: Annotated[bool, typer.Option("--origin", help="Tell where each value comes from.")] = False,
) -> None:
    """Show every value that the profiles come to."""
    resolved = _load(profile, overrides)
    values = resolved.values()
    origins = {key: resolved.origin(key) for key in values}
    text = resolved.to_toml().rstrip()
    if origin:
        from aurl.profile.toml import format_value

        text = table((key, format_value(value), origins[key]) for key, value in values.items())
    output.result("profile.show", {"values": values, "origins": origins, "hash": resolved.hash}, text)


def new(
    output: Output,
    name: Annotated[
        str, typer.Argument(metavar="NAME|FILE|-", help="A name, a path ending in .toml, or - for stdout.")
    ],
    force: Force = False,
) -> None:
    """Write a profile with every key, its default and its meaning, all commented out."""
    from aurl.profile import template, user_folder

    text = template()
    if name == "-":
        output.raw(text.encode())
        return
    path = Path(name) if name.endswith(".toml") else user_folder() / "profiles" / f"{_checked(name)}.toml"
    if path.exists() and not force:
        raise UsageError(f"{path} exists already", hint="choose another name, or add --force")
    from aurl.storage import write_text

    write_text(path, text)
    output.note(f"use it with: --profile {path if name.endswith('.toml') else name}")
    output.result("profile.new", {"path": path}, str(path))


def check(
    output: Output,
    profile: Profiles = None,
    overrides: Overrides = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            metavar="NAME|FOLDER",
            help="For the ids of this data set; for those that the profile describes by default.",
            autocompletion=complete_datasets,
        ),
    ] = None,
) -> None:
    """Build what the profiles describe without taking memory, and tell what each part costs."""
    from aurl.cli.dataset import as_prepared
    from aurl.cli.model_cost import step, sums, text
    from aurl.home import Home
    from aurl.model.build import describe
    from aurl.profile.load import at_stage

    resolved = _load(profile, overrides)
    if resolved.default_size:
        output.note(f"size: {resolved.default_size}, which suits this device; --profile chooses another")
    if data is not None:
        resolved = as_prepared(output, resolved, Home.locate().dataset(data))
    report = describe(resolved)
    stages = {stage.name: describe(at_stage(resolved, number)) for number, stage in enumerate(resolved.stages)}
    told = [text(report), *(f"stage {name}: {step(found)}" for name, found in stages.items())]
    of_stages = {"stages": {name: plain(found) | sums(found) for name, found in stages.items()}} if stages else {}
    output.result("profile.check", plain(report) | sums(report) | of_stages, "\n".join(told))


COMMANDS = (list_, show, new, check)


def _checked(name: str) -> str:
    from aurl.home import check_name

    return check_name(name)


def _load(profile: list[str] | None, overrides: list[str] | None) -> "Profile":
    from aurl.cli.device import default_size
    from aurl.profile import load_profile

    return load_profile(profile or (), overrides or (), default_size=default_size(None))
