"""Headers and chords that are told, and what leads back to numbers that were asked."""

import logging

import numpy as np
import pytest
import torch
from tests.support.constraining import Eager

from aurl.generation.constraints.chords import ToldChords
from aurl.generation.constraints.header import ToldHeader
from aurl.generation.constraints.mask import GrammarMask
from aurl.generation.constraints.steering import Steering
from aurl.generation.constraints.tally import Tally
from aurl.generation.engine import Engine
from aurl.generation.sampling.sampler import Sampler
from aurl.studies.pitch_classes import KEYS
from aurl.tokens.codec import Codec
from aurl.tokens.decode import read_notes
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import (
    BOS,
    CHORD,
    EOS,
    FACTS,
    GROUPS,
    NOTE_OFF,
    NOTE_ON,
    PART,
    PROGRAM,
    SEP,
    TIME_SHIFT,
    VELOCITY,
    name_of,
)

PIANO, DRUMS = 0, 128
BAR = 128
SEEDS = range(6)
CPU = torch.device("cpu")


def codec_of(parts=True, header=("tempo", "time_signature", "key"), **options):
    told = {"facts": FACTS, "chords": True, "infill": False, **options}
    return Codec(parts=parts, header=header).with_controls(told.pop("facts"), **told)


def make(codec, *constraints, prompt=(BOS,), seeds=SEEDS, steps=1200, model=None, **options):
    engine = Engine(
        model or Eager(codec.vocabulary_size),
        Grammar.of(codec, allow_zero_length=False),
        sampler=Sampler(),
        constraints=constraints,
        context=512,
        **options,
    )
    batch = engine.start(prompt, seeds=seeds, length=lambda _: steps, may_end=False, max_tokens=900)
    list(batch)
    return [piece.ids for piece in batch.pieces]


def header_of(ids):
    return ids[: ids.index(SEP) + 1]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"tempo": 9},
        {"density": 3, "dynamics": 0},
        {"tempo": 0, "time_signature": 20, "key": 12, "density": 7, "polyphony": 1, "register": 2, "dynamics": 5},
    ],
)
@pytest.mark.parametrize("parts", [True, False])
def test_a_header_tells_what_was_asked_and_the_rest_is_the_models(values, parts):
    instruments = (DRUMS, 40, 40) if parts else ()
    codec = codec_of(parts)
    pieces = make(codec, ToldHeader(values, instruments), steps=200)
    free = set()
    for ids in pieces:
        header = header_of(ids)
        assert Grammar.of(codec).check(np.array(ids)) == []
        for name, value in values.items():
            group = GROUPS[name]
            assert [i for i in header if group.start <= i < group.stop] == [group.start + value]
        programs = [i - PROGRAM.start for i in header if PROGRAM.start <= i < PROGRAM.stop]
        assert not parts or programs == [DRUMS, 40, 40]
        free.add(tuple(header))
    assert len(free) > 1 or len(values) == 7


def test_instruments_alone_leave_the_header_free():
    pieces = make(codec_of(), ToldHeader({}, (5,)), seeds=range(20), steps=100)
    assert {tuple(header_of(ids)[-3:]) for ids in pieces} == {(PART.start, PROGRAM.start + 5, SEP)}
    assert len({len(header_of(ids)) for ids in pieces}) > 2


def strikes(ids, start=0):
    """(step, CHORD value in force) of each note that begins, read id by id."""
    now, chord, found = 0, None, []
    for place, i in enumerate(ids):
        if i < NOTE_ON.stop and place >= start:
            found.append((now, chord))
        elif TIME_SHIFT.start <= i < TIME_SHIFT.stop:
            now += i - TIME_SHIFT.start + 1
        elif CHORD.start <= i < CHORD.stop:
            chord = i - CHORD.start
    return found


@pytest.mark.parametrize(("bars", "length"), [(1.0, 128), (0.5, 64), (2.0, 256)])
def test_a_round_of_chords_is_told_bar_by_bar(bars, length):
    """Without parts nothing but a chord stands before the first note of its time."""
    codec, chords = codec_of(parts=False, header=()), (3, 9, 3, 12)
    for ids in make(codec, ToldChords(chords, bars=bars, time_base="beats"), prompt=(BOS, SEP)):
        assert Grammar.of(codec).check(np.array(ids)) == []
        found = strikes(ids)
        assert len(found) > 30
        assert found == [(step, chords[step // length % 4]) for step, _ in found]
        told = [i for i in ids if CHORD.start <= i < CHORD.stop]
        # Each is told once in its time, and never where no note begins.
        assert len(told) == len({step // length for step, _ in found})


def test_the_round_begins_with_the_first_full_bar_of_new_music():
    codec, chords = codec_of(parts=False, header=()), (1, 2, 3)
    wait = TIME_SHIFT.start + 39
    prompt = (BOS, SEP, CHORD.start + 7, VELOCITY.start + 3, 60, wait, NOTE_OFF.start + 60, wait)
    for ids in make(codec, ToldChords(chords, bars=1.0, time_base="beats"), prompt=prompt):
        found = strikes(ids, len(prompt))
        assert len(found) > 30
        # New music begins at step 80, bars at 128: the first chord holds before and in the first full bar.
        assert found == [(step, chords[max(step - BAR, 0) // BAR % 3]) for step, _ in found]


def test_a_chord_is_told_before_the_part_that_leads_to_the_first_note():
    """A wait comes first, then a PART: nothing sounds that it could end."""
    codec = codec_of(header=(), facts=())
    rule = ToldChords((4, 8), bars=1.0, time_base="beats")
    mask = GrammarMask(Grammar.of(codec, allow_zero_length=False), 1, [rule])
    header = [BOS, PART.start, PROGRAM.start, PART.start + 1, PROGRAM.start + 40, SEP]
    mask.replay(header)
    mask.end_after(0, 1000, may_end=True)
    wait, part, note = TIME_SHIFT.start + 7, PART.start + 1, 60
    assert mask.forced(0, wait) == wait
    mask.advance(0, wait)
    assert mask.forced(0, part) == CHORD.start + 4
    for i in (CHORD.start + 4, part, VELOCITY.start + 2):
        assert mask.forced(0, i) == i
        mask.advance(0, i)
    mask.advance(0, note)
    mask.advance(0, TIME_SHIFT.start + 127)
    # Only part 1 sounds, in the time of the next chord: part 0 can but begin a note, part 1 may end its own.
    assert mask.forced(0, PART.start) == CHORD.start + 8
    assert mask.forced(0, PART.start + 1) == PART.start + 1
    assert mask.forced(0, NOTE_OFF.start + note) == NOTE_OFF.start + note
    assert mask.forced(0, VELOCITY.start + 1) == CHORD.start + 8


def test_no_note_begins_before_the_first_chord_is_told():
    codec = codec_of()
    rules = (ToldHeader({}, (PIANO, 40, DRUMS)), ToldChords((5,), bars=1.0, time_base="beats"))
    for ids in make(codec, *rules, seeds=range(12)):
        found = strikes(ids)
        assert found
        assert {chord for _, chord in found} == {5}


# Steering


def row_of(codec, ids, constraint):
    mask = GrammarMask(Grammar.of(codec, allow_zero_length=False), 1, [constraint])
    mask.replay(ids)
    return mask


def test_pitches_of_drums_are_no_pitches():
    codec = codec_of(header=(), facts=(), chords=False)
    header = [BOS, PART.start, PROGRAM.start + DRUMS, PART.start + 1, PROGRAM.start, SEP]
    high = [*header, PART.start + 1, VELOCITY.start + 3, *range(100, 110)]
    rule = Steering({"register": 40.0, "key": 0.0})
    pitched = row_of(codec, high, rule).bias(CPU)[0, : NOTE_ON.stop]
    lowest, highest = pitched[20].item(), pitched[99].item()
    assert lowest > highest + 0.5
    drums = row_of(codec, [*high, PART.start], rule).bias(CPU)[0, : NOTE_ON.stop]
    assert drums.tolist() == [0.0] * 128


def test_nothing_is_tilted_in_a_header_or_without_strength():
    codec = codec_of()
    facts = {"register": 90.0, "density": 9.0, "polyphony": 5.0, "dynamics": 5.0, "key": 3.0}
    for ids in ([BOS], [BOS, GROUPS["tempo"].start]):
        assert set(row_of(codec, ids, Steering(facts)).bias(CPU)[0].tolist()) == {0.0, -np.inf}
    prompt = [BOS, PART.start, PROGRAM.start, SEP, PART.start, VELOCITY.start, 60]
    weak, strong = (row_of(codec, prompt, Steering(facts, strength=s)).bias(CPU)[0] for s in (0.0, 1.0))
    assert set(weak.tolist()) == {0.0, -np.inf}
    assert len(set(strong.tolist())) > 50
    assert torch.equal(torch.isinf(weak), torch.isinf(strong))


def measured(ids):
    """Notes in a beat, mean pitch, mean level, notes at once and share of white keys, by plain numpy."""
    notes = read_notes(ids)
    active = np.zeros((len(notes.onset), notes.end))
    for row, (begin, stop) in enumerate(zip(notes.onset, notes.offset, strict=True)):
        active[row, begin:stop] = 1
    count = active.sum(0)
    white = np.isin(notes.pitch % 12, [0, 2, 4, 5, 7, 9, 11]).mean()
    return {
        "density": len(notes.onset) * 32 / notes.end,
        "register": notes.pitch.mean(),
        "dynamics": notes.velocity.mean(),
        "polyphony": count[count > 0].mean(),
        "key": white,
    }


@pytest.mark.parametrize(
    ("name", "number", "meant"),
    [
        *((name, number, number) for name, number in (("density", 1.0), ("density", 10.0), ("register", 45.0))),
        *((name, number, number) for name, number in (("register", 80.0), ("dynamics", 0.0), ("dynamics", 5.0))),
        *((name, number, number) for name, number in (("polyphony", 1.5), ("polyphony", 7.0))),
        ("key", KEYS.index((6, False)), 2 / 7),
        ("key", KEYS.index((0, False)), 1.0),
    ],
)
def test_a_model_that_does_not_listen_is_led_to_a_number(name, number, meant):
    """Two thirds of the way at least, a third to a key. F sharp major has two white keys, C major seven."""
    codec = codec_of(parts=False, header=(), facts=(), chords=False)
    free, led = (
        np.mean([measured(ids)[name] for ids in make(codec, *rules, seeds=range(3), steps=800)])
        for rules in ((), [Steering({name: float(number)})])
    )
    assert abs(led - meant) < abs(free - meant) * (0.7 if name == "key" else 1 / 3)


def test_a_tally_counts_what_is_played():
    codec = codec_of(header=(), facts=(), chords=False)
    tune = [PART.start, VELOCITY.start + 3, 60, 64, TIME_SHIFT.start + 31, NOTE_OFF.start + 60, PART.start + 1]
    tune += [VELOCITY.start + 5, 36, TIME_SHIFT.start + 7]
    header = [BOS, PART.start, PROGRAM.start, PART.start + 1, PROGRAM.start + DRUMS, SEP]
    tally = row_of(codec, [*header, *tune], Steering({})).rows[0].tally
    assert (tally.notes, tally.pitched, tally.pitches, tally.levels) == (3, 2, 124, 11)
    assert (tally.note_steps, tally.active_steps) == (2 * 32 + 2 * 8, 40)
    assert [n for n, count in enumerate(tally.classes) if count] == [0, 4]
    other = tally.copy()
    other.strike(61, 0, is_drum=False)
    other.wait(5, 0)
    assert (tally.classes[1], other.classes[1], other.active_steps) == (0, 1, 40)
    assert Tally().classes == [0] * 12


def test_rows_do_not_hear_each_other(caplog):
    codec = codec_of()
    rules = (
        ToldHeader({"tempo": 5}, (PIANO, DRUMS)),
        ToldChords((1, 2), bars=1.0, time_base="beats"),
        Steering({"density": 3.0, "register": 60.0, "key": 0.0, "polyphony": 2.0, "dynamics": 2.0}),
    )
    with caplog.at_level(logging.WARNING):
        together = make(codec, *rules, seeds=[3, 4, 5], steps=400)
    assert [make(codec, *rules, seeds=[seed], steps=400)[0] for seed in (3, 4, 5)] == together
    assert len({tuple(ids) for ids in together}) == 3
    assert all(ids[-1] == EOS for ids in together)
    assert not caplog.records
    assert {name_of(i).split()[0] for ids in together for i in ids} >= {"CHORD", "TEMPO", "PROGRAM"}
