import numpy as np

from aurl.tokens.velocity import BIN_OF_VELOCITY, VELOCITY_OF_BIN


def test_levels_rise_and_are_equally_wide():
    levels = BIN_OF_VELOCITY[1:128]
    assert (np.diff(levels) >= 0).all()
    assert np.bincount(levels).tolist() == [22, 21, 21, 21, 21, 21]


def test_a_level_gives_a_velocity_of_its_own_middle():
    assert BIN_OF_VELOCITY[VELOCITY_OF_BIN].tolist() == list(range(6))
    assert VELOCITY_OF_BIN.tolist() == [11, 33, 54, 75, 96, 117]
    errors = np.abs(VELOCITY_OF_BIN[BIN_OF_VELOCITY[1:128]].astype(int) - np.arange(1, 128))
    assert errors.max() == 11


def test_velocities_outside_midi_take_the_outer_levels():
    assert BIN_OF_VELOCITY[0] == 0
    assert (BIN_OF_VELOCITY[128:] == 5).all()
