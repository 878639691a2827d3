"""Score → WAV (16 bits, 44.1 kHz), a preview: by fluidsynth where it and a soundfont are, else by our own synth."""

import io
import os
import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aurl.errors import AurlError
from aurl.export.synth import RATE, synthesize
from aurl.midi.clock import seconds_at
from aurl.midi.score import Score
from aurl.midi.write import write_midi
from aurl.storage import write_bytes

PEAK = 10 ** (-1 / 20)
"""The loudest sample: a decibel below what clips, which leaves players room to resample."""
FULL_SCALE = 32767
MAX_SECONDS = 3600
"""An hour takes 640 MB while it is made."""
SOUNDFONT_VARIABLE = "SOUNDFONT"
SOUNDFONT_FOLDERS = (
    Path("/usr/share/sounds/sf2"),
    Path("/usr/share/sounds/sf3"),
    Path("/usr/share/soundfonts"),
    Path("/usr/local/share/soundfonts"),
    Path("/opt/homebrew/share/soundfonts"),
)
SOUNDFONT_SUFFIXES = (".sf2", ".sf3")
FLUIDSYNTH = "fluidsynth"
MAX_FAULT = 300
"""Characters of what fluidsynth says that an error repeats."""

Samples = NDArray[np.float32]


def save_audio(score: Score, path: Path, *, soundfont: Path | None = None) -> None:
    """Write `score` as a WAV file, atomically; arguments and errors are those of `audio`."""
    write_bytes(path, audio(score, soundfont=soundfont))


def audio(score: Score, *, soundfont: Path | None = None) -> bytes:
    """The score as a WAV file, as loud as it can be.

    It is a preview. With fluidsynth on the path and a soundfont (this one, that of $SOUNDFONT, or one in the usual
    folders) it sounds as that; without, a small additive synth of our own plays: harmonics and envelopes by instrument
    family, noise for drums, no controls.

    Raises:
        AurlError: the piece is too long, or a soundfont is asked for and fluidsynth is not there or fails.
    """
    length = float(seconds_at(score, [score.end_tick])[0])
    if length > MAX_SECONDS:
        raise AurlError(f"a piece of {length:,.0f} s is too long for a sound file (at most {MAX_SECONDS:,} s)")
    font = soundfont or find_soundfont()
    program = shutil.which(FLUIDSYNTH)
    if font is not None and program is not None:
        return wav(_played(score, font, program))
    if soundfont is not None:
        raise AurlError(
            f"a soundfont needs {FLUIDSYNTH}, which is not on the path",
            hint="install it, or leave out --soundfont for a preview",
        )
    return wav(synthesize(score))


def find_soundfont() -> Path | None:
    """The soundfont that the user's system has, if any: that of $SOUNDFONT, else the first in the usual folders."""
    named = os.environ.get(SOUNDFONT_VARIABLE)
    if named and Path(named).is_file():
        return Path(named)
    found = (path for folder in SOUNDFONT_FOLDERS if folder.is_dir() for path in sorted(folder.iterdir()))
    return next((path for path in found if path.suffix.lower() in SOUNDFONT_SUFFIXES), None)


def wav(samples: Samples) -> bytes:
    """Samples, `(time,)` or `(time, channels)` of any size, as the bytes of a WAV file; silence stays silence."""
    loudest = float(np.abs(samples).max(initial=0.0))
    scaled = np.rint(samples * (PEAK * FULL_SCALE / loudest if loudest else 0.0)).astype("<i2")
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(samples.shape[1] if samples.ndim > 1 else 1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(scaled.tobytes())
    return target.getvalue()


def _played(score: Score, font: Path, program: str) -> Samples:
    """(time, 2), as fluidsynth plays it; a process of its own, for a broken font may bring it down."""
    with tempfile.TemporaryDirectory() as folder:
        song, sound = Path(folder, "song.mid"), Path(folder, "song.wav")
        song.write_bytes(write_midi(score))
        command = [
            program,
            "-ni",
            "-q",
            "-r",
            str(RATE),
            "-T",
            "wav",
            "-O",
            "s16",
            "-F",
            str(sound),
            str(font),
            str(song),
        ]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
        if done.returncode or not sound.is_file():
            said = " ".join(done.stderr.split())[:MAX_FAULT]
            raise AurlError(f"{FLUIDSYNTH} could not play {font}: {said}", hint="try another soundfont, or none")
        with wave.open(str(sound)) as file:
            data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            return data.reshape(-1, file.getnchannels()).astype(np.float32)
