"""The key of a passage, from how long each pitch class sounds.

C. L. Krumhansl, "Cognitive Foundations of Musical Pitch", 1990: the key is that of the 24 whose profile correlates best
with how long each pitch class sounds. The profiles are D. Temperley's from the Kostka-Payne corpus ("Music and
Probability", 2007): Krumhansl's own, from listening tests, take a fifth too low or high far more often.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.studies.pitch_classes import KEYS, OCTAVE, key_value, tonic_of

MAJOR = (0.748, 0.060, 0.488, 0.082, 0.670, 0.460, 0.096, 0.715, 0.104, 0.366, 0.057, 0.400)
MINOR = (0.712, 0.084, 0.474, 0.618, 0.049, 0.460, 0.105, 0.747, 0.404, 0.067, 0.133, 0.330)


class Key(NamedTuple):
    """A key and how well it fits.

    Args:
        tonic: pitch class, 0 for C.
        minor: it is a minor key.
        correlation: of its profile with the notes, −1 to 1.
    """

    tonic: int
    minor: bool
    correlation: float

    @property
    def value(self) -> int:
        """Its KEY value: position in `KEYS`."""
        return key_value(self.tonic, self.minor)


def estimate_key(pitch: NDArray[Any], weight: NDArray[Any]) -> Key | None:
    """The key that fits best; None where all pitch classes weigh the same, as without notes.

    Args:
        pitch: of each note, 0–127; of pitched parts only.
        weight: of each note: how long it sounds.
    """
    sounding = np.bincount(pitch % OCTAVE, weights=weight, minlength=OCTAVE)
    if sounding.max() == sounding.min():
        return None
    above = sounding - sounding.mean()
    correlation = _PROFILES @ (above / np.linalg.norm(above))
    best = int(correlation.argmax())
    return Key(best % OCTAVE, best >= OCTAVE, float(correlation[best]))


def key_fits(value: int) -> NDArray[np.float32]:
    """`(12,)`: how well each pitch class fits into a key of that KEY value; mean 0."""
    fits: NDArray[np.float32] = _PROFILES[tonic_of(value) + OCTAVE * KEYS[value][1]].astype(np.float32)
    return fits


def _profiles() -> NDArray[np.float64]:
    """`(24, 12)`: how well each pitch class fits into each major, then each minor key; mean 0, length 1."""
    profiles = np.stack([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(OCTAVE)])
    profiles -= profiles.mean(axis=1, keepdims=True)
    profiles /= np.linalg.norm(profiles, axis=1, keepdims=True)
    return profiles


_PROFILES = _profiles()
