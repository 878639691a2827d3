"""Sound is read back as samples and looked at by its spectrum."""

import io
import wave

import numpy as np
import pytest
from tests.support.scores import score, track

from aurl.errors import AurlError
from aurl.export import audio as module
from aurl.export.audio import FULL_SCALE, PEAK, audio, find_soundfont, save_audio, wav
from aurl.export.synth import RATE, synthesize
from aurl.midi.score import Score


@pytest.fixture(autouse=True)
def bare_system(monkeypatch):
    """No soundfont and no fluidsynth, wherever the tests run."""
    monkeypatch.delenv("SOUNDFONT", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(module, "SOUNDFONT_FOLDERS", ())


def samples(data):
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (RATE, 2, 1)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)


def one(pitch, beats=2, **options):
    return score(track((0, 32 * beats, pitch, 100), **options))


def strongest(sound):
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return np.fft.rfftfreq(len(sound), 1 / RATE)[spectrum.argmax()]


@pytest.mark.parametrize(("pitch", "hertz"), [(69, 440.0), (57, 220.0), (60, 261.63), (108, 4186.01)])
@pytest.mark.parametrize("program", [0, 19, 40, 73])
def test_fundamental_is_that_of_the_pitch(pitch, hertz, program):
    assert strongest(samples(audio(one(pitch, program=program)))) == pytest.approx(hertz, abs=1.5)


@pytest.mark.parametrize("program", range(0, 128, 8))
def test_every_family_sounds_and_nothing_clips(program):
    sound = samples(audio(one(60, program=program)))
    assert np.abs(sound).max() == pytest.approx(PEAK * FULL_SCALE, abs=1)


def test_harmonics_never_fold_back():
    """The highest note of MIDI: everything that sounds is its fundamental."""
    sound = samples(audio(one(127, program=61)))
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    below = spectrum[: int(12_000 * len(sound) / RATE)]
    assert below.max() < spectrum.max() / 100


def test_length_is_that_of_the_piece_and_a_release():
    sound = synthesize(one(60, 4, program=19))
    assert 2.0 < len(sound) / RATE < 2.2
    assert abs(sound[-1]) < 1e-3


@pytest.mark.parametrize("silent", [Score(), score(track())])
def test_silence_is_silence(silent):
    assert len(samples(audio(silent))) == 0
    assert not samples(wav(np.zeros(100, np.float32))).any()


def test_rests_are_silent_and_notes_are_where_they_belong():
    sound = np.abs(synthesize(score(track((64, 16, 60, 100), program=19))))
    assert not sound[: RATE - 10].any()
    assert sound[RATE : RATE + 4410].max() > 0.1


@pytest.mark.parametrize("pitch", [36, 38, 42, 45, 49, 80])
def test_drums_sound_and_die_away(pitch):
    sound = np.abs(synthesize(score(track((0, 4, pitch, 120), is_drum=True))))
    assert sound[:2000].max() > 0.05
    assert sound[-100:].max() < sound.max() / 100


def test_louder_notes_are_louder():
    soft, loud = (
        np.abs(
            synthesize(
                score(
                    track(
                        (
                            0,
                            32,
                            60,
                            v,
                        ),
                        program=19,
                    )
                )
            )
        ).max()
        for v in (40, 120)
    )
    assert loud > 2 * soft


def test_same_score_same_bytes(tmp_path):
    save_audio(one(60), tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_bytes() == audio(one(60))


def test_pieces_that_are_too_long():
    with pytest.raises(AurlError, match="too long"):
        audio(score(track((32 * 9000, 32, 60, 100))))


def test_soundfont_without_fluidsynth(tmp_path):
    with pytest.raises(AurlError, match="fluidsynth"):
        audio(one(60), soundfont=tmp_path / "font.sf2")


def test_soundfont_of_the_system_is_found(tmp_path, monkeypatch):
    assert find_soundfont() is None
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.sf2").touch()
    monkeypatch.setattr(module, "SOUNDFONT_FOLDERS", (tmp_path / "no", tmp_path))
    assert find_soundfont() == tmp_path / "b.sf2"
    (tmp_path / "mine.sf3").touch()
    monkeypatch.setenv("SOUNDFONT", str(tmp_path / "mine.sf3"))
    assert find_soundfont() == tmp_path / "mine.sf3"


def test_failure_of_fluidsynth_is_told(tmp_path, monkeypatch):
    program = tmp_path / "fluidsynth"
    program.write_text("#!/bin/sh\necho broken font >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AurlError, match="broken font"):
        audio(one(60), soundfont=tmp_path / "font.sf2")
