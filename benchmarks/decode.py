"""Decoding speed: aurl's whole engine beside HF transformers' `generate` and beside the weight multiplications alone.

    python -m benchmarks.decode [--threads 1] [--repeats 7] [--run RUN] [--cpu-time] [--json figures.json]

Each case fills the context up to a length and then times the steps that follow, so "at 8,192 tokens" means: with a
cache of 8,192 tokens. Ours are full engine steps (model, grammar mask, top-p sampling, bookkeeping); HF's are
`generate` steps of a Llama of the same size in fp32 (its bf16 is slower on a CPU) with its cheapest sampling
(`do_sample`, no truncation): with its default cache, and with the static one, which is made as long as the piece will
be and is the fastest it has. Repeats alternate between all; figures are medians, ratios are medians of each repeat's
own ratio. `--cpu-time` counts the processor time of the one thread that computes, for machines that are busy with other
things. `--run` names a trained run for the real-time factor.
"""

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from benchmarks.decode_pieces import first_note, memory, real_time
from torch.nn.functional import linear

from aurl.generation.constraints.mask import GrammarMask
from aurl.generation.engine import Engine
from aurl.generation.sampling.sampler import Sampler
from aurl.model.attention import ATTENTION
from aurl.model.build import build_model
from aurl.model.packing import pack_linears
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.profile import load_profile
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import EOS, TIME_SHIFT

CASES = ((1, 1024), (16, 1024), (1, 8192))
LENGTHS = (256, 1024, 4096, 8192)
D_MODEL, N_LAYERS, N_HEADS = 256, 6, 4
SAMPLER = Sampler(temperature=0.1, top_p=0.95)
"""Random weights give flat scores; at this temperature they spread as a trained model's do."""
STEPS = 24
"""Timed steps in one repeat."""
WHOLE = 1024
PROMPTS = (1, 512)
PARTS = ("cases", "real_time", "first_note", "memory", "latents", "lengths", "shares", "whole")
clock = time.perf_counter
CODEC = Codec()
GRAMMAR = Grammar.of(CODEC, allow_zero_length=False)


@dataclass
class Case:
    """One line of the first table; times are milliseconds per step, rates are tokens per second of all rows."""

    batch: int
    length: int
    ours_ms: float
    hf_ms: float
    static_ms: float
    floor_ms: float
    ratio: float
    static_ratio: float

    @property
    def ours_rate(self) -> float:
        return 1000 * self.batch / self.ours_ms


def legal_ids(count: int) -> list[int]:
    """A random walk through the grammar that never ends."""
    rng = np.random.default_rng(0)
    weight = np.ones(CODEC.vocabulary_size)
    weight[:128], weight[128:256], weight[TIME_SHIFT.start : TIME_SHIFT.start + 64], weight[EOS] = 4, 20, 10, 0
    mask, ids = GrammarMask(GRAMMAR, 1), []
    for _ in range(count):
        now = weight * (mask.bias(torch.device("cpu"))[0].numpy() == 0)
        ids.append(int(rng.choice(len(now), p=now / now.sum())))
        mask.advance(0, ids[-1])
    return ids


def build(*, mode: str = "transformer", pattern: tuple[str, ...] = ("full",)) -> MusicTransformerVAEGAN:
    torch.manual_seed(0)
    sizes = {"model.d_model": D_MODEL, "model.n_layers": N_LAYERS, "model.n_heads": N_HEADS}
    profile = load_profile(flags=sizes | {"model.mode": mode, "model.pattern": list(pattern)})
    return pack_linears(build_model(profile, CODEC).eval())


def hidden_width(model: MusicTransformerVAEGAN) -> int:
    """Inner width of a gated feed-forward layer (three matrices) with as many parameters as ours."""
    layer: Any = model.decoder.blocks[0].feed_forward
    return round((layer.up.out_features + layer.down.in_features) / 3)


def our_steps(model: MusicTransformerVAEGAN, batch: int, length: int) -> Iterator[float]:
    """Seconds of one engine step after another, the first with a context of about `length` ids."""
    engine = Engine(model, GRAMMAR, sampler=SAMPLER, context=2 * length)
    events = iter(engine.start(legal_ids(length), seeds=range(batch), may_end=False))
    while True:
        begin = clock()
        for _ in range(batch):
            next(events)
        yield clock() - begin


def hf_steps(batch: int, length: int, *, static: bool = False) -> Callable[[], list[float]]:
    """A function that makes `STEPS` tokens from a context of `length` and says how long each took.

    A static cache cannot be filled beforehand: each run reads the context anew, which is not counted.
    """
    from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, StoppingCriteria

    config = LlamaConfig(
        vocab_size=CODEC.vocabulary_size,
        hidden_size=D_MODEL,
        intermediate_size=hidden_width(build()),
        num_hidden_layers=N_LAYERS,
        num_attention_heads=N_HEADS,
        max_position_embeddings=32768,
        tie_word_embeddings=True,
        eos_token_id=None,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    llama = LlamaForCausalLM(config).eval()
    stamps: list[float] = []

    class Stamp(StoppingCriteria):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
            stamps.append(clock())
            return torch.zeros(len(input_ids), dtype=torch.bool)

    ids = torch.tensor([legal_ids(length)]).repeat(batch, 1)
    filled = DynamicCache(config=config)
    with torch.inference_mode():
        for part in ids[:, :-1].split(1024, dim=1):
            llama(part, past_key_values=filled)

    def run() -> list[float]:
        stamps.clear()
        cache = {"cache_implementation": "static"} if static else {"past_key_values": copy.deepcopy(filled)}
        with torch.inference_mode():
            llama.generate(
                ids, **cache, do_sample=True, top_k=0, top_p=1.0, pad_token_id=0,
                max_new_tokens=STEPS + 1, min_new_tokens=STEPS + 1, stopping_criteria=[Stamp()],
            )  # fmt: skip
        return np.diff(stamps).tolist()

    return run


def floor_steps(batch: int) -> Callable[[], float]:
    """Seconds that the weight multiplications of one step take, by the faster of torch's kernels."""
    layer: Any = build().decoder.blocks[0].feed_forward
    up, down = (layer.up.out_features, D_MODEL), (D_MODEL, layer.down.in_features)
    shapes = [(3 * D_MODEL, D_MODEL), (D_MODEL, D_MODEL), up, down] * N_LAYERS
    weights = [torch.randn(shape) for shape in [*shapes, (CODEC.vocabulary_size, D_MODEL)]]
    inputs = [torch.randn(batch, weight.shape[1]) for weight in weights]
    packed = [pack_linears(torch.nn.Sequential(linear_of(weight)))[0] for weight in weights]

    def run() -> float:
        times = []
        with torch.inference_mode():
            for multiply in ([lambda x, w=w: linear(x, w) for w in weights], packed):
                begin = clock()
                for x, product in zip(inputs, multiply, strict=True):
                    product(x)
                times.append(clock() - begin)
        return min(times)

    return run


def linear_of(weight: torch.Tensor) -> torch.nn.Linear:
    module = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    module.weight.data = weight
    return module


def compare(batch: int, length: int, repeats: int) -> Case:
    ours, floor = our_steps(build(), batch, length), floor_steps(batch)
    hf, static = (hf_steps(batch, length, static=kind) for kind in (False, True))
    next(ours), hf(), static(), floor()
    rows = []
    for _ in range(repeats):
        our = median(next(ours) for _ in range(STEPS))
        rows.append((our, median(hf()), median(static()), median(floor() for _ in range(STEPS))))
    times = [1000 * median(column) for column in zip(*rows, strict=True)]
    return Case(batch, length, *times, *(median(row[peer] / row[0] for row in rows) for peer in (1, 2)))


def cost_over_length(pattern: tuple[str, ...], repeats: int) -> dict[int, float]:
    """Milliseconds per token of one piece at several lengths."""
    steps = {length: our_steps(build(pattern=pattern), 1, length) for length in LENGTHS}
    times: dict[int, list[float]] = {length: [] for length in LENGTHS}
    for timed in steps.values():
        next(timed)
    for _ in range(repeats):
        for length, timed in steps.items():
            times[length].append(median(next(timed) for _ in range(STEPS)))
    return {length: 1000 * median(values) for length, values in times.items()}


def cost_of_latents(batch: int, repeats: int) -> dict[str, float]:
    """Milliseconds per step at 1,024 tokens with latents and without, and the median of each repeat's ratio."""
    modes = {mode: our_steps(build(mode=mode), batch, 1024) for mode in ("transformer", "vae")}
    for timed in modes.values():
        next(timed)
    rows = [[median(next(timed) for _ in range(STEPS)) for timed in modes.values()] for _ in range(repeats)]
    figures = {mode: 1000 * median(column) for mode, column in zip(modes, zip(*rows, strict=True), strict=True)}
    return figures | {"ratio": median(vae / plain for plain, vae in rows)}


def shares(batch: int) -> dict[str, float]:
    """Which share of a step at 1,024 tokens the sampler and the grammar mask take."""
    spent = {"sampling": 0.0, "grammar": 0.0}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any) -> Any:
            begin = clock()
            result = function(*arguments)
            spent[name] += clock() - begin
            return result

        return wrapper

    engine = Engine(build(), GRAMMAR, sampler=SAMPLER, context=2048)
    made = engine.start(legal_ids(1024), seeds=range(batch), may_end=False)
    made._sampler = timed("sampling", made._sampler)
    made._mask.advance = timed("grammar", made._mask.advance)  # type: ignore[method-assign]
    events = iter(made)
    next(events)
    spent.update(dict.fromkeys(spent, 0.0))
    begin = clock()
    for _ in range(200 * batch):
        next(events)
    return {name: seconds / (clock() - begin) for name, seconds in spent.items()}


def whole_piece(batch: int) -> float:
    """Tokens per second of a whole piece of 1,024 ids, from nothing."""
    engine = Engine(build(), GRAMMAR, sampler=SAMPLER, context=WHOLE)
    begin = clock()
    for _ in engine.start(seeds=range(batch), may_end=False, max_tokens=WHOLE - 1):
        pass
    return batch * WHOLE / (clock() - begin)


def report_cases(cases: list[tuple[int, int]], repeats: int) -> list[dict[str, float]]:
    print(f"{'batch':>5} {'length':>7} {'ours':>9} {'HF':>9} {'static':>9} {'ratio':>6} {'static':>6} {'floor':>9}")
    rows = []
    for batch, length in cases:
        case = compare(batch, length, repeats)
        rows.append(asdict(case))
        print(
            f"{batch:>5} {length:>7} {case.ours_ms:>6.2f} ms {case.hf_ms:>6.2f} ms {case.static_ms:>6.2f} ms"
            f" {case.ratio:>5.2f}x {case.static_ratio:>5.2f}x {case.floor_ms:>6.2f} ms {case.ours_rate:>6.0f} tokens/s",
            flush=True,
        )
    return rows


def report_lengths(repeats: int) -> dict[str, dict[int, float]]:
    figures = {}
    for kind in ATTENTION.kinds():
        figures[kind] = cost_over_length((kind,), repeats)
        print(f"{kind}: " + ", ".join(f"{ms:.2f} ms at {n}" for n, ms in figures[kind].items()), flush=True)
    return figures


def report_latents(repeats: int) -> dict[int, dict[str, float]]:
    figures = {batch: cost_of_latents(batch, repeats) for batch in (1, 16)}
    for batch, found in figures.items():
        print(
            f"batch {batch}: {found['transformer']:.2f} ms a step, {found['vae']:.2f} ms with latents"
            f" ({1000 * batch / found['vae']:.0f} tokens/s), {found['ratio'] - 1:+.1%}",
            flush=True,
        )
    return figures


def report_shares() -> dict[int, dict[str, float]]:
    figures = {batch: shares(batch) for batch in (1, 16)}
    for batch, parts in figures.items():
        print(f"batch {batch}: " + ", ".join(f"{name} {share:.1%} of a step" for name, share in parts.items()))
    return figures


def report_whole() -> dict[int, float]:
    figures = {batch: whole_piece(batch) for batch in (1, 16)}
    for batch, rate in figures.items():
        print(f"batch {batch}: {rate:.0f} tokens/s over whole pieces of {WHOLE}")
    return figures


def report_first_note(repeats: int) -> dict[int, float]:
    figures = {}
    for count in PROMPTS:
        figures[count] = first_note(build(), GRAMMAR, SAMPLER, prompt=legal_ids(count), repeats=repeats)
        print(f"first note after a prompt of {count} ids: {figures[count]:.1f} ms", flush=True)
    return figures


def report_memory() -> dict[str, dict[int, float]]:
    """Ring caches in one window as long as the piece, and full attention that reads its second half again."""
    figures = {}
    for kind, context in (("sliding_window", 32_768), ("full", WHOLE)):
        engine = Engine(build(pattern=(kind,)), GRAMMAR, sampler=SAMPLER, context=context)
        figures[kind] = memory(engine)
        print(f"{kind}: " + ", ".join(f"{mib:.0f} MiB at {n}" for n, mib in figures[kind].items()), flush=True)
    return figures


def report_real_time(run: Path | None, threads: int, repeats: int) -> dict[str, float] | None:
    if run is None:
        return None
    found = real_time(run, threads, repeats)
    print(f"{found['median']:.1f} seconds of music per second of computing (least {found['least']:.1f})", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--cpu-time", action="store_true", help="count this thread's processor time, not the wall's")
    parser.add_argument("--long-batch", action="store_true", help="also 16 rows at 8,192 tokens (4 GB)")
    parser.add_argument("--run", type=Path, default=None, help="a trained run, for the real-time factor")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.cpu_time:
        if arguments.threads != 1:
            parser.error("--cpu-time knows one thread only")
        globals()["clock"] = time.thread_time
    cases = [*CASES, *([(16, 8192)] if arguments.long_batch else [])]
    parts: dict[str, Callable[[], Any]] = {
        "cases": lambda: report_cases(cases, arguments.repeats),
        "real_time": lambda: report_real_time(arguments.run, arguments.threads, arguments.repeats),
        "first_note": lambda: report_first_note(arguments.repeats),
        "memory": report_memory,
        "latents": lambda: report_latents(arguments.repeats),
        "lengths": lambda: report_lengths(arguments.repeats),
        "shares": report_shares,
        "whole": report_whole,
    }
    figures: dict[str, Any] = {name: part() for name, part in parts.items() if name in arguments.only}
    if arguments.json:
        about = {"threads": arguments.threads, "cpu_time": arguments.cpu_time, "torch": torch.__version__}
        arguments.json.write_text(json.dumps(about | figures, indent=1))


if __name__ == "__main__":
    main()
