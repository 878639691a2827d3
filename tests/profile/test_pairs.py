"""Keys that cannot be had together, in the profile and in its stages."""

import pytest

from aurl.profile import ProfileError, load_profile
from aurl.profile.load import at_stage

STAGE = '[[stages]]\nname = "{}"\nshare = 0.5\nset = {{ {} }}\n'
INFILL = "[controls]\ninfill = 0.3\n"


@pytest.fixture
def load(places):
    def load_text(text, **options):
        (places.project / "mine.toml").write_text(text)
        return load_profile(["./mine.toml"], **options)

    return load_text


def faults_of(load, text, **options):
    with pytest.raises(ProfileError) as caught:
        load(text, **options)
    return {fault.key: fault for fault in caught.value.faults}


def test_the_hybrid_view_knows_no_bars_that_are_told_last(load):
    [fault] = faults_of(load, f"[data]\nhybrid = true\n{INFILL}").values()
    assert (fault.key, fault.origin.endswith("mine.toml")) == ("data.hybrid", True)
    assert "wrong times" in fault.message
    assert fault.suggestion == "leave out controls.infill"
    assert "data.hybrid" in faults_of(load, INFILL, overrides=["data.hybrid=true"])
    assert load("[data]\nhybrid = true\n[controls]\nchords = true\n").data.hybrid
    assert load(INFILL).controls.infill == 0.3


def test_nor_does_it_in_a_stage(load):
    stages = STAGE.format("one", "") + STAGE.format("two", '"data.hybrid" = true')
    assert list(faults_of(load, INFILL + stages)) == ["stages.two.data.hybrid"]
    assert at_stage(load(stages), 1).data.hybrid
    later = STAGE.format("one", "") + STAGE.format("two", '"controls.infill" = 0.5')
    assert list(faults_of(load, f"[data]\nhybrid = true\n{later}")) == ["stages.two.data.hybrid"]


@pytest.mark.parametrize(("change", "value"), [("facts", '["key"]'), ("chords", "true")])
def test_what_windows_can_tell_is_the_same_in_all_stages(load, change, value):
    [key] = faults_of(load, STAGE.format("one", "") + STAGE.format("two", f'"controls.{change}" = {value}'))
    assert key == f"stages.two.controls.{change}"


@pytest.mark.parametrize("change", ["infill", "forget", "forget_all"])
def test_how_often_it_is_told_may_differ(load, change):
    stages = STAGE.format("one", "") + STAGE.format("two", f'"controls.{change}" = 0.5')
    profile = load(stages)
    assert [getattr(at_stage(profile, number).controls, change) == 0.5 for number in (0, 1)] == [False, True]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('facts = ["mood"]', "controls.facts.0"),
        ("infill = 1.5", "controls.infill"),
        ("forget = 1.0", "controls.forget"),
        ("forget_all = -0.1", "controls.forget_all"),
        ("chord = true", "controls.chord"),
    ],
)
def test_controls_are_checked(load, text, key):
    assert key in faults_of(load, f"[controls]\n{text}\n")
