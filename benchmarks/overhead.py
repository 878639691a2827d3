"""What everything around the model costs in a training step of mode `vae`, and where a step of `vae_gan` goes.

    python -m benchmarks.overhead --data FOLDER [--profile tiny] [--steps 60] [--device cpu] [--set KEY=VALUE]
    python -m benchmarks.overhead --data FOLDER --parts

A run is trained by `fit`, with its loop, log, watching, clipping and moving average; after each of its steps comes one
of the bare model: the same model, optimizer and size of batch, the bound as its only loss, clipped, in the shortest
loop that trains it, on batches that are in memory already. So both are measured under the same load of the machine.
What is told is the median of each pair's own ratio, for

- `bound`: the run minimises the bound alone, as the bare model does: all else is the framework's;
- `default`: and the hints of the profile (bag, echo);
- `everything`: and every term there is for this mode, musical weights, balancing by uncertainty, adaptive clipping.

`--parts` trains in mode `vae_gan`, with the discriminator hearing all from the first step, and tells the median time of
each part of a step; time that a part spends in another one counts for the other.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch.nn.utils import clip_grad_norm_

from aurl.data.batching import WindowSampler, loader
from aurl.data.dataset import TokenDataset, open_dataset
from aurl.loss.kinds import LOSSES
from aurl.loss.objective import Objective
from aurl.loss.reconstruction import cross_entropy_sum
from aurl.model.build import build_model
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.profile import Profile, load_profile
from aurl.progress import Progress
from aurl.training import loop, steps
from aurl.training.adversary import Adversary
from aurl.training.averaging import Averages
from aurl.training.batches import Batch, BatchStream, batches_of
from aurl.training.log import read_metrics
from aurl.training.optim import OPTIMIZERS
from aurl.training.trainer import fit
from aurl.training.watcher import Watcher

WARM_UP = 6
"""Steps that are not counted."""
BATCHES = 16
CLIP_NORM = 1.0
NEVER = 1_000_000
NOT_HERE = ("distillation",)
"""It needs another model."""


class Bare:
    """The shortest loop that trains a model of mode `vae`."""

    def __init__(self, profile: Profile, dataset: Path, device: str) -> None:
        data = open_dataset(dataset)
        self._model = build_model(profile, data.codec).to(device).train()
        self._model.word_dropout = profile.latent.word_dropout
        training = profile.training
        self._optimizer = OPTIMIZERS.from_component(training.optimizer, self._model, 1e-4, training.weight_decay)
        windows = TokenDataset(dataset, "train", seq_len=profile.data.seq_len)
        sampler = WindowSampler(windows, batch_size=profile.data.batch_size, seed=1)
        batches = islice(batches_of(loader(windows, sampler)), BATCHES)
        self._batches = cycle([batch.to(torch.device(device)) for batch in batches])
        self._half = training.precision == "bf16"
        self._device = device

    def step(self) -> None:
        batch: Batch = next(self._batches)
        with torch.autocast(self._device, torch.bfloat16, enabled=self._half):
            found = self._model(batch.inputs, start_steps=batch.start_steps, following=batch.following)
            cost = cross_entropy_sum(found.logits, batch.targets) + sum(kl.sum() for kl in found.kl.values())
        (cost / batch.counts.tokens).backward()
        clip_grad_norm_(self._model.parameters(), CLIP_NORM)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)


class Turns:
    """After each step of a run, one of the bare model; how long both took."""

    def __init__(self, bare: Bare, device: str) -> None:
        self.run: list[float] = []
        self.bare: list[float] = []
        self._bare, self._device = bare, device
        self._left = self._now()

    def _now(self) -> float:
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def __call__(self, progress: Progress) -> None:
        begin = self._now()
        self.run.append(begin - self._left)
        self._bare.step()
        self._left = self._now()
        self.bare.append(self._left - begin)


class Sections:
    """Time of each part of a step; what a part spends in another one counts for the other."""

    def __init__(self, device: str) -> None:
        self.steps: list[dict[str, float]] = []
        self._device = device
        self._now: dict[str, float] = defaultdict(float)
        self._inner: list[float] = []
        self._left = time.perf_counter()

    def _clock(self) -> float:
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*args: Any, **options: Any) -> Any:
            begin = self._clock()
            self._inner.append(0.0)
            try:
                return function(*args, **options)
            finally:
                elapsed = self._clock() - begin
                self._now[name] += elapsed - self._inner.pop()
                if self._inner:
                    self._inner[-1] += elapsed

        return measured

    def __call__(self, progress: Progress) -> None:
        now = self._clock()
        self._now["whole step"] = now - self._left
        self.steps.append(dict(self._now))
        self._now = defaultdict(float)
        self._left = self._clock()


PARTS: tuple[tuple[Any, str, str], ...] = (
    (BatchStream, "take", "reading batches"),
    (Objective, "__call__", "objective of the generator"),
    (MusicTransformerVAEGAN, "forward", "generator: forward"),
    (Accelerator, "backward", "generator: backward, through the discriminator"),
    (Adversary, "judge", "discriminator: forward and backward, and forward for the generator"),
    (AcceleratedOptimizer, "step", "both optimizers"),
    (steps, "_clip", "clipping"),
    (Averages, "follow", "moving average"),
    (Watcher, "after_update", "watching"),
    (Watcher, "after_line", "watching"),
    (loop.Loop, "_record", "log"),
)
"""(owner, function, how it is called here)."""


@contextmanager
def instrumented(sections: Sections) -> Iterator[None]:
    """The parts of a step measure themselves."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in PARTS]
    for owner, name, called in PARTS:
        setattr(owner, name, sections.timed(called, getattr(owner, name)))
    try:
        yield
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


def profile_of(args: argparse.Namespace, mode: str, *overrides: str) -> Profile:
    seldom = [f"training.{key}={NEVER}" for key in ("eval_every", "checkpoint_every")]
    fixed = [*seldom, "training.sample_every=0", f"training.max_steps={args.steps}", "training.warmup_steps=10"]
    precision = "training.precision=bf16" if args.device == "cuda" else "training.precision=fp32"
    return load_profile([mode, args.profile], [precision, *fixed, *overrides, *args.set])


def everything() -> list[str]:
    here = [kind for kind in LOSSES.kinds() if LOSSES.mode(kind) != "vae_gan" and kind not in NOT_HERE]
    terms = [f"loss.terms.{kind}.weight=0.01" for kind in here]
    return [
        *terms,
        "loss.reconstruction.kind=musical",
        "loss.balancing.kind=uncertainty",
        "training.clipping.kind=adaptive",
    ]


def trained(profile: Profile, args: argparse.Namespace, report: Callable[[Progress], None]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        fit(profile, args.data, Path(folder, "run"), threads=args.threads, device=args.device, report=report)
        return read_metrics(Path(folder, "run", "metrics.jsonl"))


def overhead(args: argparse.Namespace) -> None:
    kinds = {"bound": ["loss.bag=0", "loss.echo=0"], "default": [], "everything": everything()}
    print("| run | bare ms | run ms | run / bare | quartiles | numbers of the objective |\n|---|---|---|---|---|---|")
    for name, overrides in kinds.items():
        if args.run and name not in args.run:
            continue
        profile = profile_of(args, "vae", *overrides)
        torch.set_num_threads(args.threads)
        turns = Turns(Bare(profile, args.data, args.device), args.device)
        records = trained(profile, args, turns)
        ratios = sorted(run / bare for run, bare in list(zip(turns.run, turns.bare, strict=True))[WARM_UP:])
        quartiles = f"{ratios[len(ratios) // 4]:.3f}–{ratios[3 * len(ratios) // 4]:.3f}"
        numbers = sum(key.startswith("train/") for record in records[:1] for key in record)
        bare, run = (1e3 * median(times[WARM_UP:]) for times in (turns.bare, turns.run))
        print(f"| {name} | {bare:.1f} | {run:.1f} | {median(ratios):.3f} | {quartiles} | {numbers} |", flush=True)


def parts(args: argparse.Namespace) -> None:
    heard = ("discriminator.start=0", "discriminator.stages=[0.0, 0.0, 0.0]")
    sections = Sections(args.device)
    with instrumented(sections):
        trained(profile_of(args, "vae_gan", *heard), args, sections)
    counted = sections.steps[WARM_UP:]
    whole = median(step["whole step"] for step in counted)
    names = [*dict.fromkeys(called for _, _, called in PARTS)]
    times = {name: median(step.get(name, 0.0) for step in counted) for name in names}
    times["the rest"] = whole - sum(times.values())
    print("| part of a step of vae_gan | ms | share |\n|---|---|---|")
    for name, seconds in sorted(times.items(), key=lambda item: -item[1]):
        print(f"| {name} | {1e3 * seconds:.1f} | {seconds / whole:.1%} |")
    print(f"| whole step | {1e3 * whole:.1f} | |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of a prepared data set")
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--run", action="append", choices=("bound", "default", "everything"), help="only this one")
    parser.add_argument("--parts", action="store_true")
    args = parser.parse_args()
    (parts if args.parts else overhead)(args)


if __name__ == "__main__":
    main()
