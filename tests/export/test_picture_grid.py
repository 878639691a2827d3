"""Grids are read back as pixels: which cells there are, and that all of them are drawn to one scale."""

import io

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from tests.support.scores import score, track

from aurl.export.picture_grid import MAX_PIXELS, picture_grid
from aurl.export.roll import PALETTE


def pixels(*arguments, **options):
    return matplotlib.image.imread(io.BytesIO(picture_grid(*arguments, **options)), format="png")[..., :3]


def boxes(image, colour=PALETTE[0]):
    """(top, bottom, left, right) of what has `colour` in each cell of one row of cells, from left to right."""
    found = (np.abs(image - np.array(to_rgb(colour))) < 0.02).all(axis=2)
    columns = np.flatnonzero(found.any(axis=0))
    groups = np.split(columns, np.flatnonzero(np.diff(columns) > 3) + 1)
    rows = [np.flatnonzero(found[:, group].any(axis=1)) for group in groups]
    return [(row[0], row[-1], group[0], group[-1]) for row, group in zip(rows, groups, strict=True)]


def one(onset, duration, pitch, **options):
    """A single loud note, times in beats of half a second."""
    return score(track((32 * onset, 32 * duration, pitch, 127), **options))


def test_cells_share_seconds_and_pitches():
    """A note of 4 s is twice as wide as one of 2 s in the next cell, and an octave above is higher by half of two."""
    low, high, higher = boxes(pixels([[one(0, 8, 48), one(0, 4, 60), one(0, 4, 72)]]))
    assert (low[3] - low[2]) / (high[3] - high[2]) == pytest.approx(2, rel=0.05)
    assert low[0] - high[0] > 10
    assert low[0] - high[0] == pytest.approx(high[0] - higher[0], abs=1)


def test_rows_are_below_each_other_and_may_be_short():
    wide = pixels([[one(0, 4, 60)] * 3, [one(0, 4, 60)]])
    assert len(boxes(wide)) == 3
    low, high = boxes(wide)[0][:2]
    assert high - low > 100, "the first column has a note in both rows"
    assert boxes(wide)[1][1] - boxes(wide)[1][0] < 20


def test_labels_and_title_are_drawn_as_text():
    plain = pixels([[one(0, 4, 60)]])
    titled = pixels([[one(0, 4, 60)]], ["$x^2"], ["$a_b$ <i>" * 9], title="dimension $3")
    assert titled.shape[0] > plain.shape[0]
    dark = (titled.max(axis=2) < 0.3).sum() - (plain.max(axis=2) < 0.3).sum()
    assert dark > 100


def test_drums_are_below_the_pitches():
    kit = track((0, 1, 36, 127), (32, 1, 42, 127), is_drum=True)
    image = pixels([[score(track((0, 128, 60, 127)), kit)]])
    [(_, note_bottom, *_)] = boxes(image)
    drums = np.flatnonzero((np.abs(image - np.array(to_rgb(PALETTE[1]))) < 0.3).all(axis=2).any(axis=1))
    assert drums.min() > note_bottom


def test_scores_without_notes_are_empty_cells():
    assert pixels([[score(), score(track())]]).shape[0] > 100


def test_large_grids_stay_within_what_can_be_opened():
    height, width, _ = pixels([[score()] * 80]).shape
    assert height < width <= MAX_PIXELS


def test_same_scores_same_bytes():
    assert picture_grid([[one(0, 4, 60)]]) == picture_grid([[one(0, 4, 60)]])


@pytest.mark.parametrize("arguments", [([],), ([[]],), ([[score()]], ["a", "b"]), ([[score()]], ["a"], ["b", "c"])])
def test_grids_that_make_no_sense(arguments):
    with pytest.raises(ValueError, match=r"without scores|labels"):
        picture_grid(*arguments)
