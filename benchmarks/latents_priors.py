"""Which prior makes music? Priors of every kind, fitted to the latents of one finished run.

    python -m benchmarks.latents_priors RUN [RUN ...] [--kinds gaussian,mixture,flow] [--minutes 3]

The run's encoder is left as it is, and each prior learns the latents of its training songs (ex-post density estimation,
Ghosh et al., ICLR 2020): so all kinds have the same to explain, which a training with each of them would not give them.
"own" is the prior that the run was trained with. Printed are KL divergences on held-out windows, nats per token, and
metrics of samples beside real music; pictures are put into the run's folder.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from benchmarks.latents_held_out import dataset_of, plain
from benchmarks.latents_music import Songs, measured, samples, show, statistics
from benchmarks.latents_runs import SECONDS_PER_MINUTE
from benchmarks.latents_tables import LEVELS, music, table
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from aurl.data.dataset import TokenDataset
from aurl.generation.load import BEST, Loaded, choose_device, load_run
from aurl.model.latents import Posterior
from aurl.model.prior import PRIORS
from aurl.model.prior.hierarchy import LatentPrior
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.tokens.vocabulary import PAD

OWN = "own"
WINDOWS_AT_ONCE, BATCH_SIZE = 16, 64
LR, WEIGHT_DECAY, CLIP_NORM = 1e-3, 1e-2, 1.0
STEPS_PER_CHECK = 50
"""The weights with the least divergence on held-out windows are kept."""
Posteriors = dict[str, Posterior]


@torch.no_grad()
def encoded(model: MusicTransformerVAEGAN, dataset: Path, split: str, seq_len: int) -> Posteriors:
    """Posteriors of all whole windows of a split."""
    windows = TokenDataset(dataset, split, seq_len=seq_len)
    device = next(model.parameters()).device
    found: dict[str, list[Posterior]] = {level.name: [] for level in model.levels}
    for begin in range(0, len(windows), WINDOWS_AT_ONCE):
        rows = windows.__getitems__(list(range(begin, min(begin + WINDOWS_AT_ONCE, len(windows)))))
        ids, start_steps = (torch.from_numpy(part).to(device) for part in rows[:2])
        whole = (ids != PAD).all(1)
        if ids.shape[1] > seq_len and whole.any():
            with torch.autocast(device.type, dtype=torch.bfloat16):
                for name, posterior in model.encode(ids[whole, 1:], start_steps[whole]).items():
                    found[name].append(posterior)
    return {name: Posterior(*map(torch.cat, zip(*parts, strict=True))) for name, parts in found.items()}


def windows_in(posteriors: Posteriors) -> int:
    return len(next(iter(posteriors.values())).mean)


def drawn(posteriors: Posteriors, rows: Tensor | slice) -> Posteriors:
    """Some windows, their latents drawn anew."""
    chosen = {name: Posterior(*(part[rows] for part in found)) for name, found in posteriors.items()}
    return {
        name: found._replace(z=torch.normal(found.mean.float(), torch.exp(0.5 * found.log_variance.float())))
        for name, found in chosen.items()
    }


@torch.no_grad()
def divergence(prior: LatentPrior, posteriors: Posteriors, seq_len: int) -> dict[str, float]:
    """Level → nats per token; by the same draws each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        kl = prior.eval().kl(drawn(posteriors, slice(None)))
    return {name: float(nats.sum()) / (windows_in(posteriors) * seq_len) for name, nats in kl.items()}


def fit_prior(loaded: Loaded, kind: str, train: Posteriors, valid: Posteriors, minutes: float) -> LatentPrior:
    """A prior of that kind on all levels that makes the training songs' latents as likely as it can."""
    torch.manual_seed(0)
    section, seq_len, component = loaded.profile.model, loaded.profile.data.seq_len, {"kind": kind}
    prior = LatentPrior(loaded.model.levels, kind=component, lower_kind=component, d_hidden=section.d_model)
    prior.to(choose_device())
    optimizer = torch.optim.AdamW(prior.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    best, least, end = _weights(prior), float("inf"), time.monotonic() + minutes * SECONDS_PER_MINUTE
    for step, rows in enumerate(_batches(windows_in(train)), start=1):
        prior.train()
        z = {name: found.z for name, found in drawn(train, rows).items()}
        loss = -torch.stack([log_prob.sum() for log_prob in prior.log_prob(z).values()]).sum() / len(rows)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(prior.parameters(), CLIP_NORM)
        optimizer.step()
        if step % STEPS_PER_CHECK == 0:
            now = sum(divergence(prior, valid, seq_len).values())
            if now < least:
                best, least = _weights(prior), now
            if time.monotonic() > end:
                break
    prior.load_state_dict(best)
    return prior.eval()


def _weights(prior: LatentPrior) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in prior.state_dict().items()}


def _batches(windows: int) -> Iterator[Tensor]:
    while True:
        yield from torch.randperm(windows).split(BATCH_SIZE)


def priors_of(loaded: Loaded, kinds: list[str], minutes: float) -> Iterator[tuple[str, LatentPrior, dict[str, float]]]:
    """Each prior, and its divergences on held-out windows; the run's own one first."""
    model, dataset, seq_len = plain(loaded), dataset_of(loaded.run), loaded.profile.data.seq_len
    train, valid = (encoded(model, dataset, split, seq_len) for split in ("train", "valid"))
    print(f"{loaded.run.name}@{loaded.step}: latents of {windows_in(train):,} windows to learn from", flush=True)
    own = model.prior
    if own is None:
        raise SystemExit(f"{loaded.run} has no latents")
    yield OWN, own, divergence(own, valid, seq_len)
    for kind in kinds:
        prior = fit_prior(loaded, kind, train, valid, minutes)
        yield kind, prior, divergence(prior, valid, seq_len)


def compare(loaded: Loaded, kinds: list[str], *, minutes: float, count: int, tokens: int) -> dict[str, Any]:
    """Fit, measure, print."""
    real = Songs.of(dataset_of(loaded.run), count).longer_than(tokens).scores(tokens)
    values = measured(real)
    shown, statistics_of, figures = {"real": real}, {"real": statistics(real, values)}, {}
    for kind, prior, kl in priors_of(loaded, kinds, minutes):
        loaded.model.prior, loaded.model.conditions = prior, ()
        shown[kind], made = samples(loaded, count=len(real), tokens=tokens)
        statistics_of[kind] = statistics(shown[kind], values)
        figures[kind] = {"kl": kl, "parameters": sum(part.numel() for part in prior.parameters()), **made}
        print(f"{kind}: {figures[kind]}", flush=True)
    show(loaded.run / "priors", shown)
    _print(figures, statistics_of)
    return {"priors": figures, "music": statistics_of}


def _print(figures: Mapping[str, Any], statistics_of: Mapping[str, Any]) -> None:
    rows = {}
    for kind, of in figures.items():
        alone = " ".join(f"{of['kl'][level]:.3f}" for level in LEVELS if level in of["kl"])
        rows[kind] = [f"{of['parameters']:,}", f"{sum(of['kl'].values()):.3f}", alone, f"{of['violations']}"]
    print("\n" + table(["prior", "parameters", "KL/token", "each level g l f", "violations"], rows))
    print("\n" + music(statistics_of))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--kinds", default=",".join(PRIORS.kinds()))
    parser.add_argument("--minutes", type=float, default=3.0, help="of each prior")
    parser.add_argument("--checkpoint", default=BEST)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--sample-tokens", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all figures here")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = {}
    for run in args.runs:
        loaded = load_run(run, checkpoint=args.checkpoint, device=choose_device())
        found[str(run)] = compare(
            loaded, args.kinds.split(","), minutes=args.minutes, count=args.samples, tokens=args.sample_tokens
        )
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
