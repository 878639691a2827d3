import json

import pytest
import torch

from aurl.training.stabiliser import HISTORY, RECENT, Measurement, Stabiliser

CALM = {"warm_start": 0, "skip_above": 1.0, "skip_below": 0.0, "measure_every": 1}
CALM |= {"weight_cap": 0.0, "harm": 0.0, "r1_every": 4}


def stabiliser(**options) -> Stabiliser:
    return Stabiliser(**{**CALM, **options})


def play(one: Stabiliser, accuracy: float, *, times: int = 1, lengths: tuple[float, float] | None = None) -> list:
    """Updates of 8 targets, of which the discriminator is right about `accuracy`; the turns that were taken."""
    turns = []
    for _ in range(times):
        turn = one.turn
        turns.append(turn)
        heard = [4.0, 8.0] if turn.deceives else [0.0, 0.0]
        weighed = torch.tensor(lengths or (1.0, 1.0)) if turn.weighed else None
        one.take(torch.tensor([8 * accuracy, 16.0, 8.0, *heard]), weighed)
    return turns


def test_both_sides_learn_where_nothing_is_asked():
    one = stabiliser()
    for accuracy in (0.0, 0.5, 1.0):
        turns = play(one, accuracy, times=RECENT)
        assert all(turn.learns and turn.deceives and not turn.weighed for turn in turns)
    assert one.factor == 1.0
    assert one.told() == {
        "adversarial_factor": 1.0,
        "discriminator_skipped": 0,
        "generator_skipped": 0,
        "discriminator_accuracy_lately": 1.0,
    }


def test_the_discriminator_learns_alone_at_first():
    one = stabiliser(warm_start=3)
    turns = play(one, 0.7, times=2)
    assert not one.is_listened_to
    turns += play(one, 0.7)
    assert one.is_listened_to
    turns += play(one, 0.7, times=2)
    assert [turn.deceives for turn in turns] == [False] * 3 + [True] * 2
    assert all(turn.learns for turn in turns)


def test_a_discriminator_that_wins_waits_until_it_does_not():
    """Means of the last five: 1, 1, 1, 1, 1, .9, .85 (of 1 1 1 .75 .5), .75, .65, .55 …"""
    one = stabiliser(skip_above=0.9)
    assert [turn.learns for turn in play(one, 1.0, times=3)] == [True, False, False]
    assert [turn.learns for turn in play(one, 0.5, times=2)] == [False, True]  # 0.875, then 0.8
    assert one.told()["discriminator_skipped"] == 3
    assert all(turn.deceives for turn in play(one, 1.0, times=2))


def test_nobody_listens_to_a_discriminator_that_guesses():
    one = stabiliser(skip_below=0.5, warm_start=1)
    turns = play(one, 0.25, times=3)
    assert [turn.deceives for turn in turns] == [False] * 3
    assert all(turn.learns for turn in turns)
    assert one.told()["generator_skipped"] == 2  # the first was the warm start's
    assert [turn.deceives for turn in play(one, 1.0, times=3)] == [False, False, True]
    assert one.history[0].adversarial is None
    assert one.history[-1].adversarial == 0.5


def test_decisions_hold_for_measure_every_updates():
    one = stabiliser(skip_above=0.9, measure_every=4)
    turns = play(one, 1.0, times=9)
    assert [turn.measured for turn in turns] == [True, False, False, False] * 2 + [True]
    assert [turn.learns for turn in turns] == [True] + [False] * 8
    play(one, 0.0, times=3)
    assert one.accuracy == 1.0
    play(one, 0.0)
    assert [round(entry.accuracy, 4) for entry in one.history] == [1.0, 1.0, 1.0, 0.0]


def test_the_weight_is_the_balance_of_gradients_smoothed_and_capped():
    one = stabiliser(weight_cap=8.0)
    assert one.factor == 0.0  # nothing is heard before it is known how loud
    play(one, 0.7, lengths=(6.0, 2.0))
    assert one.factor == 3.0
    play(one, 0.7, lengths=(100.0, 1.0))
    assert one.factor == (3 + 8) / 2
    play(one, 0.7, lengths=(float("inf"), 1.0))  # an overflow in half precision is no measurement
    assert one.factor == (3 + 8) / 2
    play(one, 0.7, times=RECENT, lengths=(1.0, 4.0))
    assert one.factor == 0.25


def test_gradients_are_compared_as_soon_as_the_generator_listens_then_now_and_then():
    turns = play(stabiliser(weight_cap=8.0, measure_every=4, warm_start=2), 0.7, times=9)
    assert [turn.weighed for turn in turns] == [False, False, True, False, True, False, False, False, True]


def test_the_lazy_penalty_counts_steps_of_the_discriminator():
    one = stabiliser(r1_every=2, skip_above=0.9)
    assert [turn.regularised for turn in play(one, 0.5, times=4)] == [True, False, True, False]
    skipping = play(one, 1.0, times=12)
    assert [turn.regularised for turn in skipping if turn.learns][:4] == [True, False, True, False]
    assert not all(turn.learns for turn in skipping)


HARM = 0.01


def test_it_is_switched_off_after_harm_twice_in_a_row():
    one = stabiliser(harm=HARM)
    assert [one.validated(cost) for cost in (5.0, 4.0, 4.2)] == [None] * 3  # nobody has listened yet
    play(one, 0.97, times=RECENT)
    assert [one.validated(cost) for cost in (4.05, 4.03, 4.041)] == [None] * 3  # worse, not worse by 1 %, worse
    warning = one.validated(4.2)
    assert "5.0% more than the 4 before" in warning
    assert "1.0% 2 times in a row" in warning
    assert "lately: 0.97" in warning
    assert "discriminator.start" in warning
    assert (one.off, one.factor, one.told()["adversarial_factor"]) == (True, 0.0, 0.0)
    assert one.validated(9.0) is None


def test_without_a_validation_before_the_first_one_counts():
    one = stabiliser(harm=HARM)
    play(one, 0.7)
    assert [one.validated(cost) for cost in (9.0, 9.5)] == [None] * 2
    assert "9.5" in one.validated(9.5)


def test_each_stage_of_a_run_is_compared_with_itself():
    one = stabiliser(harm=HARM)
    one.validated(4.0)
    play(one, 0.7)
    one.validated(4.2)
    one.begin_stage()
    assert [one.validated(cost) for cost in (9.0, 8.0, 8.2, 8.2)] == [None] * 4  # of longer windows, perhaps
    play(one, 0.7)
    assert one.validated(8.2) is None
    assert "2.5% more than the 8 before" in one.validated(8.2)
    one.begin_stage()
    assert one.off, "what was given up stays so"


def test_it_may_do_all_the_harm_it_likes():
    one = stabiliser(harm=0.0)
    one.validated(4.0)
    play(one, 0.7)
    assert [one.validated(cost) for cost in (5.0, 6.0, float("nan"), 7.0)] == [None] * 4
    assert not one.off


def test_a_validation_that_is_no_number_is_no_harm():
    one = stabiliser(harm=HARM)
    one.validated(4.0)
    play(one, 0.7)
    assert [one.validated(cost) for cost in (5.0, float("nan"), 5.0)] == [None] * 3


@pytest.mark.parametrize("stop", [0, 1, 5, 6, 18])
def test_it_goes_on_as_if_it_had_not_stopped(stop):
    """Through JSON, with decisions, measurements and validations on the way; stops lie between measurements, too."""
    options = {"measure_every": 3, "skip_above": 0.8, "skip_below": 0.4, "weight_cap": 5.0, "warm_start": 4}
    options |= {"harm": HARM}
    told = []
    for resumed in (False, True):
        one, random = stabiliser(**options), torch.Generator().manual_seed(7)
        told.append([])
        for update in range(40):
            if resumed and update == stop:
                state = json.loads(json.dumps(one.state_dict()))
                one = stabiliser(**options)
                one.load_state_dict(state)
            accuracy, *lengths = torch.rand(3, generator=random).tolist()
            play(one, 0.8 * accuracy + 0.2 * (update > 20), lengths=tuple(lengths))
            told[-1].append((one.turn, one.told(), one.factor, one.validated(3 + 0.01 * accuracy), one.off))
    assert told[0] == told[1]
    assert len({turn for turn, *_ in told[0]}) > 3


def test_history_is_bounded():
    one = stabiliser()
    play(one, 0.5, times=HISTORY + 20)
    assert len(one.history) == HISTORY
    assert one.history[-1] == Measurement(HISTORY + 20, 0.5, 2.0, 0.5, None)


def test_other_memories_are_refused():
    with pytest.raises((KeyError, TypeError)):
        stabiliser().load_state_dict({"history": [], "seen": [0.0] * 5, "nonsense": 1})
