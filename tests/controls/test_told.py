"""What windows tell, forget, and tell last."""

from dataclasses import replace

import numpy as np
import pytest
from tests.support.passages import header_length
from tests.support.tunes import tune

from aurl.augment.passage import Passage
from aurl.controls.prompts import told_around, told_prompt
from aurl.controls.spans import Span
from aurl.controls.told import Controls, with_facts
from aurl.tokens.codec import Codec
from aurl.tokens.decode import read_notes
from aurl.tokens.grammar import Grammar
from aurl.tokens.positions import elapsed_steps
from aurl.tokens.vocabulary import (
    BOS,
    CHORD,
    EOS,
    FACTS,
    GROUPS,
    MASK,
    NOTE_OFF,
    NOTE_ON,
    SEP,
    TIME_SHIFT,
    name_of,
)

TICKS_PER_STEP = 15
"""Of tunes with 480 ticks in a quarter note."""
HEADER = ("tempo", "time_signature", "key")


def codec_of(*, parts=True, header=HEADER, facts=FACTS, chords=True, infill=False):
    return Codec(parts=parts, header=header).with_controls(facts, chords=chords, infill=infill)


def passage_of(codec, seed=0, *, stop=None):
    ids = codec.encode(tune(seed)).ids[:stop]
    return Passage(ids, header_length(ids), 1)


def notes_of(ids):
    played = read_notes(ids)
    return sorted(zip(*(column.tolist() for column in played_columns(played)), strict=True))


def played_columns(played):
    return played.part, played.pitch, played.onset, played.offset


@pytest.mark.parametrize("parts", [True, False])
@pytest.mark.parametrize("header", [HEADER, ()])
def test_all_is_told_where_nothing_is_forgotten(parts, header):
    codec = codec_of(parts=parts, header=header)
    before = passage_of(codec)
    after = Controls(codec, seq_len=10_000)(before)
    names = [name_of(int(i)).split()[0].lower() for i in after.ids[: after.header]]
    assert [name for name in names if name in FACTS] == list(FACTS)
    assert names[-1] == "sep"
    assert Grammar.of(codec).check(after.ids) == []
    assert notes_of(after.ids) == notes_of(before.ids)
    assert ((after.ids >= CHORD.start) & (after.ids < CHORD.stop)).sum() > 4
    assert after.context == 1


def test_a_measured_key_replaces_the_one_that_was_there():
    key, density, meter = GROUPS["key"].start, GROUPS["density"].start, GROUPS["time_signature"].start
    header = np.array([BOS, meter + 3, key + 2, GROUPS["part"].start, GROUPS["program"].start, SEP], np.uint16)
    told = with_facts(header, {"key": 9, "density": 4})
    assert told.tolist() == [BOS, meter + 3, key + 9, density + 4, *header[3:].tolist()]
    assert with_facts(header, {"key": None, "density": None}).tolist() == header.tolist()
    assert with_facts(np.array([BOS], np.uint16), {"density": 1}).tolist() == [BOS, density + 1, SEP]


def test_what_is_forgotten_is_masked_and_nothing_else_changes():
    codec = codec_of()
    whole = Controls(codec, seq_len=10_000)(passage_of(codec))
    forgotten = Controls(codec, seq_len=10_000, forget_all=1.0)(passage_of(codec), np.random.default_rng(0))
    differs = whole.ids != forgotten.ids
    assert set(forgotten.ids[differs].tolist()) == {MASK}
    hidden = {name_of(int(i)).split()[0].lower() for i in whole.ids[differs]}
    assert hidden == {*HEADER, *FACTS, "chord"} - {name for name in HEADER if name not in _names(whole)}


def _names(passage):
    return {name_of(int(i)).split()[0].lower() for i in passage.ids}


def test_each_fact_is_forgotten_as_often_as_asked():
    codec = codec_of(chords=False)
    controls, passage = Controls(codec, seq_len=64, forget=0.25), passage_of(codec, stop=60)
    told = [controls(passage, np.random.default_rng(seed)).ids for seed in range(600)]
    for name in FACTS:
        group = GROUPS[name]
        share = np.mean([not ((ids >= group.start) & (ids < group.stop)).any() for ids in told])
        assert 0.18 < share < 0.32, name


def test_the_same_chance_tells_the_same():
    codec = codec_of(infill=True)
    controls, passage = Controls(codec, seq_len=300, forget=0.3, infill=0.5), passage_of(codec, stop=280)
    one, other = (controls(passage, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one.ids, other.ids)
    others = {controls(passage, np.random.default_rng(seed)).ids.tobytes() for seed in range(20)}
    assert len(others) > 10


def test_context_moves_with_what_is_put_in_front_of_it():
    codec = codec_of()
    whole = passage_of(codec)
    inside = Passage(
        np.concatenate([whole.ids[: whole.header], whole.ids[60:200]]), whole.header, whole.header + 9, 64, 0, 3
    )
    told = Controls(codec, seq_len=1000)(inside)
    music = told.ids[told.context :]
    assert music[music < CHORD.start].tolist()[:40] == inside.ids[inside.context :].tolist()[:40]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("parts", [True, False])
def test_a_span_that_is_told_last_is_the_music_that_is_missing(seed, parts):
    """Left, gap, right and middle, put together again note by note; notes end where their part of the music does."""
    codec = codec_of(parts=parts, infill=True)
    passage = passage_of(codec, seed, stop=400)
    told = Controls(codec, seq_len=2000, infill=1.0)(passage, np.random.default_rng(seed)).ids
    header = header_length(told)
    first, opens, closes = np.flatnonzero(told == SEP).tolist()
    assert (first, int(told[opens - 1]), int(told[-1])) == (header - 1, MASK, EOS)
    left, right, middle = told[header : opens - 1], told[opens + 1 : closes], told[closes + 1 :]
    begin = int(elapsed_steps(left)[-1]) if len(left) else 0
    gap = next(n for n, i in enumerate(right.tolist()) if not TIME_SHIFT.start <= i < TIME_SHIFT.stop)
    end = begin + int(elapsed_steps(right[:gap])[-1])
    assert begin % 128 == end % 128 == 0
    for side in (left, middle):
        played = side[side < NOTE_OFF.stop]
        assert (played < NOTE_ON.stop).sum() == (played >= NOTE_OFF.start).sum()
    head = told[:header]
    together = [
        *notes_of(np.concatenate([head, left])),
        *((part, pitch, on + begin, off + begin) for part, pitch, on, off in notes_of(np.concatenate([head, middle]))),
        *((part, pitch, on + begin, off + begin) for part, pitch, on, off in notes_of(np.concatenate([head, right]))),
    ]
    wanted = [
        (part, pitch, on, min(off, begin if on < begin else end if on < end else off))
        for part, pitch, on, off in notes_of(passage.ids)
    ]
    assert sorted(together) == sorted(wanted)


def test_windows_without_room_for_a_span_are_told_as_they_are():
    codec = codec_of(infill=True, chords=False, facts=())
    short = passage_of(codec, stop=16)
    told = Controls(codec, seq_len=300, infill=1.0)(short, np.random.default_rng(0))
    assert np.array_equal(told.ids, short.ids)


def test_no_window_becomes_longer_than_asked():
    codec = codec_of(infill=True)
    for seed in range(30):
        told = Controls(codec, seq_len=256, infill=0.7)(passage_of(codec, seed, stop=250), np.random.default_rng(seed))
        assert len(told.ids) <= 257


def test_a_prompt_tells_what_is_asked_and_else_what_it_is():
    codec = codec_of()
    passage = passage_of(codec, stop=120)
    measured = Controls(codec, seq_len=1000)(passage)
    assert told_prompt(passage.ids.tolist(), passage.header, codec) == measured.ids.tolist()
    asked = told_prompt(passage.ids.tolist(), passage.header, codec, {"density": 7})
    differs = [(one, other) for one, other in zip(measured.ids.tolist(), asked, strict=True) if one != other]
    assert [other for _, other in differs] == [GROUPS["density"].start + 7]


def test_a_prompt_of_a_model_that_is_told_nothing_stays_as_it_is():
    codec = Codec()
    passage = passage_of(codec, stop=80)
    assert told_prompt(passage.ids.tolist(), passage.header, codec) == passage.ids.tolist()


def test_both_sides_of_a_gap_say_nothing_of_what_is_in_it():
    """Louder and higher music in the gap: nobody hears it."""
    codec, span = codec_of(infill=True), Span(256, 512)
    ticks = (span.begin * TICKS_PER_STEP, span.end * TICKS_PER_STEP)

    def changed(notes):
        inside = (notes.onset >= ticks[0]) & (notes.onset < ticks[1])
        return replace(
            notes,
            pitch=np.where(inside, 100 + notes.pitch % 12, notes.pitch).astype(np.uint8),
            velocity=np.where(inside, 127, notes.velocity).astype(np.uint8),
        )

    shown = []
    for piece in (tune(0), tune(0).map_notes(changed)):
        ids = codec.encode(piece).ids
        ids = ids[: int(elapsed_steps(ids).searchsorted(1000))]
        shown.append(told_around(Passage(ids, header_length(ids), 1), span, codec))
    assert shown[0] == shown[1]
    assert shown[0].count(SEP) == 3
    assert shown[0][-1] == SEP
