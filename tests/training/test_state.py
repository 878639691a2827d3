import json

import pytest
import torch

from aurl.errors import DamagedError
from aurl.training.random_state import random_tensors, seed_process, set_random_tensors
from aurl.training.state import TrainingState, Window

CPU = torch.device("cpu")


def test_floats_come_back_bit_by_bit():
    window = Window(nats=2**0.5, tokens=7, parts={"kl_fine": 3**0.5})
    state = TrainingState(step=3, seconds=0.1 + 0.2, best_nats_per_note=1 / 3, window=window)
    assert TrainingState.from_json(json.loads(json.dumps(state.to_json()))) == state


@pytest.mark.parametrize("value", [None, [], {"step": "many"}, {"window": 3}])
def test_what_is_no_state_is_refused(value):
    with pytest.raises(DamagedError):
        TrainingState.from_json(value)


def test_random_numbers_go_on_where_they_were():
    seed_process(5, rank=1)
    kept = random_tensors(CPU)
    expected = torch.rand(3)
    torch.rand(100)
    set_random_tensors(kept, CPU)
    assert torch.equal(torch.rand(3), expected)


def test_processes_and_seeds_differ_and_repeat():
    def first(seed, rank):
        seed_process(seed, rank)
        return torch.rand(1).item()

    numbers = [first(seed, rank) for seed in range(3) for rank in range(3)]
    assert len(set(numbers)) == 9
    assert first(1, 2) == numbers[5]


@pytest.mark.parametrize("tensors", [{}, {"cpu": torch.zeros(3)}, {"cpu": torch.zeros(3, dtype=torch.uint8)}])
def test_a_wrong_random_state_is_refused(tensors):
    with pytest.raises(DamagedError):
        set_random_tensors(tensors, CPU)
