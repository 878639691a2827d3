"""Files are cut into tasks that take about as long, whatever is in them."""

import pytest

from aurl.data.encode import Wanted
from aurl.data.plan import MIN_TASK_BYTES, NOTATION_COST, cut
from aurl.data.prepare import recipe_of
from aurl.profile import load_profile

FILES = 200
BYTES = MIN_TASK_BYTES // NOTATION_COST // 8
"""Eight written pieces fill a task."""


def tasks(folder, name, *, size=BYTES, finished=""):
    files = [Wanted(name.format(number), f"{number:064x}", size, finished) for number in range(FILES)]
    found = cut(files, recipe_of(load_profile()), folder=folder, shard_tokens=10**6)
    assert [file for task in found for file in task.sources] == files
    return [len(task.sources) for task in found]


@pytest.mark.parametrize(
    "name", ["{}.abc", "/music/book.abc!/{}", "{}.krn.gz", "pack.zip!/{}.mxl", "https://host/{}.musicxml?a=b"]
)
def test_written_music_costs_more_than_its_bytes(tmp_path, name):
    assert tasks(tmp_path, name) == [8] * (FILES // 8)


@pytest.mark.parametrize("size", [BYTES, -1])
def test_midi_and_what_is_only_copied_cost_their_bytes(tmp_path, size):
    as_midi = tasks(tmp_path, "{}.mid", size=size)
    assert len(as_midi) < FILES // 8
    assert tasks(tmp_path, "{}.abc", size=size, finished="/music/x.safetensors") == as_midi
