"""Whole pieces: music per second of computing, the wait for the first note, memory over tens of thousands of ids."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import psutil

from aurl.generation.engine import Engine
from aurl.generation.generate import generate
from aurl.generation.load import load_run
from aurl.generation.request import Request
from aurl.generation.sampling.sampler import Sampler
from aurl.model.vae_gan import MusicTransformerVAEGAN
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import NOTE_ON

MEBIBYTE = 2**20
MUSIC_SECONDS = 60
PIECES = 3
MARKS = (1_000, 5_000, 10_000, 20_000, 30_000)
"""Ids after which memory is looked at."""


def real_time(run: Path, threads: int, repeats: int) -> dict[str, float]:
    """Seconds of music per second of computing with a trained model, one piece after the other; loading counts not."""
    load_run(run)  # files are read once before
    begin = time.perf_counter()
    load_run(run)
    loading = time.perf_counter() - begin
    factors = []
    for repeat in range(min(PIECES, repeats)):
        begin = time.perf_counter()
        generate(run, Request(seconds=MUSIC_SECONDS, seed=repeat), threads=threads)
        factors.append(MUSIC_SECONDS / (time.perf_counter() - begin - loading))
    return {"least": min(factors), "median": median(factors)}


def first_note(
    model: MusicTransformerVAEGAN, grammar: Grammar, sampler: Sampler, *, prompt: Sequence[int], repeats: int
) -> float:
    """Milliseconds until a loaded model gives its first NOTE_ON after `prompt`."""
    waits = []
    for seed in range(repeats + 1):
        begin = time.perf_counter()
        for event in Engine(model, grammar, sampler=sampler).start(prompt, seeds=[seed], may_end=False):
            if event.id < NOTE_ON.stop:
                break
        waits.append(1000 * (time.perf_counter() - begin))
    return median(waits[1:])


def memory(engine: Engine) -> dict[int, float]:
    """MiB of the process after so many ids of one piece."""
    found = {}
    for made, _ in enumerate(_ids(engine), start=1):
        if made in MARKS:
            found[made] = psutil.Process().memory_info().rss / MEBIBYTE
    return found


def _ids(engine: Engine) -> Iterator[int]:
    return (event.id for event in engine.start(may_end=False, max_tokens=MARKS[-1]))
