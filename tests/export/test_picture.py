"""Pictures are read back as pixels: what is drawn where, in which colour, how strongly."""

import io
import sys

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from aurl.export.picture import picture, save_picture
from aurl.export.roll import PALETTE
from aurl.midi.score import Notes, Score, Tempos, TimeSignatures, Track


def notes(onset, duration=480, pitch=60, velocity=100):
    size = len(onset)
    columns = (np.broadcast_to(np.asarray(value), size) for value in (duration, pitch, velocity))
    return Notes(np.asarray(onset), *columns)


def pixels(score, **arguments):
    return matplotlib.image.imread(io.BytesIO(picture(score, **arguments)), format="png")[..., :3]


def coloured(image, colour, *, tolerance=0.02):
    """Where the picture has `colour`, unmixed."""
    return (np.abs(image - np.array(to_rgb(colour))) < tolerance).all(axis=2)


def song(seconds, *, tracks=1, drums=False, loud=127):
    beats = np.arange(0, seconds * 2)
    made = [Track(notes(beats * 480, 400, 50 + 5 * n + beats % 7, loud), program=8 * n) for n in range(tracks)]
    kit = [Track(notes(beats * 480, 10, 36 + beats % 2 * 6, loud), is_drum=True)] if drums else []
    return Score(tracks=(*made, *kit))


@pytest.mark.parametrize("seconds", [1, 10, 60, 300, 1500])
def test_any_length_fits_a_page(seconds):
    image = pixels(song(seconds))
    height, width, _ = image.shape
    assert width == 1540
    assert height < 4500
    strong = coloured(image, PALETTE[0])
    assert strong.any(axis=1).sum() > 10


def test_longer_pieces_have_more_systems():
    heights = [pixels(song(seconds)).shape[0] for seconds in (10, 40, 100)]
    assert heights[0] < heights[1] < heights[2]


def test_a_note_lasts_as_wide_as_it_sounds():
    """Four seconds of a piece of twelve, at double tempo in the middle: widths follow the seconds, not the ticks."""
    tempos = Tempos([0, 3840], [500_000, 250_000])
    score = Score(tracks=(Track(notes([0, 3840], [3840, 3840], 60, 127)),), tempos=tempos)
    columns = np.flatnonzero(coloured(pixels(score), PALETTE[0])[100:].any(axis=0))
    gap = np.flatnonzero(np.diff(columns) > 1)
    middle = columns[gap[0]] if len(gap) else columns[0] + 2 * len(columns) / 3
    left, right = middle - columns[0], columns[-1] - middle
    assert left / right == pytest.approx(2, rel=0.02)


def test_each_track_has_its_colour_and_the_legend_names_it():
    image = pixels(song(8, tracks=3))
    for colour in PALETTE[:3]:
        assert coloured(image, colour)[60:].any()
        assert coloured(image, colour)[:40].any()


def test_velocity_is_opacity():
    loud, soft = pixels(song(8, loud=127)), pixels(song(8, loud=20))
    assert coloured(loud, PALETTE[0])[60:].sum() > 1000
    assert coloured(soft, PALETTE[0])[60:].sum() == 0
    assert soft[60:].mean() > loud[60:].mean()


def test_drums_have_a_lane_below():
    image = pixels(song(8, tracks=1, drums=True))
    pitched = np.flatnonzero(coloured(image, PALETTE[0]).any(axis=1))
    drums = np.flatnonzero(coloured(image, PALETTE[1])[40:].any(axis=1)) + 40
    assert drums.min() > pitched.max()
    assert coloured(pixels(Score(tracks=song(8, drums=True).tracks[1:])), PALETTE[0])[40:].any()


def test_bar_lines_are_where_the_meter_says():
    def lines(numerator):
        meters = TimeSignatures([0], [numerator], [4])
        image = pixels(Score(tracks=song(12).tracks, time_signatures=meters))
        grey = (np.abs(image - 0xBB / 255) < 0.02).all(axis=2)
        return (grey.sum(axis=0) > image.shape[0] / 3).sum()

    assert lines(2) > 1.5 * lines(4) > 3


def test_many_tracks_of_few_programs_share_colours():
    score = Score(tracks=tuple(Track(notes([0], pitch=30 + n), program=n % 3, name=str(n)) for n in range(30)))
    image = pixels(score)
    assert coloured(image, PALETTE[2]).any()
    assert not coloured(image, PALETTE[3]).any()


@pytest.mark.parametrize(
    "score",
    [
        Score(),
        Score(tracks=(Track(),)),
        Score(tracks=(Track(notes([0], 0)),)),
        Score(tracks=(Track(notes([10**9], 10**9)),)),
    ],
    ids=["empty", "empty track", "one note of no length", "very long"],
)
def test_strange_scores_are_drawn_too(score):
    assert pixels(score).size


def test_names_are_not_read_as_formulas():
    score = Score(tracks=(Track(notes([0]), name=r"$\frac$ x_1^"),))
    assert pixels(score, title=r"$\undefined{").size


def test_same_score_same_bytes(tmp_path):
    save_picture(song(8), tmp_path / "a.png", title="a")
    assert (tmp_path / "a.png").read_bytes() == picture(song(8), title="a")


def test_no_window_system_is_touched():
    picture(song(2))
    assert "matplotlib.pyplot" not in sys.modules
