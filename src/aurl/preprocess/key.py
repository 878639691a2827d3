"""Every piece in one key: C major or A minor."""

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from aurl.midi.score import KeySignatures, Notes, Score, joined
from aurl.preprocess.collisions import apart
from aurl.preprocess.registry import PREPROCESS, Preprocessed, PreprocessStep
from aurl.studies.key import Key, estimate_key
from aurl.studies.pitch_classes import OCTAVE, SEMITONES_OF_FIFTH, fewest_accidentals

HIGHEST = 127
RELATIVE_MINOR = 9
"""Semitones from the tonic of a major key up to that of the minor key with the same notes."""


@PREPROCESS.register("key")
def key(*, least_correlation: Annotated[float, Ge(-1), Le(1)] = 0.6) -> PreprocessStep:
    """Transpose pieces to C major or A minor, so that a small data set teaches one key well.

    The key is found by the notes, because many files name C major whatever they are in. The piece moves by
    the shortest way, at most six semitones; single notes that would leave the range of MIDI stay an octave nearer
    (`key_folded`), and where they meet others, those give way (`key_merged`, `key_cut`). Drums stay; key signatures
    move along, names of chords in markers do not.

    Args:
        least_correlation: pieces whose key is less clear than this stay where they are.
    """
    return PreprocessStep(partial(_normalized, least_correlation=least_correlation))


def _normalized(score: Score, *, least_correlation: float) -> Preprocessed:
    pitched = [track.notes for track in score.tracks if not track.is_drum and len(track.notes)]
    notes = joined(pitched) if pitched else Notes()
    found = estimate_key(notes.pitch, np.maximum(notes.duration, 1))
    if found is None or found.correlation < least_correlation:
        return Preprocessed(score)
    shift = shift_to_c(found)
    return transposed(score, shift) if shift else Preprocessed(score)


def shift_to_c(found: Key) -> int:
    """Semitones from a key to C major or A minor, −5 to 6."""
    home = RELATIVE_MINOR if found.minor else 0
    return (home - found.tonic + 5) % OCTAVE - 5


def transposed(score: Score, semitones: int) -> Preprocessed:
    """The pitched tracks of a score and its keys, so many semitones higher."""
    repairs: Counter[str] = Counter()
    tracks = list(score.tracks)
    for index, track in enumerate(score.tracks):
        if track.is_drum or not len(track.notes):
            continue
        wanted = track.notes.pitch.astype(np.int64) + semitones
        pitch = wanted + OCTAVE * ((wanted < 0).astype(np.int64) - (wanted > HIGHEST))
        done = apart(replace(track.notes, pitch=pitch.astype(np.uint8)))
        tracks[index] = replace(track, notes=done.notes)
        repairs.update({"key_folded": int(np.count_nonzero(pitch != wanted)), **done.repairs("key")})
    keys = score.key_signatures
    moved = KeySignatures(keys.tick, fewest_accidentals(keys.fifths + SEMITONES_OF_FIFTH * semitones), keys.minor)
    return Preprocessed(replace(score, tracks=tuple(tracks), key_signatures=moved), dict(+repairs))
