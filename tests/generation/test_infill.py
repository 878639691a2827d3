"""Bars that are filled in: the rest of the song stays as it was, and what is new stays inside."""

from dataclasses import replace

import numpy as np
import pytest
from tests.support.constraining import Eager
from tests.support.scores import score, track
from tests.support.tunes import tune

from aurl.errors import UsageError
from aurl.generation.infill import open_gap
from aurl.generation.pieces import make_pieces
from aurl.generation.request import Request
from aurl.midi.score import Tempos, TimeSignatures
from aurl.profile import Generation
from aurl.tokens.codec import Codec
from aurl.tokens.decode import read_notes
from aurl.tokens.vocabulary import FACTS, GROUPS, MASK, PART, SEP, TIME_SHIFT, VELOCITY

CONTEXT = 512
BAR = 4 * 480
FILLINGS = 5
SPANS = 6


def codec_of(*, parts=True, infill=True, **options):
    return Codec(parts=parts, **options).with_controls(FACTS, chords=True, infill=infill)


def rows_of(track):
    notes = track.notes
    return list(
        zip(*(getattr(notes, name).tolist() for name in ("onset", "duration", "pitch", "velocity")), strict=True)
    )


def fill(song, codec, where, count=FILLINGS, **options):
    model = Eager(codec.vocabulary_size)
    request = Request(count=count, seed=0, prompt=song, infill=where, **options)
    return make_pieces(model, codec, request, context=CONTEXT, defaults=Generation())


def overlapping(rows):
    """Pairs of notes of a pitch that sound at once, looked for by brute force."""
    return [
        (one, other)
        for place, one in enumerate(rows)
        for other in rows[place + 1 :]
        if one[2] == other[2] and one[0] < other[0] + other[1] and other[0] < one[0] + one[1]
    ]


def check_filled(song, filled, begin, end, *, is_touched):
    """What a person would look for, note by note; how many new notes there are, and old ones that were cut."""
    made = cuts = 0
    assert [(one.program, one.is_drum, one.name) for one in filled.tracks] == [
        (one.program, one.is_drum, one.name) for one in song.tracks
    ]
    for before, after in zip(song.tracks, filled.tracks, strict=True):
        old, new = rows_of(before), rows_of(after)
        assert new == sorted(new, key=lambda row: (row[0], row[2]))
        if not is_touched(before):
            assert new == old
            continue
        inside = [row for row in new if begin <= row[0] < end]
        assert all(onset + duration <= end for onset, duration, *_ in inside)
        outside = {(row[0], row[2]): row for row in new if not begin <= row[0] < end}
        kept = {(row[0], row[2]): row for row in old if not begin <= row[0] < end}
        assert outside.keys() == kept.keys()
        for place, row in kept.items():
            strikes = [onset for onset, _, pitch, _ in inside if pitch == row[2] and onset < row[0] + row[1]]
            is_cut = row[0] < begin and strikes
            assert outside[place] == ((row[0], min(strikes) - row[0], *row[2:]) if is_cut else row)
            cuts += bool(is_cut)
        assert overlapping(new) == []
        made += len(inside)
    return made, cuts


def held_notes():
    """Notes that are held over bar lines, so that some of them are struck anew, and drums."""
    held = track(*((480 * 6 * n, 480 * 6, pitch, 70) for n in range(8) for pitch in range(40 + n, 100, 3)))
    return score(held, tune(5).tracks[2], ticks_per_beat=480)


@pytest.mark.parametrize("parts", [True, False])
@pytest.mark.parametrize("number", range(3))
def test_nothing_else_is_touched(number, parts):
    """Thirty spans of three songs, twice"""
    song = held_notes() if number == 2 else tune(number)
    rng, made, cuts = np.random.default_rng(number), 0, 0
    last = song.end_tick // BAR
    spans = [(first := int(rng.integers(1, last - 3)), first + int(rng.integers(1, 4))) for _ in range(SPANS)]
    for first, stop in spans:
        for piece in fill(song, codec_of(parts=parts), f"{first}:{stop}"):
            begin, end = (first - 1) * BAR, (stop - 1) * BAR
            found = check_filled(song, piece.score, begin, end, is_touched=lambda one: parts or not one.is_drum)
            made, cuts = made + found[0], cuts + found[1]
            assert piece.score.end_tick >= song.end_tick - 3 * BAR
            assert piece.ended in ("length", "tokens")
    assert made > 10 * SPANS * FILLINGS
    assert cuts > 0 or number < 2


@pytest.mark.parametrize("parts", [True, False])
def test_songs_of_few_ticks(parts):
    """24 ticks in a quarter note: several steps are one tick."""
    song = tune(1)
    coarse = [
        replace(
            one,
            notes=replace(one.notes, onset=one.notes.onset // 20, duration=np.maximum(one.notes.duration // 20, 1)),
        )
        for one in song.tracks
    ]
    song = replace(song, ticks_per_beat=24, tracks=tuple(coarse))
    assert all(overlapping(rows_of(one)) == [] for one in song.tracks)
    made = 0
    for piece in fill(song, codec_of(parts=parts), "3:6", 8):
        made += check_filled(song, piece.score, 2 * 96, 5 * 96, is_touched=lambda one: parts or not one.is_drum)[0]
    assert made > 50


def test_the_model_is_shown_both_sides_and_how_long_it_is():
    song, codec = tune(0), codec_of()
    gap = open_gap(song, codec, "5:7", context=CONTEXT)
    header = gap.ids.index(SEP) + 1
    opens = gap.ids.index(SEP, header)
    assert gap.ids[opens - 1] == MASK
    assert gap.ids[-1] == SEP
    assert gap.ids.count(SEP) == 3
    wait = next(n for n, i in enumerate(gap.ids[opens + 1 :]) if not TIME_SHIFT.start <= i < TIME_SHIFT.stop)
    assert sum(i - TIME_SHIFT.start + 1 for i in gap.ids[opens + 1 : opens + 1 + wait]) == 2 * 128 == gap.steps
    assert (gap.step, gap.ticks) == (4 * 128, (4 * BAR, 6 * BAR))
    assert len(gap.ids) + gap.max_tokens == CONTEXT
    # What begins before the gap, as far back as the model sees, ends when it begins at the latest.
    left = read_notes(gap.ids[: opens - 1])
    shown = sorted(zip(left.part.tolist(), left.pitch.tolist(), (left.onset - left.end).tolist(), strict=True))
    wanted = sorted(
        (part, pitch, onset // 15 - 512)
        for part, one in enumerate(song.tracks)
        for onset, _, pitch, _ in rows_of(one)
        if onset < 4 * BAR and onset // 15 >= 512 - left.end
    )
    assert len(wanted) > 20
    assert set(wanted) - set(shown) <= {one for one in wanted if one[2] == -left.end}
    assert {one for one in shown if one[2] > -left.end} <= set(wanted)


def test_asked_facts_take_the_place_of_measured_ones():
    song, codec = tune(0), codec_of()
    density = GROUPS["density"].start
    told = [open_gap(song, codec, "5:7", context=CONTEXT, asked={"density": n}).ids for n in (0, 7)]
    differs = [pair for pair in zip(*told, strict=True) if pair[0] != pair[1]]
    assert differs == [(density, density + 7)]


@pytest.mark.parametrize("time_base", ["beats", "seconds"])
def test_bars_and_seconds_are_the_same_place(time_base):
    """60 BPM, then 120 from bar 3 on; 3/4: bar 3 begins at 6 s, bar 5 at 9 s."""
    song = replace(
        tune(3),
        tempos=Tempos(np.array([0, 6 * 480]), np.array([1_000_000, 500_000])),
        time_signatures=TimeSignatures(np.array([0]), np.array([3]), np.array([4])),
    )
    codec = codec_of(time_base=time_base)
    gaps = [open_gap(song, codec, where, context=CONTEXT) for where in ("3:5", "6s:9s", " 6.0:9.0s ")]
    assert gaps[0].ids == gaps[1].ids == gaps[2].ids
    assert {gap.ticks for gap in gaps} == {(6 * 480, 12 * 480)}
    assert gaps[0].steps == (6 * 32 if time_base == "beats" else 3 * 64)


def test_the_last_bar_ends_with_the_song():
    song = score(track(*((480 * n, 480, 60 + n % 5, 80) for n in range(14))), ticks_per_beat=480)
    gap = open_gap(song, codec_of(), "4:5", context=CONTEXT)
    assert gap.ticks == (3 * BAR, 14 * 480)
    assert open_gap(song, codec_of(), "6s:99s", context=CONTEXT).ticks == (12 * 480, 14 * 480)


def test_a_row_alone_is_a_row_in_a_batch():
    song, codec = tune(2), codec_of()
    together = fill(song, codec, "4:6", 3)
    for number, piece in enumerate(together):
        [alone] = make_pieces(
            Eager(codec.vocabulary_size),
            codec,
            Request(seed=number, prompt=song, infill="4:6"),
            context=CONTEXT,
            defaults=Generation(),
        )
        assert alone.ids.tolist() == piece.ids.tolist()
        assert alone.score == piece.score
    assert len({piece.ids.tobytes() for piece in together}) == 3


@pytest.mark.parametrize(
    ("where", "said", "hint"),
    [
        ("400:402", "the song has bars 1 to", "9:13"),
        ("0:2", "the song has bars 1 to", "9:13"),
        ("5:5", "the song has bars 1 to", "9:13"),
        ("5:4", "the song has bars 1 to", "9:13"),
        ("5s:5s", "is not in the song", "8s:12.5s"),
        ("5s:4s", "is not in the song", "8s:12.5s"),
        ("4000s:4001s", "is not in the song", "8s:12.5s"),
        ("bar 5", "is no place in a song", "9:13"),
        ("5", "is no place in a song", "9:13"),
        ("-1:4", "is no place in a song", "9:13"),
    ],
)
def test_what_is_no_place_in_the_song(where, said, hint):
    with pytest.raises(UsageError, match=said) as caught:
        open_gap(tune(0), codec_of(), where, context=CONTEXT)
    assert f"--infill {where}" in caught.value.message
    assert hint in caught.value.hint


def test_a_model_that_has_not_learned_it():
    with pytest.raises(UsageError, match="not learned to fill in") as caught:
        open_gap(tune(0), codec_of(infill=False), "5:7", context=CONTEXT)
    assert "aurl train" in caught.value.hint


def test_what_leaves_no_room():
    with pytest.raises(UsageError, match="sees 48 events at once no room") as caught:
        open_gap(tune(0), codec_of(), "5:7", context=48)
    assert "fewer bars" in caught.value.hint


def test_songs_whose_instruments_the_model_does_not_know():
    """Their parts would be others, and new notes be played by the wrong ones."""
    merge, keep = ({"kind": "instruments", "mode": mode, "together": "all"} for mode in ("merge", "keep"))
    with pytest.raises(UsageError, match="whose new notes are"):
        open_gap(tune(0), codec_of(), "5:7", context=CONTEXT, preprocess=[merge])
    kept = open_gap(tune(0), codec_of(), "5:7", context=CONTEXT, preprocess=[keep])
    assert kept.ids == open_gap(tune(0), codec_of(), "5:7", context=CONTEXT).ids
    assert open_gap(tune(0), codec_of(parts=False), "5:7", context=CONTEXT, preprocess=[merge]).ids


def test_what_a_model_of_one_key_makes_is_in_the_key_of_the_song():
    """D major is shown as C major; what is made comes back two semitones higher, drums as they are."""
    scale = [62, 66, 69, 74, 67, 64, 73, 69, 71, 62, 66, 62]
    line = track(*((480 * n, 480, scale[n % 12], 80) for n in range(48)))
    song, codec = score(line, tune(1).tracks[2], ticks_per_beat=480), codec_of()
    plain, moved = (
        open_gap(song, codec, "5:6", context=CONTEXT, preprocess=steps) for steps in ((), [{"kind": "key"}])
    )
    assert (plain.raised, moved.raised) == (0, -2)
    made = [VELOCITY.start + 3, PART.start, 60, PART.start + 1, 38, TIME_SHIFT.start + 31]
    low, high = (rows_of(one) for one in moved.filled([*moved.ids, *made]).tracks)
    assert [row[2] for row in low if 4 * BAR <= row[0] < 5 * BAR] == [62]
    assert [row[2] for row in high if 4 * BAR <= row[0] < 5 * BAR] == [38]
