import json

from aurl.training.events import ALARM, DIVERGED, ROLLBACK, SPIKE, forget_after, read_events, write_event
from aurl.training.rollback import Rollback, apply_rollbacks, read_rollbacks
from aurl.training.state import TrainingState


def steps(path) -> list[tuple[int, str]]:
    return [(event["step"], event["kind"]) for event in read_events(path)]


def rollback(step, to_step, *, rate=0.5, epoch=1, batch=3) -> Rollback:
    return Rollback(step, to_step, epoch, batch, rate, seconds=9.0, message="a loss of nan")


def test_events_are_lines_of_json_and_half_ones_are_left_out(tmp_path):
    path = tmp_path / "events.jsonl"
    assert read_events(path) == []
    write_event(path, 3, ALARM, "too slow", {"name": "slower", "on": True})
    with path.open("a") as file:
        file.write('{"step": 4, "kind"')
    (event,) = read_events(path)
    assert event.items() >= {"step": 3, "kind": "alarm", "message": "too slow", "name": "slower", "on": True}.items()
    assert json.loads(path.read_text().splitlines()[0]) == event
    path.write_text('["no object"]\n{"step": "3", "kind": "alarm"}\nnonsense\n{"step": 5, "kind": "spike"}\n')
    assert steps(path) == [(5, SPIKE)]


def test_what_will_happen_again_is_forgotten_but_not_what_led_to_a_rollback(tmp_path):
    path = tmp_path / "events.jsonl"
    forget_after(path, 0)
    assert not path.exists()
    write_event(path, 120, ALARM, "")
    write_event(path, 240, SPIKE, "")
    rollback(250, 200).write(path)
    write_event(path, 210, ALARM, "")
    write_event(path, 310, SPIKE, "")
    kept = [(120, ALARM), (240, SPIKE), (250, ROLLBACK), (210, ALARM)]
    forget_after(path, 300)
    assert steps(path) == kept
    forget_after(path, 300)
    assert steps(path) == kept
    forget_after(path, 200)
    assert steps(path) == kept[:3]


def test_a_rollback_comes_back_as_it_was(tmp_path):
    path = tmp_path / "events.jsonl"
    assert read_rollbacks(path) == []
    rollback(250, 200).write(path)
    assert read_rollbacks(path) == [rollback(250, 200)]


def test_a_state_follows_the_rollbacks_that_it_does_not_know():
    state = TrainingState(step=200, epoch=1, batch=1, seconds=5.0)
    apply_rollbacks(state, [])
    assert (state.watch.rollbacks, state.watch.rate, state.batch) == (0, 1.0, 1)
    known = [rollback(250, 200, batch=4), rollback(230, 200, epoch=2, batch=2)]
    apply_rollbacks(state, known)
    assert (state.watch.rollbacks, state.watch.attempts, state.watch.rate) == (2, 2, 0.25)
    assert (state.step, state.epoch, state.batch, state.seconds) == (200, 2, 2, 9.0)
    saved = TrainingState.from_json(state.to_json())
    saved.epoch, saved.batch = 3, 0
    apply_rollbacks(saved, known)
    assert (saved.watch.rate, saved.epoch, saved.batch) == (0.25, 3, 0), "known already"


def test_after_a_run_was_given_up_it_may_try_again(tmp_path):
    path = tmp_path / "events.jsonl"
    rollback(250, 200).write(path)
    write_event(path, 240, DIVERGED, "a loss of nan")
    forget_after(path, 200)
    assert steps(path) == [(250, ROLLBACK), (240, DIVERGED)]
    state = TrainingState(step=200, batch=1)
    apply_rollbacks(state, read_rollbacks(path))
    assert (state.watch.rate, state.watch.attempts, state.batch) == (1.0, 0, 1)
    rollback(260, 200, rate=0.1).write(path)
    apply_rollbacks(state, read_rollbacks(path))
    assert (state.watch.rate, state.watch.attempts, state.watch.rollbacks) == (0.1, 1, 2)
