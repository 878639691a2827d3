"""Does it help to know what comes after? `python -m benchmarks.infill RUN FOLDER [--fills 500]`.

RUN was trained with `controls.infill`; FOLDER holds songs that it has not seen. First the likelihood of four to eight
bars of each song, in nats per note: told after both sides, and as the continuation of the left side alone. Both are of
the same notes, ended at the span's end; header facts are measured of what the model is shown. Then as many bars are
filled in as asked, and their seams looked at:

- `touched`: notes outside the span that are not what they were; a note that a new one of its pitch cuts short is not
  counted, but must end just there.
- `doubled`: notes of one pitch in one track that sound at once, where none did before.
- `stuck`: new notes that reach beyond the span, or last no time.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from aurl.controls.chords import with_chords
from aurl.controls.prompts import told_prompt
from aurl.controls.spans import divide
from aurl.controls.told import Heard
from aurl.generation.infill import Gap, open_gap
from aurl.generation.load import Loaded, load_run
from aurl.generation.pieces import make_pieces
from aurl.generation.prompt import song_score
from aurl.generation.request import Request
from aurl.midi.clock import bar_ticks
from aurl.midi.score import Score
from aurl.tokens.vocabulary import NOTE_ON

BARS = (4, 8)
FAULTS = ("touched", "doubled", "stuck")
RESAMPLES = 1000
Note = tuple[int, int, int, int]


def place(song: Score, rng: np.random.Generator, bars: tuple[int, int]) -> str:
    """Some bars within the song, as the command line has them."""
    count = len(bar_ticks(song, song.end_tick))
    size = int(rng.integers(bars[0], bars[1] + 1))
    first = int(rng.integers(2, max(count - size - 2, 3)))
    return f"{first}:{first + size}"


@torch.inference_mode()
def nats_behind(loaded: Loaded, prompt: list[int], ids: list[int], *, start_step: int) -> float:
    """Nats of `ids` behind a prompt."""
    row = torch.tensor([[*prompt, *ids]])
    logits = loaded.model(row[:, :-1], start_steps=torch.tensor([start_step]))[0, len(prompt) - 1 :]
    chosen = row[0, len(prompt) :, None]
    return -float(logits.log_softmax(-1).gather(1, chosen).sum())


def compare(loaded: Loaded, song: Score, where: str) -> tuple[float, float] | None:
    """Nats per note of what is in a span after both sides, and after the left one; None without notes in it."""
    codec, context = loaded.codec, loaded.profile.data.seq_len
    gap = open_gap(song, codec, where, context=context, preprocess=loaded.preprocess)
    passage = gap.passage
    heard, begin = Heard.of(passage, codec), passage.start_step
    state = {"part": passage.part, "velocity": passage.velocity}
    sides = divide(heard.notes, gap.span, start_step=begin, parts=codec.parts, **state)
    middle = with_chords(sides.middle, heard.chords(), start_step=gap.span.begin)[0] if codec.chords else sides.middle
    notes = int((middle < NOTE_ON.stop).sum())
    fits = len(gap.ids) + len(middle) <= context
    if not notes or not fits:
        return None
    header = passage.ids[: passage.header].tolist()
    left = told_prompt([*header, *sides.left.tolist()], len(header), codec)
    after_both = nats_behind(loaded, gap.ids, middle.tolist()[:-1], start_step=begin)
    after_left = nats_behind(loaded, left, middle.tolist()[:-1], start_step=begin)
    return after_both / notes, after_left / notes


def notes_of(song: Score, track: int) -> list[Note]:
    """(onset, end, pitch, velocity)."""
    notes = song.tracks[track].notes
    return list(
        zip(notes.onset.tolist(), notes.offset.tolist(), notes.pitch.tolist(), notes.velocity.tolist(), strict=True)
    )


def overlaps(notes: list[Note]) -> int:
    """How often a note begins while one of its pitch sounds."""
    sounding: dict[int, int] = {}
    found = 0
    for onset, end, pitch, _ in sorted(notes):
        found += onset < sounding.get(pitch, -1)
        sounding[pitch] = max(end, sounding.get(pitch, -1))
    return found


def seams(gap: Gap, filled: Score) -> Counter[str]:
    """What is wrong with a filled song."""
    begin, end = gap.ticks
    wrong: Counter[str] = Counter(dict.fromkeys(FAULTS, 0))
    for track in range(len(gap.song.tracks)):
        before, after = notes_of(gap.song, track), notes_of(filled, track)
        new = [note for note in after if begin <= note[0] < end]
        kept = [note for note in after if not begin <= note[0] < end]
        strikes = {(note[0], note[2]) for note in new}
        missing = Counter(note for note in before if not begin <= note[0] < end)
        missing.subtract(kept)
        wrong["touched"] += sum(
            count
            for (_, until, pitch, _), count in (+missing).items()
            if not any(struck == pitch and at < until for at, struck in strikes)
        )
        wrong["doubled"] += max(overlaps(after) - overlaps(before), 0)
        wrong["stuck"] += sum(note[1] > end or note[1] <= note[0] for note in new)
        wrong["notes"] += len(new)
    return wrong


def fill(loaded: Loaded, song: Score, where: str, seed: int) -> Counter[str]:
    context = loaded.profile.data.seq_len
    gap = open_gap(song, loaded.codec, where, context=context, preprocess=loaded.preprocess)
    request = Request(seed=seed, prompt=song, infill=where)
    (piece,) = make_pieces(
        loaded.model,
        loaded.codec,
        request,
        context=context,
        defaults=loaded.profile.generation,
        preprocess=loaded.preprocess,
    )
    return seams(gap, piece.score)


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of means over resampled songs."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (RESAMPLES, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("songs", type=Path)
    parser.add_argument("--fills", type=int, default=500)
    parser.add_argument("--spans", type=int, default=200)
    parser.add_argument("--glob", default="*.mid", help="of the songs that were held out")
    parser.add_argument("--bars", type=int, nargs=2, default=BARS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded, rng = load_run(options.run), np.random.default_rng(0)
    songs = [song_score(path) for path in sorted(options.songs.glob(options.glob))]
    compared = [
        compare(loaded, song, place(song, rng, tuple(options.bars)))
        for song in (songs[number % len(songs)] for number in range(options.spans))
    ]
    pairs = np.array([pair for pair in compared if pair is not None])
    gain = pairs[:, 1] - pairs[:, 0]
    told: dict[str, float] = {
        "both": float(pairs[:, 0].mean()),
        "left": float(pairs[:, 1].mean()),
        "gain": float(gain.mean()),
    }
    told |= {"spans": len(pairs), "better": float((gain > 0).mean())}
    print(json.dumps({**told, "interval": interval(gain)}), flush=True)
    total: Counter[str] = Counter()
    for number in range(options.fills):
        song = songs[number % len(songs)]
        total += fill(loaded, song, place(song, rng, tuple(options.bars)), number)
    print(
        json.dumps({"fills": options.fills, **{name: total[name] for name in ("notes", "touched", "doubled", "stuck")}})
    )


if __name__ == "__main__":
    main()
