"""Speed of the loader beside a Hugging Face `datasets` loader and MidiTok's, on the same files and in the same run.

    python -m benchmarks.loader FOLDER [--files 0] [--seq-len 1024] [--workers 0] [--repeats 5] [--json figures.json]

Every measurement is a process of its own that imports before its clock starts, reads one epoch, and then epoch after
epoch for some seconds. "first epoch" counts opening and the one epoch, as every start of a training does. Tokens are
counted without padding, outside the clock.

Ours reads windows with random boundaries from a prepared data set, in a new order in each epoch. Hugging Face's reads
Arrow files with `set_format("torch")` through a shuffling DataLoader: "hf-fixed" rows of one length without padding
(the ids of all pieces in one line, cut), "hf-list" our own windows, padded by the loader. MidiTok's reads the files as
its documentation has it, split for training beforehand, in its MIDILike spelling: "miditok-memory" tokenises them all
when it is opened and holds them as tensors in memory, "miditok-files" tokenises each as it is read.

"augmented" is ours with every kind of augmentation on every window; "model" is what a training step of `--size` eats on
one thread. "read-…" are single windows at random. "piece-cached" and "piece-parsed" are whole pieces, from the data set
and from their files. `--cpu-time` counts processor time, for machines that are busy with other things; with loader
processes only wall-clock time means something.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.memory import measured

LOADERS = ("aurl", "hf-fixed", "hf-list", "miditok-memory", "miditok-files")
READERS = ("read-aurl", "read-hf-fixed", "read-hf-list", "read-miditok-memory", "read-miditok-files")
CASES = (*LOADERS, "adaptive", "bucketed", "hybrid", "augmented", "model", *READERS, "piece-cached", "piece-parsed")
FIRST = ", first epoch"
RATIOS: dict[str, tuple[str, str, float]] = {
    **{f"tokens/s, aurl / {peer}": ("aurl", peer, 5.0) for peer in LOADERS[1:]},
    "tokens/s of the first epoch, aurl / miditok-memory": (f"aurl{FIRST}", f"miditok-memory{FIRST}", 5.0),
    **{f"windows/s at random, aurl / {peer}": ("read-aurl", peer, 5.0) for peer in READERS[1:]},
    "tokens/s, augmented / eaten by the model": ("augmented", "model", 5.0),
    "pieces/s, cached / parsed": ("piece-cached", "piece-parsed", 100.0),
}
"""Name → (case, beside which, goal)."""
PIECE = "piece"
READS_AT_ONCE = 64
"""So many are timed together, that the clock does not count."""
Figures = dict[str, float]
Batches = Callable[[], Iterable[Any]]
"""One epoch; what it gives are batches, of which the first tensor holds the ids."""


class Stopwatch:
    """Adds up the time of what is called through it."""

    def __init__(self, *, cpu_time: bool) -> None:
        self._clock = time.process_time if cpu_time else time.perf_counter
        self.seconds = 0.0

    def __call__(self, work: Callable[[], Any]) -> Any:
        begin = self._clock()
        done = work()
        self.seconds += self._clock() - begin
        return done


def paddingless(batch: Any, pad: int) -> int:
    """Ids of a batch that are no padding."""
    ids = batch["ids"] if "ids" in batch else batch["input_ids"]
    return int((ids != pad).sum())


def time_batches(start: Callable[[], Batches], pad: int, options: argparse.Namespace) -> Figures:
    """One epoch with all that comes before it, then epoch after epoch until the time is over."""
    first, watch = Stopwatch(cpu_time=options.cpu_time), Stopwatch(cpu_time=options.cpu_time)
    epoch = first(start)
    begun = sum(paddingless(batch, pad) for batch in _until(epoch, first, float("inf"), once=True))
    tokens = sum(paddingless(batch, pad) for batch in _until(epoch, watch, options.seconds))
    return {"per_second": tokens / watch.seconds, "first_per_second": begun / first.seconds}


def _until(epoch: Batches, watch: Stopwatch, seconds: float, *, once: bool = False) -> Iterator[Any]:
    while watch.seconds < seconds:
        batches = watch(lambda: iter(epoch()))
        while (batch := watch(lambda: next(batches, None))) is not None and watch.seconds < seconds:  # noqa: B023
            yield batch
        if once:
            return


def time_reads(read: Callable[[int], Any], count: int, options: argparse.Namespace) -> Figures:
    """Items in random order until the time is over, all of them for warming up, or for as long."""
    import numpy as np

    order = np.random.default_rng(0).permutation(count).tolist()
    speed = 0.0
    for watch in (Stopwatch(cpu_time=options.cpu_time), Stopwatch(cpu_time=options.cpu_time)):
        reads = 0
        while watch.seconds < options.seconds:
            some = order[reads % count :][:READS_AT_ONCE]
            watch(lambda: [read(index) for index in some])  # noqa: B023
            reads += len(some)
        speed = reads / watch.seconds
    return {"per_second": speed}


def windows(work: Path, options: argparse.Namespace, **more: Any) -> Any:
    """Our data set."""
    from aurl.data.dataset import TokenDataset

    return TokenDataset(work / "dataset", "train", seq_len=options.seq_len, **more)


def run_aurl(work: Path, options: argparse.Namespace, *, batch_tokens: int | None = None, **more: Any) -> Figures:
    """Our loader."""
    from aurl.data.batching import WindowSampler, loader
    from aurl.tokens.vocabulary import PAD

    def start() -> Batches:
        found = windows(work, options, **more)
        sampler = WindowSampler(found, batch_size=options.batch_size, batch_tokens=batch_tokens)
        batches = loader(found, sampler, workers=options.workers)

        def epoch() -> Any:
            sampler.set_epoch(sampler.epoch + 1)
            return batches

        return epoch

    return time_batches(start, PAD, options)


def run_adaptive(work: Path, options: argparse.Namespace) -> Figures:
    """Windows that begin with bars."""
    from aurl.data.truncation import TRUNCATION

    return run_aurl(work, options, truncation=TRUNCATION.build("adaptive"))


def run_augmented(work: Path, options: argparse.Namespace) -> Figures:
    """Every kind of augmentation on every window."""
    from aurl.augment import AUGMENT, Augmenter

    augmenter = Augmenter([{"kind": kind} for kind in AUGMENT.kinds()], time_base="beats")
    return run_aurl(work, options, augment=augmenter)


def run_model(options: argparse.Namespace) -> Figures:
    """Tokens that a training step learns in a second, of one thread."""
    import torch
    from benchmarks.train import our_step

    from aurl.profile import load_profile
    from aurl.tokens.vocabulary import EVENT_COUNT

    torch.set_num_threads(1)
    profile = load_profile([options.size], [f"data.seq_len={options.seq_len}", "training.precision=fp32"])
    ids = torch.randint(0, EVENT_COUNT, (profile.data.batch_size, options.seq_len + 1))
    step, _ = our_step(profile, ids)
    step()
    watch = Stopwatch(cpu_time=options.cpu_time)
    for _ in range(3):
        watch(step)
    return {"per_second": 3 * profile.data.batch_size * options.seq_len / watch.seconds}


def run_hf(work: Path, options: argparse.Namespace, name: str, *, reads: bool) -> Figures:
    """Hugging Face's loader over Arrow files."""
    from datasets import load_from_disk
    from torch.nn.utils.rnn import pad_sequence
    from torch.utils.data import DataLoader

    from aurl.tokens.vocabulary import PAD

    def opened() -> Any:
        rows = load_from_disk(str(work / name))
        rows.set_format("torch")
        return rows

    if reads:
        rows = opened()
        return time_reads(lambda index: rows[index]["ids"], len(rows), options)

    def pad(batch: Sequence[Any]) -> dict[str, Any]:
        return {"ids": pad_sequence([row["ids"] for row in batch], batch_first=True, padding_value=PAD)}

    workers = {"num_workers": options.workers, "persistent_workers": options.workers > 0}
    collate: Any = pad if name == "hf-list" else None

    def start() -> Batches:
        batches: Any = DataLoader(opened(), options.batch_size, shuffle=True, collate_fn=collate, **workers)
        return lambda: batches

    return time_batches(start, PAD, options)


def tokenizer_of_miditok() -> Any:
    """Its counterpart of our spelling: events, with all instruments in one line."""
    from miditok import MIDILike, TokenizerConfig

    return MIDILike(TokenizerConfig(use_programs=True))


def run_miditok(work: Path, options: argparse.Namespace, name: str, *, reads: bool) -> Figures:
    """MidiTok's loader over files that were split for training."""
    from miditok.pytorch_data import DataCollator, DatasetMIDI
    from torch.utils.data import DataLoader

    tokenizer = tokenizer_of_miditok()
    files = sorted((work / "split").rglob("*.mid"))
    given = {"bos_token_id": tokenizer["BOS_None"], "eos_token_id": tokenizer["EOS_None"]}
    kept = {"pre_tokenize": name == "miditok-memory", "parallel_workers_size": 1}

    def opened() -> Any:
        return DatasetMIDI(files, tokenizer, options.seq_len, **kept, **given)

    if reads:
        rows = opened()
        return time_reads(lambda index: rows[index]["input_ids"], len(rows), options)
    workers = {"num_workers": options.workers, "persistent_workers": options.workers > 0}
    collator = DataCollator(tokenizer.pad_token_id, copy_inputs_as_labels=False)

    def start() -> Batches:
        batches: Any = DataLoader(opened(), options.batch_size, shuffle=True, collate_fn=collator, **workers)
        return lambda: batches

    return time_batches(start, tokenizer.pad_token_id, options)


def run_pieces(work: Path, options: argparse.Namespace, *, cached: bool) -> Figures:
    """Whole pieces into memory."""
    import numpy as np

    from aurl.data.pieces import PieceReader
    from aurl.midi.read import read_score

    pieces = PieceReader(work / "dataset", "train")
    if cached:
        return time_reads(lambda number: np.array(pieces.piece(number)), len(pieces), options)
    files = [Path(pieces.record(number).source) for number in range(len(pieces))]
    return time_reads(lambda number: read_score(files[number].read_bytes()), len(files), options)


def run_case(case: str, work: Path, options: argparse.Namespace) -> Figures:
    """One measurement, in this process."""
    import torch

    torch.set_num_threads(1)
    special: dict[str, Callable[[], Figures]] = {
        "aurl": lambda: run_aurl(work, options),
        "adaptive": lambda: run_adaptive(work, options),
        "bucketed": lambda: run_aurl(work, options, batch_tokens=options.batch_size * options.seq_len),
        "hybrid": lambda: run_aurl(work, options, hybrid=True),
        "augmented": lambda: run_augmented(work, options),
        "model": lambda: run_model(options),
        "piece-cached": lambda: run_pieces(work, options, cached=True),
        "piece-parsed": lambda: run_pieces(work, options, cached=False),
        "read-aurl": lambda: read_ours(work, options),
    }
    if case in special:
        return special[case]()
    name = case.removeprefix("read-")
    run = run_hf if name.startswith("hf") else run_miditok
    return run(work, options, name, reads=case != name)


def read_ours(work: Path, options: argparse.Namespace) -> Figures:
    """Single windows with random boundaries."""
    import numpy as np

    found = windows(work, options)
    drawn = found.draw(np.random.default_rng(0))
    listed = [drawn.at(index) for index in range(len(drawn))]
    return time_reads(lambda index: found[listed[index]], len(listed), options)


def make(work: Path, files: Sequence[str], options: argparse.Namespace) -> None:
    """What the cases read: our data set, Arrow files, split MIDI files; of files that all can use."""
    import numpy as np
    from datasets import Dataset, Features, List, Value
    from miditok.utils import split_files_for_training

    from aurl.data.prepare import prepare
    from aurl.profile import load_profile

    tokenizer = tokenizer_of_miditok()
    usable = [file for file in files if _takes(tokenizer, file)]
    everything = {"kind": "hash", "valid": 0.0, "test": 0.0}
    profile = load_profile(flags={"prepare.split": everything, "prepare.dedupe": "off"}, check={"preprocess", "split"})
    prepare(usable, profile, work / "dataset")
    found = windows(work, options)
    drawn = found.draw(np.random.default_rng(0))
    line = np.concatenate([found.piece(number) for number in range(len(found.pieces))])
    length = options.seq_len + 1
    fixed = line[: len(line) // length * length].reshape(-1, length)
    ours = [found[drawn.at(index)].ids for index in range(len(drawn))]
    for name, rows, size in (("hf-fixed", list(fixed), length), ("hf-list", ours, -1)):
        features = Features({"ids": List(Value("uint16"), length=size)})
        Dataset.from_dict({"ids": rows}, features=features).save_to_disk(str(work / name))
    split_files_for_training([Path(file) for file in usable], tokenizer, work / "split", options.seq_len)
    print(f"{len(usable):,} files, {len(line):,} tokens, {len(ours):,} windows of up to {options.seq_len}")


def _takes(tokenizer: Any, file: str) -> bool:
    """Whether MidiTok can tokenise a file, and whether we read it too."""
    from symusic import Score

    from aurl.midi.read import load_score

    try:
        load_score(Path(file))
        return len(tokenizer(Score(file)).ids) > 0
    except Exception:  # noqa: BLE001 - libraries differ in what they raise
        return False


def report(repeats: Sequence[dict[str, Figures]]) -> dict[str, Any]:
    """Print medians and ratios; returns them."""
    speed = {case: median(repeat[case]["per_second"] for repeat in repeats) for case in CASES}
    speed |= {f"{case}{FIRST}": median(repeat[case]["first_per_second"] for repeat in repeats) for case in LOADERS}
    for case, value in speed.items():
        unit = "pieces/s" if case.startswith(PIECE) else "windows/s" if case in READERS else "tokens/s"
        print(f"{case:30}{value:>16,.0f} {unit}")
    ratios = {name: (speed[case] / speed[peer], goal) for name, (case, peer, goal) in RATIOS.items()}
    for name, (ratio, goal) in ratios.items():
        print(f"{name:52}{ratio:>10.1f} x   goal {goal:g}")
    saved = 1 - 1 / ratios["pieces/s, cached / parsed"][0]
    print(f"time to load a piece is cut by {saved:.2%}")
    return {"figures": speed, "ratios": {name: ratio for name, (ratio, _) in ratios.items()}}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of MIDI files")
    parser.add_argument("--files", type=int, default=0, help="take so many, evenly spread; 0: all")
    parser.add_argument("--seq-len", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--size", default="small", help="profile of the model that eats")
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = parse()
    if options.case:
        print(json.dumps(run_case(options.case, options.folder, options)))
        return
    files = sorted(str(path) for path in options.folder.rglob("*") if path.suffix.lower() in {".mid", ".midi"})
    if options.files:
        files = files[:: max(len(files) // options.files, 1)][: options.files]
    given = [f"--{name}={vars(options)[name.replace('-', '_')]}" for name in ("seq-len", "batch-size", "workers")]
    given += [f"--seconds={options.seconds}", f"--size={options.size}", *["--cpu-time"] * options.cpu_time]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make(work, files, options)
        repeats = [
            {case: measured("benchmarks.loader", [folder, *given, "--case", case]) for case in CASES}
            for _ in range(options.repeats)
        ]
    found = report(repeats)
    if options.json:
        options.json.write_text(json.dumps({"repeats": repeats, **found}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
