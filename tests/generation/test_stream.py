"""What is streamed is what is written: the same notes at the same times, whole, whatever ends the piece."""

import io
from collections import Counter
from itertools import pairwise

import mido
import numpy as np
import pytest
from tests.support.latent_models import SMALL
from tests.support.runs import write_run
from tests.support.scores import track
from tests.support.tunes import tune

from aurl.errors import UsageError
from aurl.generation.beam import Beam
from aurl.generation.form import Form
from aurl.generation.generate import generate
from aurl.generation.load import load_run
from aurl.generation.pieces import Piece
from aurl.generation.request import Request
from aurl.generation.stream import Began, Ended, Played, stream
from aurl.generation.wishes import Wishes
from aurl.midi.score import Score, Tempos
from aurl.midi.write import write_midi
from aurl.progress import Interrupts
from aurl.tokens.codec import Codec

CODECS = {
    "beats": Codec(),
    "seconds": Codec(time_base="seconds"),
    "bare": Codec(parts=False, header=()),
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {name: load_run(write_run(folder / name, codec)) for name, codec in CODECS.items()}


def streamed(loaded, request, **options):
    """Events by type."""
    events = list(stream(loaded, request, **options))
    return events, {
        kind: [event for event in events if isinstance(event, kind)] for kind in (Began, Played, Ended, Piece)
    }


def written(score):
    """(begins, seconds, pitch, velocity) → how often, read from the MIDI file by another library."""
    now, found = 0.0, Counter()
    for message in mido.MidiFile(file=io.BytesIO(write_midi(score))):
        now += message.time
        if message.type in ("note_on", "note_off"):
            begins = message.type == "note_on" and message.velocity > 0
            found[begins, round(now, 3), message.note, message.velocity if begins else 0] += 1
    return found


def heard(played, piece=0):
    return Counter(
        (note.kind == "note_on", round(note.seconds, 3), note.pitch, note.velocity)
        for number, note in played
        if number == piece
    )


@pytest.mark.parametrize("name", CODECS)
def test_streamed_notes_are_those_of_the_midi_file(loaded, name):
    request = Request(count=3, seed=4, seconds=4.0)
    _, found = streamed(loaded[name], request)
    pieces = generate(loaded[name].run, request, threads=1)
    assert [piece.ids.tolist() for piece in found[Piece]] == [piece.ids.tolist() for piece in pieces]
    for number, piece in enumerate(pieces):
        assert piece.score.note_count > 0
        assert heard(found[Played], number) == written(piece.score)


def test_each_piece_begins_before_its_notes_and_ends_after_them(loaded):
    events, found = streamed(loaded["beats"], Request(count=2, seed=1, seconds=3.0))
    for number in range(2):
        own = [event for event in events if not isinstance(event, Piece) and event.piece == number]
        assert isinstance(own[0], Began)
        assert isinstance(own[-1], Ended)
        assert {type(event) for event in own[1:-1]} == {Played}
        assert all(one.note.seconds <= other.note.seconds for one, other in pairwise(own[1:-1]))
        piece = found[Piece][number]
        assert (own[0].seed, own[-1].ended) == (piece.seed, piece.ended)
        assert own[-1].seconds == own[-2].note.seconds
        assert own[0].programs == {part: note.program for part, note in enumerate(piece.score.tracks)}
        assert own[0].maps.tempos == piece.score.tempos


def test_parts_programs_and_beats(loaded):
    """Notes of a prompt that still sound are ended in the stream, in their part, at the prompt's own tempo."""
    held = Score(
        ticks_per_beat=32,
        tracks=(track((0, 1600, 60, 90), program=40), track((0, 64, 40, 90), (64, 1600, 36, 90), is_drum=True)),
        tempos=Tempos([0, 64], [500_000, 1_000_000]),
    )
    request = Request(prompt=held, prompt_seconds=2.5, seconds=3.0, seed=0)
    events, found = streamed(loaded["beats"], request)
    assert events[0].programs == {0: 40, 1: 128}
    assert events[0].maps.tempos == held.tempos
    for _, note in found[Played]:
        assert note.beats >= 2
        assert note.seconds == pytest.approx(1.0 + (note.beats - 2))
        assert note.program == {0: 40, 1: 128}[note.part]
    balance = Counter({(0, 60): 1, (1, 36): 1})
    for _, note in found[Played]:
        balance[note.part, note.pitch] += 1 if note.kind == "note_on" else -1
        assert balance[note.part, note.pitch] in (0, 1)
    assert set(balance.values()) == {0}
    [piece] = found[Piece]
    prompted = Counter({(True, 0.0, 60, 96): 1, (True, 0.0, 40, 96): 1, (False, 1.0, 40, 0): 1, (True, 1.0, 36, 96): 1})
    assert heard(found[Played]) + prompted == written(piece.score)


def test_pieces_of_latents_are_streamed_too(tmp_path):
    small = [f"{key}={value}" for key, value in SMALL.items() if key.startswith("latent.")]
    run = write_run(tmp_path / "run", Codec(), overrides=["model.mode=vae", *small])
    _, found = streamed(load_run(run), Request(like=tune(0), seconds=2.0, seed=0))
    [piece] = found[Piece]
    assert heard(found[Played]) == written(piece.score)
    assert piece.latents["global"] == 1


def test_a_tempo_that_is_asked_for_is_that_of_the_stream(loaded):
    _, found = streamed(loaded["bare"], Request(wishes=Wishes(tempo=60.0), bars=1, seed=0))
    assert found[Began][0].maps.tempos.microseconds_per_beat.tolist() == [1_000_000]
    assert found[Played]
    assert all(note.seconds == note.beats for _, note in found[Played])
    assert heard(found[Played]) == written(found[Piece][0].score)


def test_what_is_filled_in_is_streamed_at_its_place(tmp_path):
    run = write_run(tmp_path / "run", Codec(), overrides=["controls.infill=0.5", "data.seq_len=256"])
    beats = Score(ticks_per_beat=32, tracks=(track(*((32 * beat, 24, 60, 80) for beat in range(32)), program=40),))
    _, found = streamed(load_run(run), Request(prompt=beats, infill="3:5", seed=1))
    assert found[Began][0].programs == {0: 40}
    assert found[Played]
    assert all(4.0 <= note.seconds <= 8.0 for _, note in found[Played])
    before = written(beats)
    outside = Counter(
        {note: count for note, count in before.items() if not 4.0 <= note[1] - (not note[0]) * 0.375 < 8.0}
    )
    assert heard(found[Played]) + outside == written(found[Piece][0].score)


@pytest.mark.parametrize(
    ("asked", "option"),
    [
        ({"beam": Beam(), "bars": 1}, "--beam"),
        ({"form": Form("AB")}, "--form"),
        ({"mend": True, "constraints": ({"kind": "range"},)}, "--mend"),
    ],
)
def test_what_is_sure_at_the_end_only_is_refused_before_anything_is_made(loaded, asked, option):
    with pytest.raises(UsageError, match=option) as caught:
        stream(loaded["beats"], Request(**asked))
    assert f"leave out --stream, or {option}" in caught.value.hint


def test_who_stops_listening_hears_every_note_end(loaded):
    interrupts, sounding = Interrupts(), Counter()
    request = Request(count=40, seed=0, seconds=60.0)
    events, after = [], 0
    for event in stream(loaded["beats"], request, interrupts=interrupts):
        events.append(event)
        after += interrupts.stop is not None
        if isinstance(event, Played):
            sounding[event.piece, event.note.part, event.note.pitch] += 1 if event.note.kind == "note_on" else -1
            if len(events) > 300:
                interrupts.stop = 2
    assert after > 0
    assert set(sounding.values()) == {0}
    pieces = [event for event in events if isinstance(event, Piece)]
    assert 0 < len(pieces) < 40
    assert {piece.ended for piece in pieces} >= {"stopped"}
    assert {event.ended for event in events if isinstance(event, Ended)} >= {"stopped"}


def test_events_come_before_the_piece_is_whole(loaded):
    """The first note is there after few steps of the model, whatever the length."""
    events = stream(loaded["bare"], Request(seed=0, seconds=3600.0))
    first = [next(events) for _ in range(3)]
    assert isinstance(first[0], Began)
    assert all(isinstance(event, Played) for event in first[1:])
    events.close()


def test_seeds_are_the_same_alone_and_together(loaded):
    together = streamed(loaded["beats"], Request(count=4, seed=10, seconds=2.0))[1][Piece]
    alone = streamed(loaded["beats"], Request(count=1, seed=12, seconds=2.0))[1][Piece]
    np.testing.assert_array_equal(alone[0].ids, together[2].ids)
