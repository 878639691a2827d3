"""Each rule on a history that it is for, on one that is nearly so, and on one of a run that goes well."""

import json
import logging
import math
import re

import pytest

from aurl.profile import known_keys
from aurl.training.advice import KEPT, RULES, History, advise
from aurl.training.alarms import Alarms
from aurl.training.events import read_events


def healthy(lines=240) -> list[dict[str, float]]:
    """Records of a vae_gan that learns: a line of training every 10 steps, a validation every 100."""
    records: list[dict[str, float]] = []
    for n in range(1, lines + 1):
        loss = 2 + 3 * math.exp(-n / 60)
        records.append(
            {
                "step": 10 * n,
                "train/loss": loss,
                "train/nats_per_token": loss,
                "loss_variance": 0.01,
                "gradient_norm": 0.8,
                "clipped": 0.2,
                "weight_norm": 50 + 1e-3 * n,
                "tokens_per_second": 1000 + 30 * math.sin(n),
                "train/discriminator_accuracy": 0.75,
            }
        )
        if n % 10 == 0:
            valid = 8 + 12 * math.exp(-n / 80)
            use = {"valid/shuffled_cost_all": 0.2, "valid/kl_per_token": 0.4, "valid/active_units_fine": 0.6}
            records.append({"step": 10 * n, "valid/elbo_per_note": valid, "valid/nats_per_note": valid - 1, **use})
    return records


def changed(last: int, **values) -> list[dict[str, float]]:
    """The newest `last` records that have them say this of names (`__` is `/`), numbers or functions of them."""
    records = healthy()
    for key, value in values.items():
        name = key.replace("__", "/")
        for record in [record for record in records if name in record][-last:]:
            record[name] = value(record[name]) if callable(value) else value
    return records


UNHEARD = {"valid__shuffled_cost_all": 0.005}
CASES = {
    "posterior_collapse": changed(4, valid__kl_per_token=0.001, **UNHEARD),
    "unheard_latents": changed(4, **UNHEARD),
    "discriminator_wins": changed(8, train__discriminator_accuracy=0.99),
    "discriminator_loses": changed(8, train__discriminator_accuracy=0.5),
    "worse_than_guessing": changed(8, train__nats_per_token=20.0),
    "standing_still": changed(4, weight_norm=50.5),
    "always_clipped": changed(100, clipped=1.0),
    "restless_loss": changed(8, loss_variance=4.0),
    "overfitting": changed(5, valid__elbo_per_note=lambda value: value * 1.2),
    "slower": changed(8, tokens_per_second=400.0),
    "plateau": changed(6, valid__elbo_per_note=lambda value: value + 1.5),
}
NEARLY = {
    "posterior_collapse": changed(3, valid__kl_per_token=0.001, **UNHEARD),
    "unheard_latents": changed(4, valid__shuffled_cost_all=0.03),
    "discriminator_wins": changed(4, train__discriminator_accuracy=0.99),
    "discriminator_loses": changed(8, train__discriminator_accuracy=0.6),
    "worse_than_guessing": changed(7, train__nats_per_token=20.0),
    "standing_still": changed(3, weight_norm=50.5),
    "always_clipped": changed(90, clipped=1.0),
    "restless_loss": changed(8, loss_variance=0.5),
    "overfitting": changed(2, valid__elbo_per_note=lambda value: value * 1.2),
    "slower": changed(8, tokens_per_second=700.0),
    "plateau": changed(4, valid__elbo_per_note=lambda value: value + 1.5),
}


def test_every_rule_has_its_cases():
    assert set(CASES) == set(NEARLY) == set(RULES)


def test_nothing_is_said_of_a_run_that_goes_well():
    history = History({})
    for record in healthy():
        history.add(record["step"], record)
        assert advise(history) == {}


@pytest.mark.parametrize("name", CASES)
def test_a_rule_says_what_it_is_for_and_no_other_does(name):
    found = advise(History.of(CASES[name]))
    related = {"overfitting": {"plateau"}, "plateau": {"overfitting"}}
    assert {name} <= set(found) <= {name} | related.get(name, set())
    assert found[name].name == name
    assert len(found[name].text) > 20
    assert len(found[name].next_step) > 20


@pytest.mark.parametrize("name", NEARLY)
def test_what_is_nearly_so_is_not_said(name):
    assert name not in advise(History.of(NEARLY[name]))


def test_a_collapse_may_show_in_active_units_alone():
    found = advise(History.of(changed(4, valid__active_units_fine=0.0, **UNHEARD)))
    assert set(found) == {"posterior_collapse"}


def test_a_model_without_latents_is_validated_by_its_likelihood():
    records = [
        {key: value for key, value in record.items() if "elbo" not in key}
        for record in changed(5, valid__nats_per_note=lambda value: value * 1.3)
    ]
    assert "overfitting" in advise(History.of(records))


def test_a_history_does_not_grow_for_ever():
    history = History({})
    for step in range(3 * KEPT):
        history.add(step, {"train/loss": 1.0, "name": "text", "broken": math.nan})
    assert KEPT <= len(history.steps("train/loss")) <= 2 * KEPT
    assert history.steps("train/loss")[-1] == (3 * KEPT - 1, 1.0)
    assert set(history.values) == {"train/loss"}
    assert history.last("train/loss", 3 * KEPT) == []


def test_an_alarm_is_told_once_and_once_when_it_is_over(tmp_path, caplog):
    metrics, events = tmp_path / "metrics.jsonl", tmp_path / "events.jsonl"
    records = [*CASES["slower"], *({"step": 3000 + n, "tokens_per_second": 1000.0} for n in range(9))]
    alarms = Alarms(metrics, events)
    with caplog.at_level(logging.WARNING):
        for record in records:
            alarms.note(record["step"], record)
    told = [(event["kind"], event["name"], event["on"]) for event in read_events(events)]
    assert told == [("alarm", "slower", True), ("alarm", "slower", False)]
    assert caplog.text.count("400 tokens per second") == 1
    assert "advice" in read_events(events)[0]


def test_what_was_told_before_a_stop_is_not_told_again(tmp_path):
    metrics, events = tmp_path / "metrics.jsonl", tmp_path / "events.jsonl"
    metrics.write_text("".join(json.dumps(record) + "\n" for record in CASES["discriminator_wins"]))
    alarms = Alarms(metrics, events)
    assert set(alarms.active) == {"discriminator_wins"}
    alarms.note(2410, {"train/discriminator_accuracy": 0.99})
    assert read_events(events) == []
    for n in range(8):
        alarms.note(2420 + n, {"train/discriminator_accuracy": 0.7})
    assert [event["on"] for event in read_events(events)] == [False]


def test_a_stage_has_a_history_of_its_own(tmp_path):
    metrics, events = tmp_path / "metrics.jsonl", tmp_path / "events.jsonl"
    records = CASES["discriminator_wins"]
    told = Alarms(metrics, events)
    for record in records:
        told.note(record["step"], record)
    metrics.write_text("".join(json.dumps(record) + "\n" for record in records))
    last = records[-1]["step"]
    anew = Alarms(metrics, events, since=last)
    assert anew.active == {}
    for _ in range(2):  # killed, and begun once more
        anew.begin_stage(last)
        assert [(event["name"], event["on"]) for event in read_events(events)] == [
            ("discriminator_wins", True),
            ("discriminator_wins", False),
        ]
    anew.note(last + 10, {"train/discriminator_accuracy": 0.99})
    assert len(read_events(events)) == 2, "one line of the new stage is not enough"


def test_advice_names_keys_that_there_are():
    told = " ".join(advise(History.of(records))[name].next_step for name, records in CASES.items())
    named = set(re.findall(r"\b(?:training|loss|data|model|latent|discriminator)\.[a-z_]+", told))
    assert len(named) > 10
    keys = [*known_keys(), "loss.free_bits_"]
    assert named <= set(keys)
