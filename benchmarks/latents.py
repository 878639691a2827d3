"""What are the latents good for? The three modes on POP909: the same data, seed, steps and number of parameters.

    python -m benchmarks.latents POP909 --home DIR --minutes 120 [--modes transformer,vae,vae_gan,vae:mixture]
    python -m benchmarks.latents --home DIR --runs vae=DIR/vae transformer=DIR/transformer
    python -m benchmarks.latents --probe RUN [RUN ...]

POP909 holds 001.mid … 500.mid; songs 451-500 are held out. The first mode trains for the given minutes and the others
for as many steps; the transformer is as much larger as the others have parameters beside their decoder. `vae:KIND` is
a vae with priors of that kind on all levels. Then, on held-out music: likelihood, ELBO and accuracy of windows; what
is lost with other windows' latents; note F1 of songs that are encoded and decoded from nothing (longer ones than a
window are encoded window by window, and the decoder sees half a window of what it made); metrics of what the priors
make; speed and memory at equal decoder. Pictures of songs, reconstructions and samples are put into the home folder.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks import latents_cost, latents_tables
from benchmarks.latents_held_out import dataset_of, line, use_of
from benchmarks.latents_music import Songs, measured, note_f1, reconstructions, samples, show, statistics
from benchmarks.latents_runs import Recipe, train

from aurl.data.prepare import prepare
from aurl.generation.load import BEST, Loaded, choose_device, load_run
from aurl.midi.score import Score
from aurl.training.log import read_metrics
from aurl.training.run import Run

QUARTERS = 4


def probe(runs: Sequence[Path], checkpoint: str, windows: int) -> dict[str, Any]:
    """One line for each run, as soon as it is known."""
    found = {}
    for run in runs:
        loaded = load_run(run, checkpoint=checkpoint, device=choose_device())
        figures = use_of(loaded, dataset_of(run), windows=windows)
        print(line(f"{run.name}@{loaded.step}", figures), flush=True)
        found[str(run)] = {"step": loaded.step, **figures}
    return found


def discriminator_accuracy(run: Path) -> dict[str, list[float]]:
    """Logged accuracy → its mean in each quarter of the steps in which the discriminator took part."""
    series: dict[str, list[float]] = {}
    for record in read_metrics(run / "metrics.jsonl"):
        for name, value in record.items() if record.get("discriminator_stage") else ():
            if "accuracy" in name and value is not None:
                series.setdefault(name, []).append(value)
    return {
        name: [float(part.mean()) for part in np.array_split(np.array(values), QUARTERS) if len(part)]
        for name, values in series.items()
    }


class Comparison:
    """All figures of some runs on the same held-out music.

    Args:
        dataset: that they were trained on.
        songs: held-out songs for reconstructions, and as many samples.
        windows: held-out windows for likelihoods.
        lengths: tokens of songs that are reconstructed.
        tokens: of the samples, and of what they are compared with.
        pictures: folder for them.
    """

    def __init__(
        self, dataset: Path, *, songs: int, windows: int, lengths: Sequence[int], tokens: int, pictures: Path
    ) -> None:
        self._dataset, self._windows, self._lengths = dataset, windows, lengths
        self._tokens, self._pictures = tokens, pictures
        self._songs = Songs.of(dataset, songs)
        self._long = self._songs.longer_than(tokens)
        if not self._long.ids:
            raise SystemExit(f"no held-out song has more than {tokens} ids")
        self._real = self._long.scores(tokens)
        self._values = measured(self._real)
        self.music = {"real": statistics(self._real, self._values)}

    def measure(self, label: str, run: Path, checkpoint: str) -> dict[str, Any]:
        """Everything about one run."""
        loaded = load_run(run, checkpoint=checkpoint, device=choose_device())
        facts = Run(run).facts()
        figures: dict[str, Any] = {name: facts.get(name) for name in ("step", "seconds", "best_step")}
        figures |= {"run": str(run), "parameters": loaded.parameters, "checkpoint": loaded.checkpoint.name}
        figures["use"] = use_of(loaded, self._dataset, windows=self._windows)
        print(line(f"{label}@{loaded.step}", figures["use"]), flush=True)
        figures["discriminator"] = discriminator_accuracy(run)
        shown = {"real": self._real}
        if loaded.model.levels:
            figures["reconstruction"] = self._reconstruct(label, loaded)
            shown["reconstruction"] = reconstructions(loaded, self._long, self._tokens)
            self.music[f"`{label}` reconstructions"] = statistics(shown["reconstruction"], self._values)
        shown["sample"] = self._sample(label, loaded, figures)
        show(self._pictures / label.replace(":", "-"), shown)
        return figures

    def _reconstruct(self, label: str, loaded: Loaded) -> dict[str, dict[str, float]]:
        """Part of songs and tokens → how well notes come back."""
        parts, found = {"beginning": self._songs, "middle": self._songs.from_the_middle()}, {}
        for part, songs in parts.items():
            for tokens in self._lengths:
                found[f"{part}/{tokens}"] = note_f1(loaded, songs, tokens)
                print(f"{label}: {part} of songs, {tokens} tokens: {found[f'{part}/{tokens}']}", flush=True)
        return found

    def _sample(self, label: str, loaded: Loaded, figures: dict[str, Any]) -> list[Score]:
        made, figures["samples"] = samples(loaded, count=len(self._real), tokens=self._tokens)
        self.music[f"`{label}` samples"] = statistics(made, self._values)
        print(f"{label}: {figures['samples']}", flush=True)
        return made


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Train what is not given, measure, print."""
    recipe = Recipe(args.size, args.overrides)
    runs = {label: Path(folder) for label, _, folder in (run.partition("=") for run in args.runs)}
    dataset = dataset_of(next(iter(runs.values()))) if runs else args.home / "dataset"
    if not runs:
        prepare([args.folder], recipe.profile("vae"), dataset)
        labels = sorted(args.modes.split(","), key=lambda label: label != "vae")
        bounds = {"minutes": args.minutes, "steps": args.steps}
        runs = train(recipe, labels, args.home, **bounds, processes=args.processes, threads=args.threads)
    comparison = Comparison(
        dataset,
        songs=args.songs,
        windows=args.windows,
        lengths=args.lengths,
        tokens=args.sample_tokens,
        pictures=args.home / "pictures",
    )
    figures, cost = {}, {}
    for label, run in runs.items():
        figures[label] = comparison.measure(label, run, args.checkpoint)
        write({"runs": figures, "music": comparison.music}, args.json)
    if args.cost_repeats:
        modes = sorted({label.partition(":")[0] for label in runs} | {"transformer"})
        cost = latents_cost.compare(
            dataset, size=args.size, overrides=args.overrides, modes=modes, repeats=args.cost_repeats
        )
    parts = [latents_tables.likelihoods(figures), latents_tables.usage(figures)]
    parts += [latents_tables.reconstruction(figures), latents_tables.music(comparison.music)]
    parts += [latents_tables.discriminators(figures), latents_cost.table(cost) if cost else ""]
    print("\n\n".join(["", *filter(None, parts)]))
    return {"runs": figures, "music": comparison.music, "cost": cost}


def write(figures: dict[str, Any], path: Path | None) -> None:
    if path:
        path.write_text(json.dumps(figures, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="POP909")
    parser.add_argument("--home", type=Path, help="where data set, runs and pictures are put")
    parser.add_argument("--minutes", type=float, default=120.0, help="of the first mode; the others get as many steps")
    parser.add_argument("--steps", type=int, help="of every mode, instead of minutes")
    parser.add_argument("--modes", default="transformer,vae,vae_gan", help="MODE or vae:PRIOR, with commas between")
    parser.add_argument("--runs", nargs="+", default=[], metavar="LABEL=RUN", help="finished runs; nothing is trained")
    parser.add_argument("--size", default="small")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--probe", type=Path, nargs="+", default=[], metavar="RUN", help="one line for each run")
    parser.add_argument("--checkpoint", default=BEST)
    parser.add_argument("--windows", type=int, default=40, help="held-out windows of each measurement")
    parser.add_argument("--songs", type=int, default=16, help="held-out songs to reconstruct, and samples to make")
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 2048], help="tokens of songs to reconstruct")
    parser.add_argument("--sample-tokens", type=int, default=1024)
    parser.add_argument("--cost-repeats", type=int, default=3, help="0: speed and memory are not measured")
    parser.add_argument("--json", type=Path, help="write all figures here")
    args = parser.parse_args()
    if not args.probe and (args.home is None or (args.folder is None and not args.runs)):
        parser.error("give POP909 and --home, or --runs and --home, or --probe")
    torch.set_num_threads(args.threads)
    figures = probe(args.probe, args.checkpoint, args.windows) if args.probe else compare(args)
    write(figures, args.json)


if __name__ == "__main__":
    main()
