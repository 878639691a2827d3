"""Every piece in one key: C major or A minor.

C. L. Krumhansl, "Cognitive Foundations of Musical Pitch", 1990: the key is that of the 24 whose profile correlates best
with how long each pitch class sounds. The profiles are D. Temperley's from the Kostka-Payne corpus ("Music and
Probability", 2007): Krumhansl's own, from listening tests, take a fifth too low or high far more often.
"""

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from aurl.midi.score import KeySignatures, Notes, Score, joined
from aurl.preprocess.collisions import apart
from aurl.preprocess.registry import PREPROCESS, Preprocessed, PreprocessStep

OCTAVE, FIFTH = 12, 7
HIGHEST = 127
RELATIVE_MINOR = 9
"""Semitones from the tonic of a major key up to that of the minor key with the same notes."""
MAJOR = (0.748, 0.060, 0.488, 0.082, 0.670, 0.460, 0.096, 0.715, 0.104, 0.366, 0.057, 0.400)
MINOR = (0.712, 0.084, 0.474, 0.618, 0.049, 0.460, 0.105, 0.747, 0.404, 0.067, 0.133, 0.330)


class Found(NamedTuple):
    """A key and how well it fits.

    Args:
        tonic: pitch class, 0 for C.
        minor: it is a minor key.
        correlation: of its profile with the notes, −1 to 1.
    """

    tonic: int
    minor: bool
    correlation: float


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
    found = find_key(joined(pitched)) if pitched else None
    if found is None or found.correlation < least_correlation:
        return Preprocessed(score)
    shift = shift_to_c(found)
    return transposed(score, shift) if shift else Preprocessed(score)


def find_key(notes: Notes) -> Found | None:
    """The key that fits best; None where the notes are alike in all."""
    weight = np.bincount(notes.pitch % OCTAVE, weights=np.maximum(notes.duration, 1), minlength=OCTAVE)
    if np.ptp(weight) == 0:
        return None
    correlation = np.corrcoef(np.vstack([weight, _profiles()]))[0, 1:]
    best = int(correlation.argmax())
    return Found(best % OCTAVE, best >= OCTAVE, float(correlation[best]))


def _profiles() -> NDArray[np.float64]:
    """(24, 12): how well each pitch class fits into each major, then each minor key."""
    return np.stack([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(OCTAVE)])


def shift_to_c(found: Found) -> int:
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
    moved = KeySignatures(keys.tick, (keys.fifths + FIFTH * semitones + 5) % OCTAVE - 5, keys.minor)
    return Preprocessed(replace(score, tracks=tuple(tracks), key_signatures=moved), dict(+repairs))
