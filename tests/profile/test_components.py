"""Components are checked against the typed arguments of their factories."""

import sys
from types import ModuleType
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Lt

from aurl.profile import ProfileError, load_profile
from aurl.registry import HOMES, Registry


@pytest.fixture
def registries(places, monkeypatch):
    """Registries of our own under the real names, so that only the mechanism is tested."""
    module = ModuleType("kinds_for_a_test")
    split, steps, attention = (Registry(name) for name in ("split", "preprocess", "attention"))

    @split.register("hash")
    def by_hash(*, valid: Annotated[float, Ge(0), Lt(1)] = 0.1, salt: str = "") -> None:
        """By hash."""

    @split.register("names")
    def by_names(*, names: tuple[str, ...], limit: int | None = None) -> None:
        """By name."""

    @steps.register("grid")
    def grid(*, step: Literal["1/8", "1/16"] = "1/16", strength: Annotated[float, Ge(0)] = 1.0) -> None:
        """Move to a grid."""

    @attention.register("full")
    def full(d_model: int, n_heads: int) -> None:
        """All positions."""

    @attention.register("window")
    def window(d_model: int, n_heads: int, *, size: Annotated[int, Ge(1)] = 512) -> None:
        """Some positions."""

    @attention.register("sliding_window")  # what the profile's defaults name
    def sliding_window(d_model: int, n_heads: int, *, window: int = 512) -> None:
        """Some positions."""

    module.split, module.preprocess, module.attention = split, steps, attention
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in ("split", "preprocess", "attention"):
        monkeypatch.setitem(HOMES, name, (module.__name__, name))


CHECKED = ("split", "preprocess", "attention")


def load(*overrides, check=CHECKED):
    return load_profile((), overrides, check=check)


def faults_of(*overrides):
    with pytest.raises(ProfileError) as caught:
        load(*overrides)
    return {fault.key: str(fault) for fault in caught.value.faults}


@pytest.mark.usefixtures("registries")
class TestComponents:
    def test_options_that_are_left_out_are_filled_in(self):
        profile = load('prepare.preprocess=[{kind="grid"}, {kind="grid", step="1/8"}]', "prepare.split.valid=0.2")
        assert profile.prepare.split == {"kind": "hash", "valid": 0.2, "salt": ""}
        assert profile.prepare.preprocess == (
            {"kind": "grid", "step": "1/16", "strength": 1.0},
            {"kind": "grid", "step": "1/8", "strength": 1.0},
        )

    def test_options_of_every_attention_kind_in_the_pattern_are_filled_in(self):
        profile = load('model.pattern=["full", "window", "window"]')
        assert profile.model.attention == {"full": {}, "window": {"size": 512}}
        assert load('model.pattern=["window"]', "model.attention.window.size=3").model.attention == {
            "window": {"size": 3}
        }

    def test_faults_of_several_components_come_together_with_other_faults(self):
        found = faults_of(
            'prepare.split={kind="hsh"}',
            'prepare.preprocess=[{kind="grid"}, {kind="grid", step="1/7", strenght=1}, {step="1/8"}]',
            'model.pattern=["full", "ful"]',
            "model.attention.window.size=0",
            "model.attention.nothing={}",
            "training.lr=0",
        )
        assert found.keys() == {
            "prepare.split.kind",
            "prepare.preprocess.1.step",
            "prepare.preprocess.1.strenght",
            "prepare.preprocess.2",
            "model.pattern",
            "model.attention.window.size",
            "model.attention.nothing",
            "training.lr",
        }
        assert "did you mean hash?" in found["prepare.split.kind"]
        assert "--set prepare.split" in found["prepare.split.kind"]
        assert "did you mean prepare.preprocess.1.strength?" in found["prepare.preprocess.1.strenght"]
        assert "one of grid" in found["prepare.preprocess.2"]
        assert "known: full, sliding_window, window" in found["model.attention.nothing"]
        assert "greater than or equal to 1, not 0" in found["model.attention.window.size"]

    def test_required_option_is_named(self):
        assert "is required" in faults_of('prepare.split={kind="names"}')["prepare.split.names"]

    def test_absent_option_without_default_value_is_left_out_of_the_file(self):
        profile = load('prepare.split={kind="names", names=["a"]}')
        assert profile.prepare.split == {"kind": "names", "names": ["a"]}

    def test_registries_that_are_not_asked_for_are_not_looked_into(self):
        profile = load('prepare.split={kind="anything", x=1}', check=("attention",))
        assert profile.prepare.split == {"kind": "anything", "x": 1}


def test_registries_that_are_not_asked_for_are_not_imported(places, monkeypatch):
    for name in HOMES:
        monkeypatch.setitem(HOMES, name, ("no_such_module", "NOTHING"))
    assert load(check=()).prepare.split == {"kind": "hash"}
