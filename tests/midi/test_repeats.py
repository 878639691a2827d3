import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurl.midi.repeats import MAX_PASSES, Signs, playing_order


def bars(text):
    """Bars such as `a |:b c:| d`, parted by spaces: their letters are in order; see `signs`."""
    return [signs(word) for word in text.split()]


def signs(word):
    """`|:` opens, `:|` closes (`:|x3` three times), `[1]` ending, `S` segno, `O` coda, `F` fine, `DC`, `DS`."""
    found = Signs(opens=word.startswith("|:"), segno="S" in word.replace("DS", ""), coda="O" in word, fine="F" in word)
    if ":|" in word:
        found.closes = int(word.partition(":|x")[2] or 2)
    if "[" in word:
        passes = word[word.index("[") + 1 : word.index("]")]
        found.endings, found.bracket = frozenset(map(int, passes.split(","))), hash(passes)
    found.back = "capo" if "DC" in word else "segno" if "DS" in word else ""
    return found


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("_ _ _", [0, 1, 2]),
        ("_ _:| _", [0, 1, 0, 1, 2]),
        ("_ |:_ _:| _", [0, 1, 2, 1, 2, 3]),
        ("_ |:_:|x3 _", [0, 1, 1, 1, 2]),
        ("_:| _:|", [0, 0, 1, 1]),  # the second begins where the first ended
        ("_ |:_ |:_:|", [0, 1, 2, 2]),  # what nothing closes is played once
        ("_ |:_ _[1]:| _[2] _", [0, 1, 2, 1, 3, 4]),
        ("|:_ _[1] _[1]:| _[2] _[2]", [0, 1, 2, 0, 3, 4]),
        ("|:_ _[1]:| _[2]:| _", [0, 1, 0, 2, 3]),
        ("|:_ _[1]:| _[2]:| _[3] _", [0, 1, 0, 2, 0, 3, 4]),
        ("|:_ _[1,2,3]:| _[4]", [0, 1, 0, 1, 0, 1, 0, 2]),
        ("|:_ _[1]:| _[2] |:_ _:|", [0, 1, 0, 2, 3, 4, 3, 4]),
        ("|:_ _[1]:| _[2] _ _:|", [0, 1, 0, 2, 3, 4, 3, 4]),  # after the last ending a new section begins
        ("|:_ _[1]:| _", [0, 1, 0, 2]),  # a second ending without a bracket
        ("_ _F _DC", [0, 1, 2, 0, 1]),
        ("_ _S _F _DS _", [0, 1, 2, 3, 1, 2]),
        ("_ _O _DC _O _", [0, 1, 2, 0, 1, 3, 4]),
        ("_ _DC", [0, 1, 0, 1]),
        ("|:_ _:| _F _DC", [0, 1, 0, 1, 2, 3, 0, 1, 2]),  # on the way back repeats are not taken
        ("|:_ _[1]:| _[2] _F _DC", [0, 1, 0, 2, 3, 4, 0, 2, 3]),
        ("_ _F _:| _DC", [0, 1, 2, 0, 1, 2, 3, 0, 1]),
        ("_ _DS _", [0, 1, 0, 1, 2]),  # without a sign, from the beginning
    ],
)
def test_the_way_through_a_piece(text, order):
    assert playing_order(bars(text)) == order


SIGNS = st.builds(
    Signs,
    opens=st.booleans(),
    closes=st.sampled_from([0, 0, 0, 1, 2, 3, 10**9]),
    endings=st.frozensets(st.integers(0, 4) | st.just(10**9), max_size=3),
    bracket=st.integers(-1, 3),
    segno=st.booleans(),
    coda=st.booleans(),
    fine=st.booleans(),
    back=st.sampled_from(["", "", "capo", "segno"]),
)


@given(st.lists(SIGNS, max_size=12))
def test_every_way_has_an_end(found):
    order = playing_order(found)
    assert len(order) <= (MAX_PASSES + 1) * len(found)
    assert set(order) <= set(range(len(found)))


@given(st.lists(st.builds(Signs, opens=st.booleans(), closes=st.sampled_from([0, 1, 2, 3])), max_size=12))
def test_without_endings_and_leaps_every_bar_is_played(found):
    order = playing_order(found)
    assert list(dict.fromkeys(order)) == list(range(len(found)))


def test_music21_goes_the_same_way():
    from music21 import bar, repeat, stream
    from music21 import note as notes

    text = "_ |:_ _ _:|x3 _ |:_ _:| _"
    part = stream.Part()
    for number, one in enumerate(bars(text), 1):
        measure = stream.Measure(number=number)
        measure.append(notes.Note("C4", type="whole"))
        if one.opens:
            measure.leftBarline = bar.Repeat(direction="start")
        if one.closes:
            measure.rightBarline = bar.Repeat(direction="end", times=one.closes)
        part.append(measure)
    assert playing_order(bars(text)) == repeat.Expander(part).measureMap()
