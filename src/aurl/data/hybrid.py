"""The hybrid view of a batch: what its ids mean in time, beat, bar and pitch, beside the ids themselves."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.augment.passage import NOT_YET, Passage
from aurl.midi.score import Ints
from aurl.tokens.decode import PITCHES, StepNotes, read_notes
from aurl.tokens.piano_roll import paint
from aurl.tokens.positions import positions
from aurl.tokens.vocabulary import PART, VELOCITY, TimeBase

FRAME_STEPS = 8
"""A semiquaver in time base "beats", an eighth of a second in "seconds"."""
MAX_FRAMES = 1024
"""64 bars of 4/4. What a window that is nearly all pause has beyond them is left out of the roll."""


class HybridView(NamedTuple):
    """What a model may see of a batch of B rows of N ids, beside the ids.

    A TIME_SHIFT stands at the time that it leads to, padding at the time at which the row ends. What the id at [b, n]
    sounds with is `roll[b, :, step[b, n] // FRAME_STEPS - start_steps[b] // FRAME_STEPS]`.

    Args:
        step: (B, N) int64, steps since the start of the piece.
        beat: (B, N) int64, whole quarter notes since then; this and what follows is 0 in time base "seconds".
        beat_phase: (B, N) int64, steps since that beat.
        bar: (B, N) int64, whole bars since the start, in the meter of the header.
        bar_phase: (B, N) int64, steps since that bar line.
        roll: (B, 128, frames) uint8, velocity level + 1 of the loudest note of a pitch that sounds in a frame, 0 in
            silence. Frame f lasts `FRAME_STEPS` from step (start_steps // FRAME_STEPS + f) * FRAME_STEPS on; there are
            as many as the longest row needs, `MAX_FRAMES` at most. A note that began before the window is not in it.
    """

    step: NDArray[np.int64]
    beat: NDArray[np.int64]
    beat_phase: NDArray[np.int64]
    bar: NDArray[np.int64]
    bar_phase: NDArray[np.int64]
    roll: NDArray[np.uint8]


def hybrid_view(
    passages: Sequence[Passage],
    ids: NDArray[np.int64],
    *,
    time_base: TimeBase,
    frame_steps: int = FRAME_STEPS,
    max_frames: int = MAX_FRAMES,
) -> HybridView:
    """The hybrid view of a batch.

    Args:
        passages: its rows.
        ids: (B, N) the ids of them all, with padding.
        time_base: of the codec.
        frame_steps: steps of one frame of the roll.
        max_frames: frames at most.
    """
    start_steps = np.array([passage.start_step for passage in passages], np.int64)
    where = positions(ids, time_base=time_base, start_steps=start_steps)
    nothing = np.zeros_like(where.step)
    musical = (where.beat, where.beat_phase, where.bar, where.bar_phase)
    beat, beat_phase, bar, bar_phase = (nothing if column is None else column for column in musical)
    roll = _roll(passages, start_steps % frame_steps, frame_steps, max_frames)
    return HybridView(where.step, beat, beat_phase, bar, bar_phase, roll)


def _roll(passages: Sequence[Passage], phase: Ints, frame_steps: int, max_frames: int) -> NDArray[np.uint8]:
    played = [_notes(passage) for passage in passages]
    row = np.repeat(np.arange(len(played)), [len(notes.pitch) for notes in played])
    onset, offset, pitch, velocity = (
        np.concatenate(columns)
        for columns in zip(*((n.onset, n.offset, n.pitch, n.velocity) for n in played), strict=True)
    )
    begin = (onset + phase[row]) // frame_steps
    end = np.maximum(-(-(offset + phase[row]) // frame_steps), begin + 1)
    needed = max(
        1, *((notes.end + late) // frame_steps + 1 for notes, late in zip(played, phase.tolist(), strict=True))
    )
    frames = min(needed, max_frames)
    inside = begin < frames
    cells = (row * PITCHES + pitch, begin, np.minimum(end, frames), velocity + 1)
    roll = paint(*(column[inside] for column in cells), shape=(len(played) * PITCHES, frames))
    return roll.reshape(len(played), PITCHES, frames)


def _notes(passage: Passage) -> StepNotes:
    """The notes that begin in a passage, with part and loudness as they are in force where its body begins."""
    states = [(PART, passage.part), (VELOCITY, passage.velocity)]
    told = np.array([group.start + value for group, value in states if value != NOT_YET], np.uint16)
    return read_notes(np.concatenate([passage.ids[: passage.header], told, passage.ids[passage.header :]]))
