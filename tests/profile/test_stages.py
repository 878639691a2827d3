"""`[[stages]]`: each is checked as a profile of its own."""

import pytest
import tomli

from aurl.profile import Profile, ProfileError, describe_keys, load_profile, read_resolved
from aurl.profile.load import at_stage
from aurl.profile.template import describe_stage_keys

TWO = """
[[stages]]
name = "pretrain"
share = 0.7
set = { "training.lr" = 1e-3, "data.curriculum" = { kind = "length", epochs = 1.5 }, "model.dropout" = 0.3 }

[[stages]]
name = "polish"
share = 0.3
set = { training.lr = 1e-4, data = { seq_len = 128 } }
"""


@pytest.fixture
def load(places):
    def load_text(text, overrides=(), **options):
        (places.project / "mine.toml").write_text(text)
        return load_profile(["./mine.toml"], overrides, **options)

    return load_text


def faults_of(load, text, *args, **options):
    with pytest.raises(ProfileError) as caught:
        load(text, *args, **options)
    return {fault.key: fault for fault in caught.value.faults}


def stage(name="one", length="share = 1.0", changes=""):
    return f'[[stages]]\nname = "{name}"\n{length}\nset = {{ {changes} }}\n'


def test_a_stage_is_the_profile_with_something_laid_over_it(load):
    profile = load(f"[training]\nlr = 5e-3\nwarmup_steps = 7\n{TWO}")
    first, second = at_stage(profile, 0), at_stage(profile, 1)
    assert (profile.training.lr, first.training.lr, second.training.lr) == (5e-3, 1e-3, 1e-4)
    assert (first.training.warmup_steps, second.training.warmup_steps) == (7, 7)
    assert first.data.curriculum == {"kind": "length", "epochs": 1.5}
    assert (first.data.seq_len, second.data.seq_len) == (profile.data.seq_len, 128)
    assert (first.model.dropout, second.model.dropout) == (0.3, profile.model.dropout)
    assert (
        first.model_copy(update={"training": profile.training, "data": profile.data, "model": profile.model}) == profile
    )
    assert at_stage(Profile(), 0) == Profile()


def test_what_comes_from_above_counts_in_every_stage_that_does_not_say_otherwise(load):
    profile = load(TWO, ["training.lr=9e-3", "training.warmup_steps=3"])
    assert [at_stage(profile, number).training.lr for number in (0, 1)] == [1e-3, 1e-4]
    assert [at_stage(profile, number).training.warmup_steps for number in (0, 1)] == [3, 3]


def test_stages_come_back_from_a_run_folder(load, places):
    profile = load(TWO)
    (places.project / "resolved.toml").write_text(profile.to_toml())
    assert read_resolved(places.project / "resolved.toml") == profile
    assert [table["name"] for table in tomli.loads(profile.to_toml())["stages"]] == ["pretrain", "polish"]
    assert profile.values()["stages"][1]["share"] == 0.3
    assert profile.origin("stages").endswith("mine.toml")
    assert "stages" not in Profile().values()
    assert profile.hash != Profile().hash


def test_later_stages_replace_earlier_ones(load, places):
    (places.project / "other.toml").write_text(stage("only"))
    (places.project / "mine.toml").write_text(TWO)
    assert [one.name for one in load_profile(["./mine.toml", "./other.toml"]).stages] == ["only"]


def test_every_fault_is_told_with_stage_key_and_file(load):
    text = stage(
        "a", "share = 0.5", 'training.lrr = 1, "model.d_model" = 64, "loss.beta" = 2.0, "training.lr" = "fast"'
    )
    text += stage("b", "share = 0.5", '"data.curriculum" = { kind = "lenght" }, training.seed = 3')
    faults = faults_of(load, text)
    assert {key: fault.message for key, fault in faults.items()} == {
        "stages.a.training.lrr": "unknown key",
        "stages.a.model.d_model": "cannot change within a run",
        "stages.a.loss.beta": "has no effect in mode transformer",
        "stages.a.training.lr": "should be a number, not 'fast'",
        "stages.b.data.curriculum.kind": "unknown kind 'lenght', known: complexity, length",
        "stages.b.training.seed": "cannot change within a run",
    }
    assert all(fault.origin.endswith("mine.toml") for fault in faults.values())
    assert faults["stages.a.training.lrr"].suggestion == "did you mean training.lr?"


@pytest.mark.parametrize(
    "key",
    [
        *("prepare.min_notes = 3", "tokens.parts = false", "model.n_layers = 3", "latent.global_size = 32"),
        *("discriminator.width = 8", "training.precision = 'fp32'", "training.accumulation = 2"),
        *("training.max_steps = 3", "training.max_minutes = 3.0", "training.lora = {}"),
    ],
)
def test_what_a_run_keeps_cannot_change(load, key):
    faults = faults_of(load, stage(changes=key), flags={"model.mode": "vae_gan"})
    assert faults[f"stages.one.{key.partition(' ')[0]}"].message == "cannot change within a run"


def test_what_weights_know_nothing_of_can_change(load):
    keys = "model.dropout = 0.0, latent.word_dropout = 0.2, discriminator.lr = 1e-4"
    keys += ", loss.beta = 0.5, training.patience = 3"
    profile = load(stage(changes=keys), flags={"model.mode": "vae_gan"})
    now = at_stage(profile, 0)
    assert (now.model.dropout, now.latent.word_dropout, now.discriminator.lr) == (0.0, 0.2, 1e-4)
    assert (now.loss.beta, now.training.patience) == (0.5, 3)


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        (stage("a", "share = 0.5") + stage("b", "share = 0.4"), "stages", "the shares add up to 0.9, not to 1"),
        (stage("a", "share = 0.5") + stage("b", "steps = 4"), "stages", "all should have a share, or all"),
        (stage("a", ""), "stages.a", "needs either a share of the training or a number of steps"),
        (stage("a", "share = 1.0\nsteps = 4"), "stages.a", "needs either a share"),
        (stage("a", "share = 0.5") * 2, "stages.a", "a stage is named twice"),
        (stage("a", "share = 1.5"), "stages.a.share", "should be less than or equal to 1"),
        (stage("a", "length = 3"), "stages.a.length", "unknown key"),
        ("[[stages]]\nshare = 1.0\n", "stages.0.name", "is required"),
        ("[stages]\nshare = 1.0\n", "stages", "should be an array of tables"),
        ('stages = "all"\n', "stages", "should be an array of tables"),
    ],
)
def test_stages_that_make_no_training(load, text, key, said):
    assert said in faults_of(load, text)[key].message


def test_a_fault_of_the_run_itself_is_told_once(load):
    faults = faults_of(load, f'[training]\nlr = "fast"\n{TWO}')
    assert list(faults) == ["training.lr"]


def test_a_packaged_course_is_for_all_modes(places):
    for mode in ("transformer", "vae", "vae_gan"):
        assert [one.name for one in load_profile([mode, "course"]).stages] == ["pretrain", "finetune", "polish"]


def test_keys_of_stages_are_described():
    assert [key.key for key in describe_stage_keys()] == ["stages.name", "stages.share", "stages.steps", "stages.set"]
    assert all(key.description.endswith(".") and key.type for key in describe_stage_keys())
    assert not any(key.key.startswith("stages") for key in describe_keys())


# A teacher, and a model like another


def test_a_teacher_and_who_listens_need_each_other(load):
    assert (
        faults_of(load, '[training]\nteacher = "first"\n')["training.teacher"].suggestion
        == "add loss.terms.distillation"
    )
    assert "needs a teacher" in faults_of(load, "[loss.terms.distillation]\n")["loss.terms.distillation"].message
    profile = load('[training]\nteacher = "first"\n[loss.terms.distillation]\ntemperature = 3.0\n')
    assert profile.loss.terms == {"distillation": {"weight": 1.0, "temperature": 3.0}}


def test_a_teacher_may_be_listened_to_in_a_stage_only(load):
    listening = stage(changes='"loss.terms.distillation.weight" = 2.0')
    profile = load(f'[training]\nteacher = "first"\n{listening}')
    assert at_stage(profile, 0).loss.terms["distillation"]["weight"] == 2.0
    assert "stages.one.loss.terms.distillation" in faults_of(load, listening)


def test_a_model_like_another_runs(places, load):
    run = load_profile(["tiny"], ["model.dropout=0.4", "training.lr=1e-5", "model.mode=vae", "latent.global_size=64"])
    (places.project / "profile.toml").write_text(run.to_toml())
    like = {"like": places.project / "profile.toml", "default_size": "small"}
    profile = load_profile([], [], **like)
    assert (profile.model, profile.latent, profile.default_size) == (run.model, run.latent, None)
    assert profile.training.lr != 1e-5
    assert load_profile([], ["model.dropout=0.0"], **like).model.dropout == 0.0
    assert load_profile(["vae_gan"], [], **like).model.mode == "vae_gan"
    (places.user / "aurl.toml").write_text("[model]\nd_model = 512\n")
    assert load_profile([], [], **like).model.d_model == run.model.d_model
