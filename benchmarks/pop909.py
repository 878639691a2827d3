"""Does it learn? A `small` transformer on POP909, beside n-gram models of order 1 to 6 on the same ids.

    python -m benchmarks.pop909 FOLDER --minutes 30 --home /tmp/pop909

FOLDER holds 001.mid … 500.mid. Songs 451-500 are held out. Printed are nats per token and per note, of the run's own
validation (windows side by side, so that the first ids of each window have little context) and with at least half a
window of context for every id; then 200 pieces are sampled and checked against the grammar.
"""

import argparse
import json
from pathlib import Path

import torch

from aurl.data.dataset import TokenDataset, open_dataset
from aurl.data.prepare import prepare
from aurl.evaluation.ngram import compare_orders
from aurl.export.picture import save_picture
from aurl.generation.generate import generate
from aurl.generation.load import load_run
from aurl.generation.request import Request
from aurl.loss.reconstruction import nats
from aurl.midi.write import save_midi
from aurl.profile import load_profile
from aurl.progress import Progress
from aurl.tokens.grammar import Grammar
from aurl.training.batches import ValidationBatches
from aurl.training.trainer import fit

PROFILE = Path(__file__).with_name("pop909.toml")
MAX_ORDER = 6


def with_context(run: Path, dataset: Path) -> tuple[float, float]:
    """Nats per token and per note of the run's best checkpoint, half a window of context before every id."""
    loaded = load_run(run, device=torch.device("cpu"))
    seq_len = loaded.profile.data.seq_len
    held_out = TokenDataset(dataset, "valid", seq_len=seq_len, context=seq_len // 2)
    total, tokens, notes = 0.0, 0, 0
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        for batch in ValidationBatches(held_out, batch_size=loaded.profile.data.batch_size, rank=0, world=1):
            total += float(nats(loaded.model(batch.inputs, start_steps=batch.start_steps), batch.targets))
            tokens, notes = tokens + batch.counts.tokens, notes + batch.counts.notes
    return total / tokens, total / notes


def illegal(run: Path, out: Path, count: int, seconds: float) -> tuple[int, int]:
    """Violations of the grammar in `count` new pieces, and how many ids they have; the first few are kept."""
    pieces = generate(run, Request(count=count, seed=0, seconds=seconds), threads=1)
    for number, piece in enumerate(pieces[:6]):
        save_midi(piece.score, out / f"piece-{number}.mid")
        save_picture(piece.score, out / f"piece-{number}.png")
    grammar = Grammar.of(load_run(run, device=torch.device("cpu")).codec)
    return sum(len(grammar.check(piece.ids)) for piece in pieces), sum(len(piece.ids) for piece in pieces)


def show(progress: Progress) -> None:
    if progress.done % 50 == 0 and progress.task == "train":
        print(f"  step {progress.done}: {progress.note}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path, required=True, help="where the data set and the run are put")
    parser.add_argument("--run", default="run")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--sample-seconds", type=float, default=20.0)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    args = parser.parse_args()

    flags = {"training.max_minutes": args.minutes}
    profile = load_profile(["small", str(PROFILE)], args.overrides, flags=flags)
    dataset, run = args.home / "dataset", args.home / args.run
    prepared = prepare([args.folder], profile, dataset)
    opened = open_dataset(dataset)
    print(f"{prepared.prepared} songs, {opened.splits['train'].tokens:,} ids to learn from")
    rows = {}
    train, valid = list(opened.pieces("train")), list(opened.pieces("valid"))
    compared = compare_orders(train, valid, vocabulary_size=opened.codec.vocabulary_size, max_order=MAX_ORDER)
    for order, found in compared.items():
        rows[f"{order}-gram"] = (found.nats_per_token, found.nats_per_note)
    result = fit(profile, dataset, run, processes=args.processes, threads=args.threads, report=show)
    minutes = result.seconds / 60
    print(f"{result.step} steps, {result.tokens:,} tokens, {minutes:.1f} min, {result.parameters:,} parameters")
    best = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    best = min((line for line in best if "valid/nats_per_note" in line), key=lambda line: line["valid/nats_per_note"])
    rows["small, windows"] = (best["valid/nats_per_token"], best["valid/nats_per_note"])
    rows["small, context"] = with_context(run, dataset)
    print(f"{'model':<16}{'nats/token':>12}{'nats/note':>12}")
    for name, (per_token, per_note) in rows.items():
        print(f"{name:<16}{per_token:>12.3f}{per_note:>12.3f}")
    violations, ids = illegal(run, args.home, args.samples, args.sample_seconds)
    print(f"{violations} violations of the grammar in {args.samples} pieces of {ids:,} ids")


if __name__ == "__main__":
    main()
