"""Runs that are made to fail on purpose: is it noticed, after how many steps, explained, and do they recover?

    python -m benchmarks.failures [--data DATASET] [--steps 300] [--only NAME] [--set KEY=VALUE ...] [--json FILE]

Four faults, each at two fifths of a small run, beside the same runs without them:

    rate        the learning rate becomes 100 times as high, and stays so
    batch       one batch whose loss is no number
    stretch     several of them in a row, more than may be left out
    generator   mode vae_gan: the generator stops learning, for a quarter of the run

Told are the first event that the run itself writes down, how many steps after the fault that is, what it says, how
often training went back, and the loss at the end with and without the fault. Without `--data` the music is random
walks over a scale, made in a moment.
"""

import argparse
import json
import logging
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.faults import Fault, harmed, nan_logits_at
from tests.support.training import write_dataset

from aurl.profile import Profile, load_profile
from aurl.training.events import read_events
from aurl.training.log import read_metrics
from aurl.training.monitor import DivergedError
from aurl.training.schedules import SCHEDULES
from aurl.training.session import Session
from aurl.training.trainer import fit

FAULT_AT, FROZEN_UNTIL = 0.4, 0.65
"""Shares of the run."""
TIMES = 100.0
SETTINGS = [
    *("model.d_model=64", "model.n_layers=2", "model.n_heads=2", "data.seq_len=128", "data.batch_size=8"),
    *("training.precision=fp32", "training.log_every=5", "training.checkpoint_every=20", "training.eval_every=20"),
    *("training.sample_every=0", "training.warmup_steps=20", "training.min_lr_ratio=0", "training.patience=1000"),
    *("training.lr=0.003", "training.ema_decay=0.9", "training.schedule.kind=constant"),
]
LATENTS = [
    *("model.mode=vae_gan", "latent.global_size=16", "latent.local_size=16", "latent.fine_size=16"),
    *("latent.local_tokens=32", "latent.fine_tokens=16", "latent.stream_size=32", "latent.segment_layers=1"),
    *("discriminator.scales=[16, 32, 64]", "discriminator.width=32", "discriminator.depth=1"),
    *("discriminator.start=0.05", "discriminator.stages=[0.0, 0.02, 0.04]", "discriminator.warm_start=0"),
]


@SCHEDULES.register("cliff")
def cliff() -> Callable[[float], float]:
    """The peak rate, and from `FAULT_AT` on 100 times of it."""
    return lambda progress: TIMES if progress >= FAULT_AT else 1.0


@dataclass(frozen=True)
class Outcome:
    """What became of a run."""

    fault: str
    at_step: int
    noticed_after: int | None
    by: str
    said: str
    advice: str
    rollbacks: int
    ended: str
    loss: float
    loss_without: float


def freeze(begin: int, end: int) -> Fault:
    """The generator's optimizer does nothing for a while."""

    def harm(session: Session) -> None:
        optimizer = session.learner.optimizer
        step = optimizer.step

        def step_or_not() -> None:
            if not begin <= session.state.step < end:
                step()

        optimizer.step = step_or_not

    return harm


def nothing(session: Session) -> None:
    """No harm is done."""


def final_loss(run: Path) -> float:
    losses = [record["train/nats_per_token"] for record in read_metrics(run / "metrics.jsonl") if "lr" in record]
    return sum(losses[-5:]) / len(losses[-5:])


def train(profile: Profile, data: Path, run: Path, fault: Fault) -> str:
    with harmed(fault):
        try:
            return fit(profile, data, run, threads=1, device="cpu").reason
        except DivergedError as error:
            return f"gave up: {error.hint}"


def attempt(name: str, data: Path, folder: Path, arguments: argparse.Namespace) -> Outcome:
    steps = arguments.steps
    step = round(FAULT_AT * steps)
    mode = LATENTS if name == "generator" else []
    settings = [*SETTINGS, *mode, f"training.max_steps={steps}", *arguments.set]
    sound = load_profile(overrides=settings)
    spoilt = load_profile(overrides=[*settings, *(["training.schedule.kind=cliff"] if name == "rate" else [])])
    train(sound, data, folder / f"{name}-sound", nothing)
    records = read_metrics(folder / f"{name}-sound" / "metrics.jsonl")
    epoch, batch = next((r["epoch"], r["batch"]) for r in records if r["step"] == step)
    faults: dict[str, Fault] = {
        "rate": nothing,
        "batch": nan_logits_at([(epoch, batch)]),
        "stretch": nan_logits_at([(epoch, batch + n) for n in range(sound.watching.broken_updates)]),
        "generator": freeze(step, round(FROZEN_UNTIL * steps)),
    }
    reason = train(spoilt, data, folder / name, faults[name])
    events = [event for event in read_events(folder / name / "events.jsonl") if event["step"] >= step]
    if name == "generator":
        events = [event for event in events if event.get("name") in ("standing_still", "discriminator_wins")]
    first = events[0] if events else {}
    over = any(event.get("on") is False for event in events)
    return Outcome(
        fault=name,
        at_step=step,
        noticed_after=first["step"] - step if events else None,
        by=first.get("name", first.get("kind", "")),
        said=first.get("message", ""),
        advice=first.get("advice", ""),
        rollbacks=sum(event["kind"] == "rollback" for event in events),
        ended=f"{reason}{', the alarm is over' if over else ''}",
        loss=final_loss(folder / name),
        loss_without=final_loss(folder / f"{name}-sound"),
    )


def show(outcome: Outcome) -> None:
    noticed = "not noticed" if outcome.noticed_after is None else f"{outcome.noticed_after} steps later: {outcome.by}"
    print(f"{outcome.fault:10} at step {outcome.at_step}; {noticed}; {outcome.rollbacks} rollbacks; {outcome.ended}")
    print(f"{'':10} {outcome.said}")
    if outcome.advice:
        print(f"{'':10} advice: {outcome.advice}")
    print(f"{'':10} at the end {outcome.loss:.3f} nats per token, {outcome.loss_without:.3f} without the fault")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["rate", "batch", "stretch", "generator"]
    parser.add_argument("--data", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--only", choices=names)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    logging.getLogger("aurl").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = arguments.data or write_dataset(folder / "music", pieces=200)
        outcomes = []
        for name in [arguments.only] if arguments.only else names:
            outcomes.append(attempt(name, data, folder, arguments))
            show(outcomes[-1])
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))


if __name__ == "__main__":
    main()
