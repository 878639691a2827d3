"""Steps as a profile writes them down."""

import tomllib

import pytest

from aurl.preprocess import PREPROCESS
from aurl.profile import ProfileError, load_profile

STEPS = """
steps = [
    { kind = "pedal" },
    { kind = "quantize", grid = ["1/16", "1/16t"], strength = 0.8 },
    { kind = "quantize", grid = "1/32t", mode = "adaptive", tolerance = 0.03 },
    { kind = "velocity", curve = "soft" },
    { kind = "polyphony", voices = 4 },
    { kind = "instruments", mode = "select", programs = [40, "Cello"], families = ["piano", "drums"] },
    { kind = "length", unit = "bars", least = 4, most = 400 },
    { kind = "segment", by = "phrases", bars = 8 },
]
"""


def check(step):
    return load_profile(overrides=[f"prepare.preprocess=[{step}]"], check={"preprocess"}).prepare.preprocess[0]


def test_every_option_can_be_written_in_toml():
    given = tomllib.loads(STEPS)["steps"]
    profile = load_profile(flags={"prepare.preprocess": given}, check={"preprocess"})
    for wanted, complete in zip(given, profile.prepare.preprocess, strict=True):
        assert {name: complete[name] for name in wanted} == wanted
        assert PREPROCESS.from_component(complete)


@pytest.mark.parametrize(
    ("step", "faults"),
    [
        ('{kind="quantize", grid="1/5"}', {"prepare.preprocess.0.grid"}),
        ('{kind="quantize", grid=["1/8", "1/5"]}', {"prepare.preprocess.0.grid", "prepare.preprocess.0.grid.1"}),
        ('{kind="quantize", strength=2}', {"prepare.preprocess.0.strength"}),
        ('{kind="velocity", curve="cubic"}', {"prepare.preprocess.0.curve"}),
        ('{kind="polyphony", voices=0}', {"prepare.preprocess.0.voices"}),
        ('{kind="instruments", families=["wood"]}', {"prepare.preprocess.0.families.0"}),
        ('{kind="density", at_least=1}', {"prepare.preprocess.0.at_least"}),
    ],
)
def test_faults_name_the_option(step, faults):
    with pytest.raises(ProfileError) as caught:
        check(step)
    assert {fault.key for fault in caught.value.faults} == faults


def test_limits_that_are_not_given_stay_open():
    open_ended = {"kind": "length", "least": 3.0, "unit": "seconds"}
    assert check('{kind="length", least=3}') == open_ended
    assert check('{kind="length", least=3, most="none"}') == open_ended
