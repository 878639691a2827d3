"""What sounds, worked out by hand and by a slow walk through random legal music."""

from itertools import pairwise

import pytest
import torch
from tests.support.events import off, on, part, shift
from tests.support.legal_ids import walk

from aurl.loss.musical.played import Played, is_drum, running_part
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import (
    BOS,
    DRUM_PROGRAM,
    NOTE_OFF,
    NOTE_ON,
    PAD,
    PART,
    PROGRAM,
    SEP,
    TIME_SHIFT,
    VELOCITY,
)

BAND = [
    *(BOS, part(0), PROGRAM.start, part(1), PROGRAM.start + DRUM_PROGRAM, SEP),  # 0–5
    *(part(0), VELOCITY.start, on(60), on(64), part(1), on(36)),  # 6–11
    *(shift(1), part(0), on(67)),  # 12–14: still the same moment
    *(shift(15), off(60), shift(16), part(1), off(36), on(38)),  # 15–20
    *(shift(30), part(0), on(62), PAD),  # 21–24
]


@pytest.fixture
def band():
    ids = torch.tensor([BAND])
    return ids, Played(ids, ids, torch.tensor([100]))


def test_parts_and_drums_by_hand(band):
    ids, _ = band
    running = running_part(ids)
    assert running[0].tolist() == [*[-1] * 6, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0]
    assert is_drum(ids, running)[0].nonzero()[:, 0].tolist() == [10, 11, 12, 18, 19, 20, 21]


def test_notes_and_time_by_hand(band):
    _, found = band
    assert found.note[0].nonzero()[:, 0].tolist() == [8, 9, 14, 23]
    assert found.pitch[0, [8, 9, 14, 23]].tolist() == [60, 64, 67, 62]
    assert found.now[0, [0, 12, 13, 15, 16, 17, 18, 21, 22]].tolist() == [100, 100, 101, 101, 116, 116, 132, 132, 162]


def test_what_sounds_by_hand(band):
    _, found = band
    classes = [row.nonzero()[:, 0].tolist() for row in found.sounding[0]]
    assert classes[8:10] == [[], [0]]
    assert classes[10:15] == [[0, 4]] * 5
    assert classes[15:17] == [[0, 4, 7]] * 2
    assert classes[17:24] == [[4, 7]] * 7  # drums begin and end unheard


def test_melody_by_hand(band):
    """The chord's highest note comes last, a step late; then D below it."""
    _, found = band
    assert found.melody[0, 23].item() == 67
    assert (found.melody[0, :23] == -1).all()


def test_moments_by_hand(band):
    """At 100 (chord and drum), 132 (drum) and 162. The TIME_SHIFT of a step leads to none, nor does that before off."""
    _, found = band
    assert found.waits[0].nonzero()[:, 0].tolist() == [17, 21]
    assert found.since[0, [17, 21]].tolist() == [16, 0]
    assert found.between[0, [17, 21, 22]].tolist() == [-1, 32, 32]


def test_context_is_known_but_does_not_count():
    ids = torch.tensor([[on(60), shift(8), on(72), shift(8), on(65)]])
    targets = torch.tensor([[PAD, PAD, PAD, shift(8), on(65)]])
    found = Played(ids, targets)
    assert found.note[0].tolist() == [False] * 4 + [True]
    assert found.waits[0].tolist() == [False, False, False, True, False]
    assert found.melody[0, 4].item() == 72
    assert found.between[0, 3].item() == 8


def test_a_note_that_began_before_the_window_is_not_known_to_sound():
    found = Played(torch.tensor([[off(60), on(61), off(61), on(62), shift(1)]]), torch.zeros(1, 5, dtype=torch.int64))
    assert [row.nonzero()[:, 0].tolist() for row in found.sounding[0]] == [[], [], [1], [], [2]]


def slowly(ids, start):
    """Row by row and id by id: classes that sound, time, the moments before, and whether drums play."""
    programs = {one - PART.start: two for one, two in pairwise(ids) if two in range(*span(PROGRAM))}
    header, time, current, sounds, last, moments, found = SEP in ids, start, -1, set(), None, [], []
    for chosen in ids:
        drum = programs.get(current) == PROGRAM.start + DRUM_PROGRAM
        found.append((sorted({pitch % 12 for _, pitch in sounds}), time, list(moments), drum))
        if chosen == SEP:
            header = False
        elif chosen in range(*span(PART)) and not header:
            current = chosen - PART.start
        elif chosen in range(*span(TIME_SHIFT)):
            time += chosen - TIME_SHIFT.start + 1
        elif chosen in range(*span(NOTE_ON)):
            if last is None or time - last > 1:
                moments.append(time)
            last = time
            sounds |= set() if drum else {(current, chosen)}
        elif chosen in range(*span(NOTE_OFF)):
            sounds -= {(current, chosen - NOTE_OFF.start)}
    return found


def span(group):
    return group.start, group.stop


@pytest.mark.parametrize("parts", [False, True])
def test_any_legal_music_as_a_slow_walk_hears_it(parts):
    rows = [walk(Grammar.of(Codec(parts=parts)), 400, seed) for seed in range(3)]
    programs = [place for place, chosen in enumerate(rows[0]) if PROGRAM.start <= chosen < PROGRAM.stop]
    for place in programs[::2]:
        rows[0][place] = PROGRAM.start + DRUM_PROGRAM
    assert bool(programs) == parts
    ids = torch.tensor(rows)
    found = Played(ids, ids, torch.tensor([0, 7, 1000]))
    for row, start in enumerate((0, 7, 1000)):
        for place, (classes, time, moments, drum) in enumerate(slowly(rows[row], start)):
            assert found.sounding[row, place].nonzero()[:, 0].tolist() == classes
            assert found.now[row, place].item() == time
            note = NOTE_ON.start <= rows[row][place] < NOTE_ON.stop
            assert found.note[row, place].item() == (note and not drum)
            assert found.since[row, place].item() == (time - moments[-1] if moments else 0)
            expected = moments[-1] - moments[-2] if len(moments) > 1 else -1
            assert found.between[row, place].item() == expected
    assert found.note.any()


def slow_melody(ids):
    """Pitches of the highest note of each moment, for music without drums, with the place of each highest note."""
    time, last, moments = 0, None, []
    for place, chosen in enumerate(ids):
        if TIME_SHIFT.start <= chosen < TIME_SHIFT.stop:
            time += chosen - TIME_SHIFT.start + 1
        elif chosen < NOTE_ON.stop:
            if last is None or time - last > 1:
                moments.append([])
            last = time
            moments[-1].append((chosen, place))
    return [max(pitch for pitch, _ in notes) for notes in moments], moments


def test_the_melody_of_any_legal_music():
    ids = walk(Grammar.of(Codec(parts=False)), 600, 5)
    tensor = torch.tensor([ids])
    melody = Played(tensor, tensor).melody[0].tolist()
    tops, moments = slow_melody(ids)
    assert len(tops) > 20
    expected = [-1] * len(ids)
    for number, notes in enumerate(moments):
        before = tops[number - 1] if number else -1
        for pitch, place in notes:
            if pitch == tops[number]:
                expected[place] = before
                before = pitch  # a note that is struck again at once follows itself
    assert melody == expected
