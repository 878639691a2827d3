import optuna
import pytest
from tests.support.training import latent_profile, small_profile

from aurl.profile import ProfileError, overlay
from aurl.tuning.space import Space


def space_of(search, *, base=None, is_grid=False):
    return Space.of(base or small_profile(), search, is_grid=is_grid)


def drawn(space, count=60):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space.suggest(study.ask()) for _ in range(count)]


def test_values_lie_where_they_may():
    search = {"training.lr": "log:1e-4:1e-2", "model.dropout": "0:1e-1", "model.n_layers": "1:3"}
    for values in drawn(space_of(search)):
        assert list(values) == list(search)
        assert 1e-4 <= values["training.lr"] <= 1e-2
        assert 0 <= values["model.dropout"] <= 0.1
        assert values["model.n_layers"] in (1, 2, 3)
        assert isinstance(values["model.n_layers"], int)


def test_whole_bounds_of_a_fraction_are_no_whole_numbers():
    found = {values["training.min_lr_ratio"] for values in drawn(space_of({"training.min_lr_ratio": "0:1"}), 5)}
    assert len(found) == 5
    assert all(0 < value < 1 for value in found)


def test_options_count_only_with_kinds_that_have_them():
    """Whatever the order in which they are given."""
    space = space_of({"training.optimizer.momentum": "0.8:0.99", "training.optimizer.kind": "muon|adamw"})
    found = drawn(space)
    for values in found:
        assert ("training.optimizer.momentum" in values) == (values["training.optimizer.kind"] == "muon")
        assert space.profile(values).training.optimizer["kind"] == values["training.optimizer.kind"]
    assert {values["training.optimizer.kind"] for values in found} == {"muon", "adamw"}


def test_choices_are_what_they_were():
    patterns = [["full"], ["full", "sliding_window"]]
    space = space_of({"model.pattern": patterns, "training.schedule": [{"kind": "constant"}, {"kind": "cosine"}]})
    found = drawn(space, 30)
    assert {tuple(values["model.pattern"]) for values in found} == {tuple(pattern) for pattern in patterns}
    assert {values["training.schedule"]["kind"] for values in found} == {"constant", "cosine"}
    assert space.profile(found[0]).model.pattern == tuple(found[0]["model.pattern"])


def test_grid_is_every_combination_once():
    space = space_of(
        {
            "training.optimizer.kind": "muon|adamw",
            "training.optimizer.momentum": "0.8:0.9:2",
            "training.lr": "log:1e-3:1e-2:2",
        },
        is_grid=True,
    )
    points = space.grid()
    assert len(points) == 2 * 2 + 2
    assert len({tuple(sorted(point.items())) for point in points}) == 6
    assert [space.values(point)["training.optimizer.kind"] for point in points].count("adamw") == 2


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({}, "nothing is searched"),
        ({"training.rate": "1e-4:1e-2"}, "training.rate: unknown key"),
        ({"model.dropout": "0:1.5"}, "model.dropout: should be less than 1"),
        ({"training.lr": "log:1e-2:1e-4"}, "not below"),
        ({"training.optimizer.kind": "muon|sgd"}, "unknown kind 'sgd'"),
        ({"training.optimizer.momentum": "0.5:2"}, "momentum"),
        ({"training.optimizer.kind": "muon|adamw", "training.optimizer.speed": "1:2"}, "speed"),
        ({"model.n_layers": "1.5:3.5"}, "whole number"),
        ({"prepare.min_notes": "1:3"}, "was settled"),
        ({"training.lr": "1e-4:1e-2:3"}, "method grid"),
        ({"latent.word_dropout": "0:0.5"}, "no effect in mode transformer"),
        ({"model.n_heads": "7|9"}, "even number"),
    ],
)
def test_every_fault_is_found_before_anything_starts(search, said):
    with pytest.raises(ProfileError) as caught:
        space_of(search)
    assert said in str(caught.value)
    assert all("--set" not in fault.origin for fault in caught.value.faults)


def test_all_faults_at_once():
    with pytest.raises(ProfileError) as caught:
        space_of({"training.rate": "1:2", "model.dropout": "0:3", "training.lr": "x"})
    assert {fault.key for fault in caught.value.faults} >= {"training.rate", "model.dropout", "training.lr"}


def test_a_grid_needs_points():
    with pytest.raises(ProfileError, match="number of points"):
        space_of({"training.lr": "1e-4:1e-2"}, is_grid=True)


def test_values_that_are_possible_in_some_company_are_no_fault():
    """A width of 20 has no even share for 4 heads, but for 2 it has."""
    base = small_profile(model__d_model=16, model__n_heads=4)
    space = space_of({"model.d_model": "16|20", "model.n_heads": "2|4"}, base=base)
    with pytest.raises(ProfileError, match="even number"):
        space.profile({"model.d_model": 20, "model.n_heads": 4})


def test_overlay_changes_only_what_it_is_told():
    base = latent_profile("vae")
    changed = overlay(base, {"latent.prior.kind": "mixture", "latent.word_dropout": 0.25}, "--search")
    different = {key for key, value in changed.values().items() if base.values()[key] != value}
    assert different == {"latent.prior", "latent.word_dropout"}
    assert changed.latent.prior["kind"] == "mixture"
    assert changed.origin("latent.word_dropout") == "--search latent.word_dropout"
    assert overlay(base, {}, "--search") == base
