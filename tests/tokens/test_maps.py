import json

import pytest
from hypothesis import given
from tests.support.scores import scores

from aurl.errors import DamagedError
from aurl.tokens.maps import Maps


@given(scores(max_tracks=0))
def test_maps_survive_json(piece):
    for is_drum in (False, True):
        maps = Maps.of(piece, is_drum=is_drum)
        assert Maps.from_json(json.loads(json.dumps(maps.to_json()))) == maps


@pytest.mark.parametrize(
    "change",
    [
        {"ticks_per_beat": 0},
        {"ticks_per_beat": 2**15},
        {"ticks_per_beat": None},
        {"tempos": [[0]]},
        {"tempos": [[0, "fast"]]},
        {"tempos": 7},
        {"tempos": [[-1, 500_000]]},
        {"key_signatures": [[0, 0, 0], [0]]},
        {"time_signatures": [[0, 2**70, 4]]},
        {"tempos": [[480, 500_000], [0, 500_000]]},
    ],
    ids=str,
)
def test_damaged_maps_are_named_as_such(change):
    with pytest.raises(DamagedError, match="maps"):
        Maps.from_json(Maps().to_json() | change)


def test_maps_without_a_field_are_damaged():
    with pytest.raises(DamagedError, match="maps"):
        Maps.from_json({"ticks_per_beat": 480})
