import numpy as np
from tests.support.scores import score, track

from aurl.midi.score import TimeSignatures
from aurl.preprocess import PREPROCESS

BEAT, BAR = 480, 1920
SCATTER = (-9, 4, 0, 9, -4, 0, 6, -6)


def grooved(piece, **options):
    return PREPROCESS.build("quantize", mode="groove", **options)(piece)


def onsets(piece, index=0):
    return piece.tracks[index].notes.onset.tolist()


def scattered(places, bars=8):
    """A note at each place of each bar, missed by a scatter whose median is 0."""
    return [
        (max(bar * BAR + place + SCATTER[(bar + 3 * index) % 8], 0), 100, 60 + index % 3, 80)
        for bar in range(bars)
        for index, place in enumerate(places)
    ]


def test_swing_stays_and_scatter_goes():
    swing = [0, 320, 480, 800, 960, 1280, 1440, 1760]
    after = onsets(grooved(score(track(*scattered(swing)), ticks_per_beat=BEAT)))
    assert np.abs(np.array(after) - [bar * BAR + place for bar in range(8) for place in swing]).max() <= 1


def test_strict_quantisation_would_lose_the_swing():
    piece = score(track(*scattered([0, 320])), ticks_per_beat=BEAT)
    assert PREPROCESS.build("quantize")(piece).tracks[0].notes.onset[1] == 360


def test_each_drum_has_its_own_place_behind_the_beat():
    hits = [(bar * BAR + beat * BEAT, 10, 42, 80) for bar in range(8) for beat in range(4)]
    hits += [(bar * BAR + beat * BEAT + 22, 10, 38, 80) for bar in range(8) for beat in (1, 3)]
    notes = grooved(score(track(*hits, is_drum=True), ticks_per_beat=BEAT)).tracks[0].notes
    assert set((notes.onset[notes.pitch == 42] % BEAT).tolist()) == {0}
    assert set((notes.onset[notes.pitch == 38] % BAR).tolist()) == {BEAT + 22, 3 * BEAT + 22}


def test_a_habit_of_the_beat_serves_where_a_place_in_the_bar_is_rare():
    late = [(bar * BAR + beat * BEAT + 240 + 30, 10, 60, 80) for bar in range(2) for beat in range(4)]
    rare = [(8 * BAR + 240 + 60, 10, 60, 80)]
    assert onsets(grooved(score(track(*late, *rare), ticks_per_beat=BEAT), grid="1/8"))[-1] == 8 * BAR + 240 + 30


def test_a_voice_with_few_notes_follows_the_others():
    late = track(*((beat * BEAT + 240 + 30, 10, 60, 80) for beat in range(16)))
    other = track((240 - 5, 10, 72, 80))
    assert onsets(grooved(score(late, other, ticks_per_beat=BEAT), grid="1/8"), 1) == [240 + 30]


def test_too_few_onsets_tell_nothing_however_many_notes_they_have():
    chords = track(*((beat * BEAT + 30, 10, pitch, 80) for beat in range(7) for pitch in range(60, 64)))
    assert onsets(grooved(score(chords, ticks_per_beat=BEAT))) == [beat * BEAT for beat in range(7) for _ in range(4)]


def test_wide_scatter_is_no_habit():
    deviation = [-50, 35, -30, 8, 45, -25, 4, 50, -40, 20, -15, 30]  # the median is 6 late, its standard error 18
    piece = score(
        track(*((480 + beat * BEAT + d, 10, 60, 80) for beat, d in enumerate(deviation))), ticks_per_beat=BEAT
    )
    assert onsets(grooved(piece)) == [480 + beat * BEAT for beat in range(12)]


def test_ends_follow_the_groove_so_that_legato_stays():
    swing = [(bar * BAR + place, length, 60, 80) for bar in range(8) for place, length in ((0, 320), (320, 1600))]
    notes = grooved(score(track(*swing), ticks_per_beat=BEAT)).tracks[0].notes
    assert notes.offset[:-1].tolist() == notes.onset[1:].tolist()


def test_places_are_those_of_the_meter():
    piece = score(
        track(*((bar * 3 * BEAT + 480 + 25, 10, 60, 80) for bar in range(8))),
        ticks_per_beat=BEAT,
        time_signatures=TimeSignatures([0], [3], [4]),
    )
    other = track(*((bar * 3 * BEAT, 10, 50, 80) for bar in range(8)))
    piece = score(piece.tracks[0], other, ticks_per_beat=BEAT, time_signatures=piece.time_signatures)
    assert onsets(grooved(piece)) == [bar * 3 * BEAT + 505 for bar in range(8)]
    assert onsets(grooved(piece), 1) == [bar * 3 * BEAT for bar in range(8)]
