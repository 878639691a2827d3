"""A small additive synth: harmonics that fade at their own speeds, envelopes by instrument family, noise for drums."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aurl.midi.clock import seconds_at
from aurl.midi.instruments import Family, family
from aurl.midi.score import Score, Track

RATE = 44_100
A4, A4_HERTZ = 69, 440.0
NYQUIST_SHARE = 0.45
"""Harmonics above this share of the rate are left out: they would fold back."""
SILENT = 1e-3
"""A tone that has faded to this (−60 dB) is over."""
DRUM_GAIN = 0.9

Samples = NDArray[np.float32]


class Timbre(NamedTuple):
    """How a family sounds.

    Args:
        harmonics: their amplitudes, the fundamental first.
        fade: 1/s; how fast the fundamental fades, the n-th harmonic n times as fast. 0: it is held.
        attack: seconds.
        release: seconds.
    """

    harmonics: tuple[float, ...]
    fade: float
    attack: float
    release: float


_STRUCK = Timbre((1, 0.5, 0.28, 0.16, 0.1, 0.06), 0.9, 0.004, 0.12)
_BOWED = Timbre((1, 0.55, 0.4, 0.28, 0.2, 0.12, 0.08), 0.0, 0.06, 0.15)
_TIMBRES: dict[Family, Timbre] = {
    "chromatic_percussion": Timbre((1, 0.1, 0.35, 0.05), 2.5, 0.002, 0.2),
    "organ": Timbre((1, 0.7, 0.3, 0.45, 0.05, 0.2), 0.0, 0.01, 0.06),
    "guitar": Timbre((1, 0.6, 0.4, 0.25, 0.15, 0.1), 1.8, 0.003, 0.1),
    "bass": Timbre((1, 0.6, 0.25, 0.1), 1.2, 0.005, 0.08),
    "strings": _BOWED,
    "ensemble": _BOWED,
    "brass": Timbre((1, 0.8, 0.65, 0.5, 0.35, 0.2, 0.1), 0.0, 0.03, 0.08),
    "reed": Timbre((1, 0.15, 0.6, 0.1, 0.35, 0.08, 0.15), 0.0, 0.03, 0.08),
    "pipe": Timbre((1, 0.2, 0.08), 0.0, 0.04, 0.1),
    "synth_lead": Timbre((1, 0.5, 0.33, 0.25, 0.2), 0.0, 0.005, 0.08),
    "synth_pad": Timbre((1, 0.4, 0.2, 0.1), 0.0, 0.15, 0.35),
}
"""Other families sound struck."""


class Drum(NamedTuple):
    """How a drum sounds: a falling tone and noise, each with the seconds in which it fades to a third."""

    tone: float
    hertz: float
    tone_seconds: float
    noise: float
    noise_seconds: float
    is_bright: bool


_KICK = Drum(1.0, 55, 0.12, 0.1, 0.01, False)
_SNARE = Drum(0.4, 190, 0.06, 0.7, 0.07, False)
_TOM = Drum(0.9, 110, 0.16, 0.1, 0.03, False)
_HAT = Drum(0.0, 1, 0.1, 0.35, 0.03, True)
_CYMBAL = Drum(0.0, 1, 0.1, 0.4, 0.45, True)
_CLICK = Drum(0.5, 800, 0.03, 0.1, 0.01, False)
_DRUMS = (
    dict.fromkeys((35, 36), _KICK)
    | dict.fromkeys((38, 39, 40), _SNARE)
    | dict.fromkeys((41, 43, 45, 47, 48, 50), _TOM)
    | dict.fromkeys((42, 44, 54, 69, 70), _HAT)
    | dict.fromkeys((46, 49, 51, 52, 53, 55, 57, 59), _CYMBAL)
)
FADED = 7.0
"""Times the seconds to a third after which a drum is over."""
FALL = 1.5
"""A drum's tone begins this much of its pitch higher."""


def synthesize(score: Score) -> Samples:
    """(time,): the score as it sounds, until the last note has died away; the same samples every time."""
    end = float(seconds_at(score, [score.end_tick])[0])
    played = [(track, *_times(score, track)) for track in score.tracks if len(track.notes)]
    tail = max((_tail(track) for track, *_ in played), default=0.0)
    mix = np.zeros(round((end + tail) * RATE) if played else 0, np.float32)
    for track, onset, seconds in played:
        (_add_drums if track.is_drum else _add_notes)(mix, track, onset, seconds)
    return mix


def _times(score: Score, track: Track) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Seconds at which notes begin, and how long they last."""
    onset = seconds_at(score, track.notes.onset)
    return onset, seconds_at(score, track.notes.offset) - onset


def _tail(track: Track) -> float:
    """Seconds that a track sounds on after its last note, at the most."""
    if track.is_drum:
        return max(len(_drum(pitch)) / RATE for pitch in set(track.notes.pitch.tolist()))
    return _timbre(track.program).release


def _timbre(program: int) -> Timbre:
    return _TIMBRES.get(family(program), _STRUCK)


def _add_notes(mix: Samples, track: Track, onset: NDArray[np.float64], seconds: NDArray[np.float64]) -> None:
    """Add the notes of a track: of each pitch one tone is made, as long as the longest; each note is a part of it."""
    timbre = _timbre(track.program)
    notes = track.notes
    release = round(timbre.release * RATE)
    fall = np.linspace(1, 0, release, dtype=np.float32) ** 2
    for pitch in np.unique(notes.pitch).tolist():
        mine = np.flatnonzero(notes.pitch == pitch)
        tone = _tone(pitch, timbre, round(float(seconds[mine].max()) * RATE) + release)
        for row in mine.tolist():
            begin, held = round(float(onset[row]) * RATE), round(float(seconds[row]) * RATE)
            part = tone[: held + release] * (int(notes.velocity[row]) / 127) ** 1.5
            sounding = part[held:]
            sounding *= fall[: len(sounding)]
            place = mix[begin : begin + len(part)]
            place += part[: len(place)]


def _tone(pitch: int, timbre: Timbre, length: int) -> Samples:
    """(time,): a tone as long as asked, or until it has faded."""
    hertz = A4_HERTZ * 2 ** ((pitch - A4) / 12)
    if timbre.fade:
        length = min(length, round(-np.log(SILENT) / timbre.fade * RATE))
    phase = ((np.arange(length) * (hertz / RATE)) % 1).astype(np.float32) * np.float32(2 * np.pi)
    fade = np.exp(np.arange(length, dtype=np.float32) * np.float32(-timbre.fade / RATE)) if timbre.fade else None
    # sin((n+1)x) = 2 cos(x) sin(nx) − sin((n−1)x): one sine and one cosine serve all harmonics.
    before, now, twice = np.zeros_like(phase), np.sin(phase), 2 * np.cos(phase)
    tone, level = np.zeros_like(phase), np.ones_like(phase)
    for number, amplitude in enumerate(timbre.harmonics, 1):
        if number * hertz > NYQUIST_SHARE * RATE:
            break
        if fade is not None:
            level *= fade
        tone += amplitude * now * level
        before, now = now, twice * now - before
    attack = min(round(timbre.attack * RATE), length)
    tone[:attack] *= np.linspace(0, 1, attack, dtype=np.float32)
    return tone


def _add_drums(mix: Samples, track: Track, onset: NDArray[np.float64], _: NDArray[np.float64]) -> None:
    for start, pitch, velocity in zip(
        onset.tolist(), track.notes.pitch.tolist(), track.notes.velocity.tolist(), strict=True
    ):
        begin, hit = round(start * RATE), _drum(pitch)
        place = mix[begin : begin + len(hit)]
        place += hit[: len(place)] * np.float32(DRUM_GAIN * velocity / 127)


@cache
def _drum(pitch: int) -> Samples:
    """(time,): one hit."""
    drum = _DRUMS.get(pitch, _CLICK)
    time = np.arange(round(FADED * max(drum.tone_seconds * bool(drum.tone), drum.noise_seconds) * RATE)) / RATE
    swept = drum.hertz * (time + FALL * drum.tone_seconds / 4 * (1 - np.exp(-4 * time / drum.tone_seconds)))
    noise = np.random.default_rng(pitch).standard_normal(len(time) + 1) / 3
    noise = np.diff(noise) if drum.is_bright else noise[1:]
    tone = drum.tone * np.sin(2 * np.pi * swept) * np.exp(-time / drum.tone_seconds)
    hit: Samples = (tone + drum.noise * noise * np.exp(-time / drum.noise_seconds)).astype(np.float32)
    hit.setflags(write=False)
    return hit
