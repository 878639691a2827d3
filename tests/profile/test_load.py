"""Layers in their documented order, every fault at once, and the origin of every value."""

import pickle

import pytest
import tomli
from pydantic import ValidationError

from aurl.errors import ExitCode, NotFoundError
from aurl.profile import SIZES, Profile, ProfileError, known_keys, list_profiles, load_profile, read_resolved

LEVELS = ("packaged", "user", "project", "first --profile", "second --profile", "variable", "--set", "flag")


@pytest.fixture
def load(places):
    def load_without_components(names=(), overrides=(), **options):
        return load_profile(names, overrides, **({"check": ()} | options))

    return load_without_components


def faults_of(load, *args, **options):
    with pytest.raises(ProfileError) as caught:
        load(*args, **options)
    assert caught.value.exit_code == ExitCode.USAGE
    assert all(str(fault) in str(caught.value) for fault in caught.value.faults)
    return {fault.key: fault for fault in caught.value.faults}


class TestOrder:
    @pytest.mark.parametrize("highest", range(len(LEVELS)), ids=LEVELS)
    def test_each_layer_wins_over_all_below_it(self, places, load, monkeypatch, highest):
        """Every level up to `highest` sets the seed to its own number, so that only the order decides."""
        names, overrides, flags = ["small"], [], {}
        files = {1: places.user / "aurl.toml", 2: places.project / "aurl.toml"}
        files |= {3: places.project / "first.toml", 4: places.project / "second.toml"}
        for level in range(1, highest + 1):
            if level in files:
                files[level].write_text(f"[training]\nseed = {level}")
            if level in (3, 4):
                names.append(str(files[level]))
        if highest >= 5:
            monkeypatch.setenv("AURL_TRAINING__SEED", "5")
        if highest >= 6:
            overrides.append("training.seed=6")
        if highest >= 7:
            flags["training.seed"] = 7
        profile = load(names, overrides, flags=flags)
        origins = ["default", *(str(files[level]) for level in (1, 2, 3, 4))]
        origins += ["AURL_TRAINING__SEED", "--set training.seed", "command line"]
        assert profile.training.seed == highest
        assert profile.origin("training.seed") == origins[highest]

    def test_flags_that_were_not_given_change_nothing(self, load):
        assert load(["small"], flags={"training.max_steps": None}) == load(["small"])

    def test_nearest_project_file_counts_alone(self, places, load):
        (places.project / "aurl.toml").write_text("[training]\nseed = 1\nlr = 0.5")
        inner = places.project / "inner"
        inner.mkdir()
        (inner / "aurl.toml").write_text("[training]\nseed = 2")
        profile = load(start=inner)
        assert profile.training.seed == 2
        assert profile.training.lr == Profile().training.lr

    def test_project_file_may_name_the_home(self, places, load):
        (places.project / "aurl.toml").write_text('home = "x"\n[training]\nseed = 1')
        assert load().training.seed == 1

    def test_tables_merge_and_arrays_replace(self, places, load):
        (places.project / "a.toml").write_text('[tokens]\nheader = ["tempo", "key"]\nparts = false')
        (places.project / "b.toml").write_text('[tokens]\nheader = ["key"]')
        profile = load(["./a.toml", "./b.toml"])
        assert profile.tokens.header == ("key",)
        assert profile.tokens.parts is False

    def test_another_kind_does_not_inherit_the_options_of_the_old_one(self, places, load):
        (places.project / "a.toml").write_text('[prepare]\nsplit = { kind = "hash", valid = 0.2 }')
        assert load(["./a.toml"], ["prepare.split.test=0.3"]).prepare.split == {
            "kind": "hash",
            "valid": 0.2,
            "test": 0.3,
        }
        changed = load(["./a.toml"], ['prepare.split={kind="glob", test=["x"]}'])
        assert changed.prepare.split == {"kind": "glob", "test": ["x"]}
        assert changed.origin("prepare.split.valid") == "default"


class TestExtends:
    def test_parents_come_below_and_paths_start_from_the_file(self, places, load):
        (places.project / "sub").mkdir()
        (places.project / "sub" / "base.toml").write_text('extends = "tiny"\n[training]\nseed = 1\nlr = 0.25')
        (places.project / "top.toml").write_text('extends = "sub/base.toml"\n[training]\nseed = 2')
        profile = load(["./top.toml"])
        assert (profile.model.d_model, profile.training.lr, profile.training.seed) == (64, 0.25, 2)
        assert profile.origin("model.d_model") == "packaged tiny"
        assert profile.origin("training.lr").endswith("sub/base.toml")

    def test_later_parents_win(self, places, load):
        (places.project / "top.toml").write_text('extends = ["base", "tiny"]')
        assert load(["./top.toml"]).model.d_model == 64

    def test_users_profile_is_found_by_name_and_may_extend_the_packaged_one_of_its_name(self, places, load):
        (places.user / "profiles" / "small.toml").write_text('extends = "small"\n[training]\nseed = 9')
        profile = load(["small"])
        assert profile.training.seed == 9
        assert profile.origin("model.d_model") == "packaged small"

    def test_circle_is_a_fault_that_names_it(self, places, load):
        (places.project / "a.toml").write_text('extends = "b.toml"')
        (places.project / "b.toml").write_text('extends = "a.toml"')
        assert "a.toml → " in faults_of(load, ["./a.toml"])["extends"].message

    @pytest.mark.parametrize("value", ["3", "[1]", "{}"])
    def test_extends_of_another_type_is_a_fault(self, places, load, value):
        (places.project / "a.toml").write_text(f"extends = {value}")
        assert "a.toml" in faults_of(load, ["./a.toml"])["extends"].origin

    @pytest.mark.parametrize("name", ["sonata", "./missing.toml", "missing.toml"])
    def test_missing_profile_is_not_found(self, load, name):
        with pytest.raises(NotFoundError, match=name.removeprefix("./")) as caught:
            load([name])
        assert caught.value.exit_code == ExitCode.NOT_FOUND

    def test_missing_name_lists_what_there_is(self, load):
        with pytest.raises(NotFoundError) as caught:
            load(["sonata"])
        assert all(name in caught.value.hint for name in (*SIZES, "transformer", "dev", "prod"))


class TestIdleKeys:
    """Keys that mean nothing in the mode that was chosen, or in the one that is there if none is."""

    def test_a_single_key_without_effect_is_a_fault_that_names_the_mode(self, load):
        found = faults_of(load, [], ["loss.beta=2", "latent.prior.kind=mixture", "training.seed=1"])
        assert found.keys() == {"loss.beta", "latent.prior.kind"}
        assert "no effect in mode transformer (--set loss.beta)" in str(found["loss.beta"])
        assert "--profile vae" in found["loss.beta"].suggestion
        found = faults_of(load, ["vae"], ["discriminator.width=32", "loss.adversarial=1", "loss.beta=2"])
        assert found.keys() == {"discriminator.width", "loss.adversarial"}
        assert "--profile vae_gan" in found["discriminator.width"].suggestion

    @pytest.mark.parametrize("chosen", [["vae_gan"], ["tiny", "vae_gan"], ["vae_gan", "large"]])
    def test_in_the_fullest_mode_all_keys_count(self, load, chosen):
        profile = load(chosen, ["loss.beta=2", "discriminator.width=32", "loss.adversarial=1", "latent.fine_size=20"])
        assert (profile.loss.beta, profile.discriminator.width, profile.latent.fine_size) == (2, 32, 20)

    def test_packaged_sizes_are_for_all_modes(self, load):
        assert load(["tiny"]).latent.global_size == load(["tiny", "vae"]).latent.global_size == 32

    def test_a_file_that_is_named_and_leaves_the_mode_open_is_a_fault(self, places, load):
        (places.project / "mine.toml").write_text('extends = "small"\n[loss]\nbeta = 2')
        found = faults_of(load, ["./mine.toml"])
        assert found.keys() == {"loss.beta"}
        assert "mine.toml" in found["loss.beta"].origin

    @pytest.mark.parametrize("mode", ["transformer", "vae"])
    def test_a_file_may_be_shared_between_modes_that_are_named(self, places, load, mode):
        (places.project / "mine.toml").write_text("[loss]\nbeta = 2\n[discriminator]\nwidth = 32")
        assert load(["./mine.toml", mode] if mode == "vae" else ["./mine.toml"], [f"model.mode={mode}"]).loss.beta == 2

    def test_what_counts_without_being_named_may_be_for_another_mode(self, places, load, monkeypatch):
        (places.project / "aurl.toml").write_text("[loss]\nbeta = 2")
        monkeypatch.setenv("AURL_DISCRIMINATOR__WIDTH", "32")
        assert load().model.mode == "transformer"

    def test_a_program_that_sets_the_mode_may_give_all_modes_the_same_keys(self, load):
        for mode in ("transformer", "vae"):
            assert load([], ["loss.beta=2"], flags={"model.mode": mode}).model.mode == mode

    def test_an_unknown_mode_is_the_only_fault(self, load):
        assert faults_of(load, [], ["model.mode=vea", "loss.beta=2"]).keys() == {"model.mode"}


class TestFaults:
    def test_all_faults_of_all_layers_come_together_with_key_origin_and_suggestion(self, places, load, monkeypatch):
        (places.project / "aurl.toml").write_text("[training]\nwarmup_step = 3\n[tokns]\nparts = true")
        (places.project / "mine.toml").write_text('[training]\nd_model = 3\nprecision = "int8"')
        monkeypatch.setenv("AURL_DATA__BATCH_SIZE", "0")
        found = faults_of(load, ["./mine.toml"], ["model.n_heads=7", "nonsense", "training.lr=fast"])
        assert found.keys() == {
            "training.warmup_step",
            "tokns",
            "training.d_model",
            "training.precision",
            "data.batch_size",
            "model.n_heads",
            "",
            "training.lr",
        }
        assert "did you mean training.warmup_steps?" in str(found["training.warmup_step"])
        assert str(places.project / "aurl.toml") in str(found["training.warmup_step"])
        assert "did you mean tokens?" in str(found["tokns"])
        assert "did you mean model.d_model?" in str(found["training.d_model"])
        assert str(places.project / "mine.toml") in str(found["training.precision"])
        assert "'int8'" in str(found["training.precision"])
        assert "AURL_DATA__BATCH_SIZE" in str(found["data.batch_size"])
        assert "--set model.n_heads" in str(found["model.n_heads"])
        assert "nonsense" in str(found[""])
        assert "'fast'" in str(found["training.lr"])

    def test_one_fault_is_one_line(self, load):
        with pytest.raises(ProfileError) as caught:
            load([], ["training.lr=-1"])
        assert "\n" not in str(caught.value)

    def test_broken_toml_does_not_hide_other_faults(self, places, load):
        (places.project / "aurl.toml").write_text("[training\n")
        found = faults_of(load, [], ["training.lr=0"])
        assert "aurl.toml is not valid TOML" in found[""].message
        assert "training.lr" in found

    def test_value_of_a_lower_layer_that_is_replaced_is_no_fault(self, places, load):
        (places.project / "aurl.toml").write_text("[training]\nlr = -1")
        assert load([], ["training.lr=1e-3"]).training.lr == 1e-3

    @pytest.mark.parametrize(
        ("override", "wanted"),
        [
            ("latent.local_tokens=100", "100 is no multiple of fine_tokens (32)"),
            ("latent.fine_size=3", "should be 0 or at least 16, not 3"),
            ("latent.global_size=0", "greater than or equal to 16, not 0"),
            ("discriminator.scales=[32, 33]", "33 is no even number of tokens"),
            ("discriminator.scales=[32, 32]", "named twice"),
        ],
    )
    def test_faults_of_latents_and_discriminator(self, load, override, wanted):
        found = faults_of(load, ["vae_gan"], [override])
        assert found.keys() == {override.partition("=")[0]}
        assert wanted in str(*found.values())

    def test_scalar_for_a_table_is_a_fault(self, load):
        assert "training" in faults_of(load, [], ["training=3"])

    @pytest.mark.parametrize(
        ("override", "wanted"),
        [
            ("training.lr=fast", "a number, not 'fast'"),
            ("data.seq_len=1.5", "a whole number, not 1.5"),
            ("data.hybrid=3", "true or false, not 3"),
            ("data.truncation=adaptive", "a table, as in { kind = \"…\" }, not 'adaptive'"),
            ("loss.terms.leaps=0.5", "a table of its options, as in { option = … }, not 0.5"),
            ("training.lora=4", "a table, as in { key = … }, not 4"),
            ("model.pattern=full", "an array, as in [ … ], not 'full'"),
            ("prepare.metadata=3", "text, not 3"),
            ("data.batch_tokens=1", "greater than or equal to 2, not 1"),
        ],
    )
    def test_types_are_called_by_the_words_of_toml(self, load, override, wanted):
        found = faults_of(load, [], [override])
        assert found[override.partition("=")[0]].message == f"should be {wanted}"

    def test_a_batch_holds_a_window(self, load):
        found = faults_of(load, [], ["data.batch_tokens=1000"])
        assert found["data.batch_tokens"].message.startswith("a batch should hold a window of 1024 tokens")
        assert load(overrides=["data.batch_tokens=1000", "data.seq_len=1000"]).data.batch_tokens == 1000

    @pytest.mark.parametrize("variable", ["AURL_TRAINNG__LR", "AURL_", "AURL___LR", "AURL_TRAINING__NOPE"])
    def test_variables_that_name_no_key_are_faults(self, load, monkeypatch, variable):
        monkeypatch.setenv(variable, "1")
        with pytest.raises(ProfileError, match=variable):
            load()

    @pytest.mark.parametrize("variable", ["AURL_HOME", "AURL_CACHE"])
    def test_variables_of_folders_are_no_keys(self, load, monkeypatch, variable):
        monkeypatch.setenv(variable, "/somewhere")
        assert load() == Profile()

    @pytest.mark.parametrize("key", ["d_model", "n_layers", "n_heads"])
    def test_infinite_numbers_are_refused(self, load, key):
        assert f"model.{key}" in faults_of(load, [], [f"model.{key}=inf"])
        assert "training.lr" in faults_of(load, [], ["training.lr=nan"])


class TestValues:
    @pytest.mark.parametrize(
        ("override", "key", "value"),
        [
            ("training.lr=3e-4", "training.lr", 3e-4),
            ("training.max_steps = 7", "training.max_steps", 7),
            ("training.max_steps=none", "training.max_steps", None),
            ("tokens.time_base=seconds", "tokens.time_base", "seconds"),
            ('tokens.time_base="seconds"', "tokens.time_base", "seconds"),
            ("tokens.parts=false", "tokens.parts", False),
            ("tokens.header=[]", "tokens.header", []),
            (
                "training.optimizer={kind='adamw', betas=[0.8, 0.9]}",
                "training.optimizer",
                {"kind": "adamw", "betas": [0.8, 0.9]},
            ),
        ],
    )
    def test_set_reads_toml_and_falls_back_to_text(self, load, override, key, value):
        assert load([], [override]).values()[key] == value

    def test_set_cannot_smuggle_in_a_second_key(self, load):
        found = faults_of(load, [], ["tokens.time_base='beats'\n[training]\nlr = 5"])
        assert found.keys() == {"tokens.time_base"}

    def test_profile_cannot_be_changed(self, load):
        profile = load()
        with pytest.raises(ValidationError):
            profile.training.lr = 1.0
        with pytest.raises(ValidationError):
            profile.training = None

    def test_hash_follows_values_and_not_where_they_came_from(self, load, monkeypatch):
        plain = load(["small"])
        monkeypatch.setenv("AURL_TRAINING__LR", repr(plain.training.lr))
        assert load(["small"]).hash == plain.hash
        assert load(["small"], ["training.lr=0.123"]).hash != plain.hash

    def test_profile_travels_to_other_processes(self, load):
        profile = load(["tiny"], ["training.lr=0.125"])
        copy = pickle.loads(pickle.dumps(profile))
        assert copy == profile
        assert copy.origin("training.lr") == "--set training.lr"


class TestDefaultSize:
    def test_taken_where_nobody_chose_one(self, load):
        profile = load(["dev"], default_size="base")
        assert profile.default_size == "base"
        assert profile.model.d_model == 512
        assert profile.training.max_steps == 200

    @pytest.mark.parametrize("how", ["--profile", "extends", "project", "--set", "variable"])
    def test_not_taken_where_somebody_did(self, places, load, monkeypatch, how):
        names, overrides = [], []
        if how == "--profile":
            names = ["tiny"]
        elif how == "extends":
            (places.project / "mine.toml").write_text('extends = "tiny"')
            names = ["./mine.toml"]
        elif how == "project":
            (places.project / "aurl.toml").write_text('extends = "tiny"')
        elif how == "--set":
            overrides = ["model.d_model=64"]
        else:
            monkeypatch.setenv("AURL_MODEL__D_MODEL", "64")
        profile = load(names, overrides, default_size="base")
        assert profile.default_size is None
        assert profile.model.d_model == 64

    def test_lies_below_everything_that_is_named(self, places, load):
        (places.project / "aurl.toml").write_text("[training]\nlr = 0.5")
        assert load(default_size="base").training.lr == 0.5


class TestPackaged:
    @pytest.mark.parametrize("listed", list_profiles(), ids=lambda listed: listed.name)
    def test_every_packaged_profile_loads_with_its_components_and_says_what_it_is_for(self, places, listed):
        assert listed.description
        assert load_profile(["vae", listed.name]).hash

    @pytest.mark.parametrize("overlay", ["dev", "prod"])
    @pytest.mark.parametrize("size", SIZES)
    def test_overlays_leave_the_size_alone(self, load, size, overlay):
        assert load([size, overlay]).model == load([size]).model
        assert load([size, overlay]).training != load([size]).training

    def test_sizes_grow(self, load):
        models = [load([size]).model for size in SIZES]
        weights = [12 * model.n_layers * model.d_model**2 for model in models]
        assert weights == sorted(set(weights))


class TestResolved:
    def test_every_packaged_profile_survives_its_own_file(self, places, tmp_path):
        for listed in list_profiles():
            profile = load_profile(["vae", listed.name], ["training.max_steps=5"])
            (tmp_path / "profile.toml").write_text(profile.to_toml())
            assert read_resolved(tmp_path / "profile.toml") == profile
            assert read_resolved(tmp_path / "profile.toml").hash == profile.hash

    def test_file_holds_every_key(self, load):
        table = tomli.loads(load().to_toml())
        assert {f"{section}.{key}" for section in table for key in table[section]} == set(known_keys())

    def test_nothing_but_the_file_counts(self, places, load, tmp_path, monkeypatch):
        profile = load(["tiny"])
        (tmp_path / "profile.toml").write_text(profile.to_toml())
        (places.project / "aurl.toml").write_text("[training]\nseed = 77")
        monkeypatch.setenv("AURL_TRAINING__SEED", "78")
        assert read_resolved(tmp_path / "profile.toml") == profile

    def test_faults_of_the_file_are_reported(self, tmp_path):
        (tmp_path / "profile.toml").write_text("[training]\nlr = 0\nold_key = 1")
        with pytest.raises(ProfileError) as caught:
            read_resolved(tmp_path / "profile.toml")
        assert {fault.key for fault in caught.value.faults} == {"training.lr", "training.old_key"}

    def test_missing_file_is_not_found(self, tmp_path):
        with pytest.raises(NotFoundError):
            read_resolved(tmp_path / "profile.toml")
