"""Export, prepare, train, compare, generate, draw."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aurl.data.dataset import open_dataset
from aurl.data.prepare import prepare
from aurl.data.result import PrepareResult
from aurl.demo.chorales import export_chorales
from aurl.evaluation.ngram import Likelihood, NGram
from aurl.export.picture import save_picture
from aurl.generation.generate import generate
from aurl.generation.request import Request
from aurl.home import Home
from aurl.midi.write import save_midi
from aurl.profile import Profile
from aurl.progress import Interrupts, Report, silent
from aurl.training.result import FitResult
from aurl.training.trainer import fit

PIECES = 3
BASELINE_ORDER = 3


@dataclass(frozen=True)
class DemoResult:
    """Where everything is, and how good it is.

    Args:
        midi_folder: the exported chorales.
        prepared: what `aurl prepare` says.
        trained: what `aurl train` says; None where a signal came before.
        baseline: n-gram model of order `BASELINE_ORDER` on the same valid split; None where a signal came before.
        pieces: MIDI files that the model wrote.
        picture: piano roll of the first of them; None where a signal came before.
        commands: the same three steps as a user types them.
        baseline_order: ids per n-gram of the baseline.
    """

    midi_folder: Path
    prepared: PrepareResult
    trained: FitResult | None
    baseline: Likelihood | None
    pieces: tuple[Path, ...]
    picture: Path | None
    commands: tuple[str, ...]
    baseline_order: int = BASELINE_ORDER

    @property
    def beats_baseline(self) -> bool:
        """Whether the model needs fewer nats per note than the n-gram model."""
        best = self.trained.best_nats_per_note if self.trained else None
        return best is not None and self.baseline is not None and best < self.baseline.nats_per_note


def run_demo(
    profile: Profile,
    folder: Path,
    home: Home,
    *,
    scores: int | None = None,
    name: str = "demo",
    seed: int = 0,
    threads: int | None = None,
    announce: Callable[[str], None] = lambda command: None,
    report: Report = silent,
    interrupts: Interrupts | None = None,
) -> DemoResult:
    """Export the chorales, then prepare, train and generate as a user would, and measure against n-grams.

    Args:
        profile: the resolved demo profile.
        folder: where the MIDI files, the new pieces and the picture are put.
        home: where the data set and the run belong.
        scores: export only this many chorales; None: all.
        name: of the data set and of the run; the run gets a number where it is taken.
        seed: of the generated pieces.
        threads: torch threads.
        announce: told of each step as the command that a user would type.
        report: told of every step.
        interrupts: a signal ends the demo; what is done stays.
    """
    interrupts = interrupts or Interrupts()
    midi = folder / "midi"
    export_chorales(midi, limit=scores, report=report, interrupts=interrupts)
    dataset, run = home.new_dataset(name), _free_run(home, name)
    commands = _commands(midi, name, run.name, folder)
    announce(commands[0])
    prepared = prepare([midi], profile, dataset, report=report, interrupts=interrupts)
    if interrupts.stop is not None:
        return DemoResult(midi, prepared, None, None, (), None, commands)
    home.mark_latest(dataset)
    announce(commands[1])
    trained = fit(profile, dataset, run, threads=threads, report=report, interrupts=interrupts)
    home.mark_latest(run)
    if trained.interrupted:
        return DemoResult(midi, prepared, trained, None, (), None, commands)
    baseline = ngram_baseline(dataset, BASELINE_ORDER)
    announce(commands[2])
    pieces, picture = _write_pieces(run, folder, seed=seed, threads=threads, report=report, interrupts=interrupts)
    return DemoResult(midi, prepared, trained, baseline, pieces, picture, commands)


def ngram_baseline(dataset: Path, order: int) -> Likelihood:
    """What an n-gram model fitted to the train split says of the valid split."""
    opened = open_dataset(dataset)
    model = NGram(order, opened.codec.vocabulary_size).fit(opened.pieces("train"))
    return model.likelihood(opened.pieces("valid"))


def _write_pieces(
    run: Path, folder: Path, *, seed: int, threads: int | None, report: Report, interrupts: Interrupts
) -> tuple[tuple[Path, ...], Path | None]:
    made = generate(run, Request(count=PIECES, seed=seed), threads=threads, report=report, interrupts=interrupts)
    pieces = tuple(folder / f"piece-{number}.mid" for number in range(1, len(made) + 1))
    for path, piece in zip(pieces, made, strict=True):
        save_midi(piece.score, path)
    if not made:
        return (), None
    picture = pieces[0].with_suffix(".png")
    save_picture(made[0].score, picture, title="A new chorale")
    return pieces, picture


def _free_run(home: Home, name: str) -> Path:
    taken = {path.name for path in home.runs.glob(f"{name}*")}
    number = 1
    while (free := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return home.new_run(free)


def _commands(midi: Path, name: str, run: str, folder: Path) -> tuple[str, ...]:
    return (
        f"aurl prepare {midi} --name {name} --profile demo",
        f"aurl train --data {name} --name {run} --profile demo",
        f"aurl generate --run {run} -n {PIECES} -o {folder / 'piece.mid'} --picture {folder / 'piece.png'}",
    )
