"""Options that several commands have, each with its help and its completion."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer


def _complete_profiles(incomplete: str) -> list[tuple[str, str]]:
    from aurl.profile import list_profiles

    return [(listed.name, listed.description) for listed in list_profiles() if listed.name.startswith(incomplete)]


def _complete_folders(kind: str) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        from aurl.home import Home

        folder: Path = getattr(Home.locate(), kind)
        names = (path.name for path in folder.glob("[!.]*") if path.is_dir())
        return sorted(name for name in names if name.startswith(incomplete))

    return complete


complete_datasets = _complete_folders("datasets")
complete_runs = _complete_folders("runs")
complete_studies = _complete_folders("studies")

Profiles = Annotated[
    list[str] | None,
    typer.Option(
        "--profile",
        "-p",
        metavar="NAME|FILE",
        help="Profile by name or path; repeat it, later ones win.",
        autocompletion=_complete_profiles,
    ),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", "-s", metavar="KEY=VALUE", help="Set one key, as in training.lr=1e-3.")
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite what exists.")]
DataName = Annotated[
    str | None,
    typer.Option(
        "--data",
        "-d",
        metavar="NAME|FOLDER",
        help="Data set; the latest by default.",
        autocompletion=complete_datasets,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, metavar="N", help="CPU threads of each process; torch decides by default."),
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="cpu|cuda|mps", help="Where to compute; the fastest by default.")
]
MaxSteps = Annotated[
    int | None, typer.Option("--max-steps", min=1, metavar="N", help="End after this many optimiser steps.")
]
MaxMinutes = Annotated[
    float | None, typer.Option("--max-minutes", metavar="M", help="End after this many minutes of training.")
]
ProcessCount = Annotated[
    int | None, typer.Option("--processes", min=1, metavar="N", help="Train with this many processes on this machine.")
]
