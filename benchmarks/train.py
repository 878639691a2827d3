"""Training speed: aurl's whole update beside the bare model and beside a same-sized HF Llama, as shares of the peak.

    python -m benchmarks.train [--threads 1] [--repeats 7] [--dropout 0] [--set KEY=VALUE] [--json figures.json]
    python -m benchmarks.train --memory

An update of ours is everything that happens in a step of `aurl train`: Accelerate, autocast, loss, backward, clipping,
the profile's optimizer, moving average, sums for the log. "Bare" is the same model with fused AdamW in the shortest
loop that trains it; with `--set training.optimizer.kind=adamw` the ratio is the cost of the framework. HF is
`LlamaForCausalLM` of the same width, depth, heads and size, with the same batch, autocast and clipping, fused AdamW and
no moving average. The three take turns; figures are medians, ratios are medians of each repeat's own ratio. The peak is
the fastest square matrix product seen between the repeats.

`--memory` runs one forward and backward pass of a `small` model over one piece, for every attention kind and several
lengths, each in a process of its own: the highest resident memory, what of it the pass itself took, and tokens per
second of processor time, for the machine may be busy.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from aurl.loss.reconstruction import Counts
from aurl.model.attention import ATTENTION
from aurl.model.build import build_model
from aurl.profile import Profile, load_profile
from aurl.tokens.codec import Codec
from aurl.tokens.vocabulary import EVENT_COUNT
from aurl.training.acceleration import start_accelerator
from aurl.training.batches import Batch
from aurl.training.learner import build_learner
from aurl.training.steps import Sums, update

PEAK_SIZES = (1024, 2048)
MEMORY_LENGTHS = (1024, 9433, 16384)
SHORT = 64
CLIP_NORM = 1.0
Step = Callable[[], None]


@dataclass(frozen=True)
class Figures:
    """One precision. Speeds in tokens per second, peak in multiplications and additions per second."""

    precision: str
    threads: int
    parameters: int
    hf_parameters: int
    ours: float
    bare: float
    hf: float
    ours_over_hf: float
    ours_over_bare: float
    peak: float
    ours_share_of_peak: float
    hf_share_of_peak: float


def operations_per_token(model: nn.Module, profile: Profile, vocabulary: int) -> int:
    """Multiplications and additions of a training step, per token: weights 6 each, causal attention 6 T d a layer."""
    linears = sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))
    section = profile.model
    weights = linears + vocabulary * section.d_model
    return 6 * weights + 6 * profile.data.seq_len * section.d_model * section.n_layers


def autocast(precision: str) -> AbstractContextManager[Any]:
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


def our_step(profile: Profile, ids: Tensor) -> tuple[Step, nn.Module]:
    accelerator, processes = start_accelerator(profile, device="cpu")
    learner = build_learner(profile, Codec(), accelerator, None)
    collated = {"ids": ids, "start_steps": torch.zeros(len(ids), dtype=torch.int64)}
    batch = Batch.of({**collated, "context": torch.ones(len(ids), dtype=torch.int64)})
    sums = Sums.on(accelerator.device)
    learner.plain.train()

    def step() -> None:
        update(learner, [batch], Counts.of(batch.targets), processes, sums)

    return step, learner.plain


def bare_step(profile: Profile, ids: Tensor) -> Step:
    model = build_model(profile, Codec()).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=profile.training.lr, fused=True)

    def step() -> None:
        with autocast(profile.training.precision):
            logits = model(ids[:, :-1])
        cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten()).backward()
        finish(model, optimizer)

    return step


def hf_step(profile: Profile, ids: Tensor) -> tuple[Step, nn.Module]:
    from transformers import LlamaConfig, LlamaForCausalLM

    section = profile.model
    config = LlamaConfig(
        vocab_size=Codec().vocabulary_size,
        hidden_size=section.d_model,
        intermediate_size=round(section.d_model * section.ff_multiplier * 2 / 3),  # three matrices, we have two
        num_hidden_layers=section.n_layers,
        num_attention_heads=section.n_heads,
        max_position_embeddings=profile.data.seq_len + 1,
        tie_word_embeddings=True,
        attention_dropout=0.0,
        use_cache=False,
    )
    model = LlamaForCausalLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=profile.training.lr, fused=True)
    inputs, labels = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def step() -> None:
        with autocast(profile.training.precision):
            loss = model(input_ids=inputs, labels=labels, shift_labels=labels).loss
        loss.backward()
        finish(model, optimizer)

    return step, model


def finish(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    clip_grad_norm_(model.parameters(), CLIP_NORM)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def seconds(step: Step) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def peak(precision: str) -> float:
    """Operations per second of the fastest square product."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    best = 0.0
    for size in PEAK_SIZES:
        left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
        torch.mm(left, right)
        best = max(best, *(2 * size**3 / seconds(lambda: torch.mm(left, right)) for _ in range(3)))  # noqa: B023
    return best


def measure(precision: str, arguments: argparse.Namespace) -> Figures:
    overrides = [f"training.precision={precision}", f"model.dropout={arguments.dropout}", *arguments.set]
    profile = load_profile([arguments.size], overrides)
    torch.manual_seed(0)
    ids = torch.randint(0, EVENT_COUNT, (profile.data.batch_size, profile.data.seq_len + 1))
    ours, plain = our_step(profile, ids)
    hf, llama = hf_step(profile, ids)
    steps = {"ours": ours, "bare": bare_step(profile, ids), "hf": hf}
    for step in steps.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    peaks = [peak(precision)]
    for _ in range(arguments.repeats):
        for name, step in steps.items():
            times[name].append(seconds(step))
        peaks.append(peak(precision))
    tokens = profile.data.batch_size * profile.data.seq_len
    speed = {name: tokens / median(values) for name, values in times.items()}
    operations = operations_per_token(plain, profile, Codec().vocabulary_size)
    AcceleratorState._reset_state()
    return Figures(
        precision=precision,
        threads=torch.get_num_threads(),
        parameters=sum(parameter.numel() for parameter in plain.parameters()),
        hf_parameters=sum(parameter.numel() for parameter in llama.parameters()),
        **speed,
        ours_over_hf=median(hf / own for own, hf in zip(times["ours"], times["hf"], strict=True)),
        ours_over_bare=median(bare / own for own, bare in zip(times["ours"], times["bare"], strict=True)),
        peak=max(peaks),
        ours_share_of_peak=speed["ours"] * operations / max(peaks),
        hf_share_of_peak=speed["hf"] * operations / max(peaks),
    )


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory_case(kind: str, length: int) -> None:
    """Print the figures of one kind and length, as JSON."""
    profile = load_profile(["small"], [f'model.pattern=["{kind}"]', "model.dropout=0.0"])
    model = build_model(profile, Codec()).train()
    ids = torch.randint(0, EVENT_COUNT, (1, length + 1))

    def step(length: int) -> None:
        with autocast("bf16"):
            logits = model(ids[:, :length])
        cross_entropy(logits.flatten(0, 1).float(), ids[:, 1 : length + 1].flatten()).backward()

    step(SHORT)
    before, begin = peak_mib(), time.process_time()
    step(length)
    rate, after = length / (time.process_time() - begin), peak_mib()
    print(json.dumps({"mib": after - before, "peak_mib": after, "tokens_per_second": rate}))


def memory() -> list[dict[str, Any]]:
    """A fresh process for every case, for a peak never falls."""
    rows = []
    for kind in ATTENTION.kinds():
        for length in MEMORY_LENGTHS:
            command = [sys.executable, "-m", "benchmarks.train", "--case", kind, str(length)]
            found = subprocess.run(command, check=True, capture_output=True, text=True)
            row = {"attention": kind, "tokens": length, **json.loads(found.stdout)}
            rows.append(row)
            sizes = f"{row['mib']:7,.0f} MiB, with the process {row['peak_mib']:7,.0f} MiB"
            print(f"{kind:15} {length:6,} tokens: {sizes}, {row['tokens_per_second']:7,.0f} tokens/s", flush=True)
    return rows


def show(found: Figures) -> None:
    print(f"{found.precision}, {found.threads} threads, {found.parameters:,} parameters (HF {found.hf_parameters:,})")
    print(f"  aurl {found.ours:8,.0f} tokens/s  {found.ours_share_of_peak:6.1%} of {found.peak / 1e9:,.0f} GFLOP/s")
    print(f"  HF   {found.hf:8,.0f} tokens/s  {found.hf_share_of_peak:6.1%}")
    print(f"  bare {found.bare:8,.0f} tokens/s")
    print(f"  aurl / HF {found.ours_over_hf:.2f}, aurl / bare {found.ours_over_bare:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--precisions", nargs="+", default=["bf16", "fp32"])
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--case", nargs=2, metavar=("KIND", "LENGTH"), help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.case:
        memory_case(arguments.case[0], int(arguments.case[1]))
        return
    rows: list[dict[str, Any]] = memory() if arguments.memory else []
    for precision in [] if arguments.memory else arguments.precisions:
        found = measure(precision, arguments)
        show(found)
        rows.append(asdict(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
