"""Pieces as they are made: in any batch the same, in their order, never more at once than grow together."""

import gc
import weakref

import numpy as np
import pytest
from tests.support.latent_models import SMALL
from tests.support.runs import write_run
from tests.support.scores import score, track

from aurl.errors import UsageError
from aurl.generation import making as making_module
from aurl.generation.beam import Beam
from aurl.generation.form import Form
from aurl.generation.generate import generate
from aurl.generation.load import load_run
from aurl.generation.making import BATCH_SIZE, Making
from aurl.generation.pieces import each_piece
from aurl.generation.request import Request
from aurl.generation.wishes import Wishes
from aurl.progress import Interrupts
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import GROUPS

LATENT = ["model.mode=vae", *(f"{key}={value}" for key, value in SMALL.items() if key.startswith("latent."))]
CONTROLS = ['controls.facts=["key","density"]', "controls.chords=true", "controls.infill=0.5", "data.seq_len=256"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    overrides = {"plain": [], "latent": LATENT, "told": CONTROLS}
    return {name: load_run(write_run(folder / name, Codec(), overrides=keys)) for name, keys in overrides.items()}


def song(bars=8, base=60):
    """A note on each beat, in 4/4."""
    return score(track(*((32 * beat, 24, base + beat % 7, 80) for beat in range(4 * bars))))


def made(loaded, request, **options):
    return list(each_piece(Making.of(loaded, request), **options))


REQUESTS = {
    "nothing": {"bars": 1},
    "constraints": {"bars": 1, "constraints": ({"kind": "range", "lowest": 50, "highest": 70}, {"kind": "polyphony"})},
    "filters": {"bars": 1, "filters": ({"kind": "typical"}, {"kind": "repetition"}), "top_k": 40},
    "prompt": {"bars": 1, "prompt": song(), "prompt_seconds": 2.0},
    "mended": {"bars": 1, "constraints": ({"kind": "range", "lowest": 50, "highest": 70},), "mend": True},
}


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("kind", ["plain", "latent"])
def test_a_piece_depends_on_its_seed_and_not_on_the_batch(loaded, monkeypatch, name, kind):
    request = Request(count=6, seed=30, **REQUESTS[name])
    pieces = {}
    for size in (1, 4, BATCH_SIZE):
        monkeypatch.setattr(making_module, "BATCH_SIZE", size)
        pieces[size] = made(loaded[kind], request)
    for others in zip(*pieces.values(), strict=True):
        assert len({piece.ids.tobytes() for piece in others}) == 1
        assert all(piece.score == others[0].score for piece in others)
    assert [piece.seed for piece in pieces[1]] == list(range(30, 36))


def test_no_more_pieces_are_kept_than_grow_together(loaded, monkeypatch):
    monkeypatch.setattr(making_module, "BATCH_SIZE", 4)
    alive, most, seeds = [], 0, []
    for piece in each_piece(Making.of(loaded["plain"], Request(count=20, seed=0, max_tokens=8, seconds=5.0))):
        alive.append(weakref.ref(piece))
        seeds.append(piece.seed)
        del piece
        gc.collect()
        most = max(most, sum(one() is not None for one in alive))
    assert seeds == list(range(20))
    assert most <= 4 + 1


def test_steps_of_an_interpolation_follow_each_other(loaded):
    wanted = Request(interpolate=(song(4), song(8, base=50)), steps=3, count=2, seed=7, temperature=0.0)
    pieces = made(loaded["latent"], wanted)
    assert [piece.seed for piece in pieces] == [7, 7, 7, 8, 8, 8]
    beats = [piece.score.end_tick / piece.score.ticks_per_beat for piece in pieces]
    for place, expected in enumerate((16, 24, 32)):
        assert expected - 1 <= beats[place] <= expected
    ends = [made(loaded["latent"], Request(like=one, seed=7, temperature=0.0))[0] for one in wanted.interpolate]
    assert [piece.ids.tolist() for piece in ends] == [pieces[0].ids.tolist(), pieces[2].ids.tolist()]


def test_what_is_filled_in_leaves_the_rest_alone(loaded):
    [piece] = made(loaded["told"], Request(prompt=song(), infill="3:5", seed=1))
    given = {(int(n), int(p)) for n, p in zip(song().tracks[0].notes.onset, song().tracks[0].notes.pitch, strict=True)}
    [notes] = [one.notes for one in piece.score.tracks]
    found = {(int(n), int(p)) for n, p in zip(notes.onset, notes.pitch, strict=True)}
    begin, end = 2 * 4 * 32, 4 * 4 * 32
    assert {note for note in given if not begin <= note[0] < end} == {
        note for note in found if not begin <= note[0] < end
    }
    assert {note for note in found if begin <= note[0] < end} not in (set(), given)
    assert piece.ended == "length"


def test_pieces_begin_and_go_on_as_they_were_asked_to(loaded):
    told = set()
    wishes = Wishes(tempo=92.0, meter=(3, 4), key=2, facts={"density": 2.0}, instruments=(40, 128), chords=(3, 5))
    for piece in made(loaded["told"], Request(wishes=wishes, bars=4, count=3, seed=0, guidance=1.5)):
        assert [(track.program, track.is_drum) for track in piece.score.tracks] == [(40, False), (0, True)]
        assert piece.score.tempos.microseconds_per_beat.tolist() == [652174]
        assert (piece.score.time_signatures.numerator[0], piece.score.time_signatures.denominator[0]) == (3, 4)
        assert GROUPS["key"].start + 2 in piece.ids
        chord = GROUPS["chord"]
        told |= {i - chord.start for i in piece.ids.tolist() if chord.start <= i < chord.stop}
        assert Grammar.of(loaded["told"].codec).check(piece.ids) == []
    assert told == {3, 5}


def test_a_prompt_is_told_as_in_training(loaded):
    [piece] = made(loaded["told"], Request(prompt=song(), prompt_seconds=4.0, bars=1, seed=0))
    head = piece.ids[: piece.prompt_tokens].tolist()
    groups = {name for name, group in GROUPS.items() if any(group.start <= i < group.stop for i in head)}
    assert {"key", "density", "chord"} <= groups
    assert Grammar.of(loaded["told"].codec).check(piece.ids) == []


def test_mended_pieces_keep_to_their_constraints_and_others_say_what_they_break(loaded):
    rule = ({"kind": "range", "lowest": 60, "highest": 62},)
    for piece in made(loaded["plain"], Request(constraints=rule, mend=True, bars=1, count=3, seed=0)):
        pitches = {int(p) for track in piece.score.tracks if not track.is_drum for p in track.notes.pitch}
        assert pitches <= {60, 61, 62}
        assert piece.broken == ()
    low = Request(constraints=rule, bars=1, seed=0, prompt=song(base=30), prompt_seconds=2.0)
    [piece] = made(loaded["plain"], low)
    assert piece.broken
    assert piece.score.note_count > 4


def test_a_beam_has_no_seeds_but_ranks(loaded):
    pieces = made(loaded["plain"], Request(beam=Beam(width=4), count=3, bars=1, seed=0))
    assert len(pieces) == 3
    assert len({piece.ids.tobytes() for piece in pieces}) == 3
    again = made(loaded["plain"], Request(beam=Beam(width=4), bars=1, seed=9))
    np.testing.assert_array_equal(again[0].ids, pieces[0].ids)


def test_a_form_has_its_sections_and_can_be_stopped(loaded):
    form, interrupts, reports = Form("AAB", bars=2, fresh=0), Interrupts(), []
    pieces = made(loaded["plain"], Request(form=form, count=2, seed=0), report=reports.append)
    assert len(pieces) == 2
    assert (reports[-1].done, reports[-1].total, reports[-1].unit) == (12, 12, "bars")

    def stop(progress):
        interrupts.stop = 2

    stopped = made(loaded["plain"], Request(form=form, count=300, seed=0), report=stop, interrupts=interrupts)
    assert 0 < len(stopped) < 300
    assert [piece.ids.tobytes() for piece in stopped[:2]] == [piece.ids.tobytes() for piece in pieces]


def test_directions_are_looked_up_only_if_they_are_wanted(loaded):
    def never(_):
        raise AssertionError

    assert Making.of(loaded["latent"], Request(bars=1), directions=never)
    with pytest.raises(UsageError, match="have not been learned"):
        Making.of(loaded["latent"], Request(more={"density": 1.0}, bars=1))
    with pytest.raises(UsageError, match="--more is about latents"):
        generate(loaded["plain"].run, Request(more={"density": 1.0}))


@pytest.mark.parametrize("codec", [Codec(parts=False, header=()), Codec(time_base="seconds")], ids=["bare", "seconds"])
@pytest.mark.parametrize("tempo", [47.0, 120.0, 200.0])
def test_pieces_at_an_asked_tempo_last_the_asked_seconds(tmp_path, codec, tempo):
    """Also where the model is not told the tempo, or only the nearest that it knows."""
    model = load_run(write_run(tmp_path / "run", codec))
    (piece,) = made(model, Request(seed=1, seconds=6.0, wishes=Wishes(tempo=tempo)))
    assert piece.ended == "length"
    assert piece.score.end_tick / piece.score.ticks_per_beat * 60 / tempo == pytest.approx(6.0, abs=0.03)
