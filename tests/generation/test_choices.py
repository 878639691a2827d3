"""What a request says comes before the profile; what nothing knows is refused by name."""

import pytest

from aurl.errors import UsageError
from aurl.generation.choices import constraints, filters, guidance, sampler, settle, told_rules
from aurl.generation.constraints import CONSTRAINTS
from aurl.generation.constraints.chords import ToldChords
from aurl.generation.constraints.header import ToldHeader
from aurl.generation.request import Request
from aurl.generation.sampling import FILTERS
from aurl.generation.wishes import Wishes
from aurl.midi.score import Score
from aurl.profile import Generation
from aurl.tokens.codec import Codec

TOLD = Codec().with_controls(["density"], chords=True, infill=False)


def test_a_request_comes_before_the_profile():
    defaults = Generation(temperature=0.5, top_k=3, guidance=2.0)
    settled = settle(Request(temperature=0.0, min_p=0.2), defaults)
    assert (settled.temperature, settled.top_k, settled.min_p, settled.guidance) == (0.0, 3, 0.2, 2.0)
    assert settle(Request(), defaults) == defaults


def test_a_component_takes_the_place_of_the_profiles_of_its_kind():
    defaults = Generation(
        constraints=({"kind": "range", "lowest": 20, "highest": 80}, {"kind": "polyphony", "voices": 2})
    )
    settled = settle(Request(constraints=({"kind": "range", "lowest": "40"},)), defaults)
    assert settled.constraints == (
        {"kind": "polyphony", "voices": 2, "per": "piece"},
        {"kind": "range", "lowest": 40, "highest": 127},
    )
    assert len(constraints(settled, Codec())) == 2


@pytest.mark.parametrize(
    ("asked", "said", "hint"),
    [
        ({"filters": ({"kind": "typical", "mass": 2.0},)}, "filter typical mass: should be less than 1", "--help"),
        ({"filters": ({"kind": "typical", "mas": 0.5},)}, "filter typical mas: unknown key", "did you mean mass?"),
        ({"constraints": ({"kind": "rnage"},)}, "constraint rnage: unknown kind", "did you mean range?"),
        ({"constraints": ({"kind": "scale"},)}, "constraint scale key: is required", "--help"),
        ({"constraints": ({},)}, "constraint: needs a kind", "--help"),
        ({"mend": True}, "--mend of nothing", "--range 48:84"),
    ],
)
def test_faults_are_told_in_the_words_of_the_request(asked, said, hint):
    with pytest.raises(UsageError) as caught:
        settle(Request(**asked), Generation())
    assert said in caught.value.message
    assert hint in caught.value.hint
    assert "generation." not in f"{caught.value.message}{caught.value.hint}"


def test_what_looks_up_the_music_that_was_learnt_from_finds_it(tmp_path):
    asked = Request(constraints=({"kind": "no_copy"}, {"kind": "grid"}))
    found = settle(asked, Generation(), tmp_path / "dataset").constraints
    assert [component.get("data") for component in found] == [str(tmp_path / "dataset"), None]
    elsewhere = Request(constraints=({"kind": "no_copy", "data": "other"},))
    assert settle(elsewhere, Generation(), tmp_path).constraints[0]["data"] == "other"


@pytest.mark.parametrize("kind", FILTERS.kinds())
def test_every_filter_reaches_the_sampler(kind):
    settled = settle(Request(filters=({"kind": kind},)), Generation())
    assert [type(one) for one in filters(settled)] == [type(FILTERS.build(kind))]
    assert sampler(settled)


def test_every_kind_has_an_option_of_the_command_line():
    """A kind that is added to a registry and not to `aurl generate` is found here."""
    from aurl.cli import generate_request

    named = {kind for kind, _ in generate_request.FILTERS.values()} | {"kind_temperature"}
    assert named == set(FILTERS.kinds())
    named = {kind for kind, _ in generate_request.CONSTRAINTS.values()} | {"range"}
    assert named == set(CONSTRAINTS.kinds())
    for registry, table in ((FILTERS, generate_request.FILTERS), (CONSTRAINTS, generate_request.CONSTRAINTS)):
        for kind, main in table.values():
            assert main in {option.name for option in registry.options(kind)}


def rules(request, codec=TOLD, **defaults):
    """Kinds of rules, steering apart from those that tell."""
    return [type(rule) for rule in told_rules(request, Generation(steering=0.0, **defaults), codec)]


def test_only_what_is_asked_is_told():
    assert rules(Request()) == []
    assert rules(Request(wishes=Wishes(facts={"density": 2.0}))) == [ToldHeader]
    assert rules(Request(wishes=Wishes(instruments=(0, 128)))) == [ToldHeader]
    assert rules(Request(wishes=Wishes(chords=(1, 2)))) == [ToldChords]
    song = Request(prompt=Score(), wishes=Wishes(facts={"density": 2.0}, chords=(1,)))
    assert rules(song) == [ToldChords], "the header of a prompt is there already"


@pytest.mark.parametrize(
    ("wishes", "said", "hint"),
    [
        (Wishes(facts={"density": 2.0}), "never told the density", "controls.facts"),
        (Wishes(chords=(1,)), "never told chords", "--profile controls"),
        (Wishes(meter=(3, 4)), "never told the time signature", "tokens.header"),
        (Wishes(instruments=(0,)), "knows no instruments", "tokens.parts=true"),
    ],
)
def test_a_model_says_what_it_was_never_told_and_how_to_train_one_that_is(wishes, said, hint):
    with pytest.raises(UsageError, match=said) as caught:
        rules(Request(wishes=wishes), Codec(parts=False, header=()))
    assert hint in caught.value.hint


def test_guidance_is_away_from_what_was_asked():
    wishes = Wishes(facts={"density": 2.0}, chords=(1,))
    told = guidance(Request(wishes=wishes), Generation(guidance=1.5), TOLD)
    assert (told.scale, set(told.groups), told.counts) == (1.5, {"density", "chord"}, True)
    assert not guidance(Request(), Generation(guidance=1.5), TOLD).counts
