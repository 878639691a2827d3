"""What every kind of augmentation keeps to."""

import inspect
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.passages import EOS, PART, PROGRAM, SHIFT, passages, whole
from tests.support.scores import score, track

from aurl.augment import AUGMENT, Augmenter, Passage
from aurl.errors import UsageError
from aurl.midi.score import KeySignatures, Tempos, TimeSignatures
from aurl.profile import ProfileError, load_profile
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.rules import Stage

# Options that change much more than the defaults do: every note, if they can.
FURTHEST = {
    "transpose": {},
    "stretch": {"factor": (0.1, 3.0)},
    "velocity": {"shift": (-4.0, 4.0)},
    "instruments": {"share": 1.0},
    "swing": {"ratio": (2.0, 4.0)},
    "humanise": {"steps": 9, "share": 0.9},
}
BEATS_ONLY = {"swing"}
KINDS = AUGMENT.kinds()


def chosen(*kinds):
    return [{"kind": kind, **FURTHEST[kind]} for kind in kinds]


def kinds_for(codec):
    return [kind for kind in KINDS if codec.time_base == "beats" or kind not in BEATS_ONLY]


@st.composite
def changes(draw):
    """A codec, a passage, one or several kinds, a seed."""
    codec, passage = draw(passages())
    kinds = draw(st.sampled_from(kinds_for(codec)).map(lambda kind: [kind]) | st.permutations(kinds_for(codec)))
    return codec, passage, kinds, draw(st.integers(0, 2**32))


def augmented(codec, passage, kinds, seed, epoch=0):
    return Augmenter(chosen(*kinds), time_base=codec.time_base)(passage, np.random.default_rng(seed), epoch)


def note_ids(ids):
    return [token < 128 for token in ids.tolist() if token < SHIFT]


def test_every_kind_is_tried_here():
    assert set(FURTHEST) == set(KINDS)
    assert len(KINDS) >= 6


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_common_options_and_describes_all_of_them(kind):
    names = [option.name for option in AUGMENT.options(kind)]
    assert names[-3:] == ["probability", "from_epoch", "ramp_epochs"]
    text = inspect.getdoc(AUGMENT.factory(kind))
    assert all(f"\n    {name}: " in text for name in names)


@given(changes())
@settings(max_examples=50, deadline=None)
def test_probability_zero_changes_nothing(change):
    codec, passage, kinds, seed = change
    components = [{**component, "probability": 0.0} for component in chosen(*kinds)]
    assert Augmenter(components, time_base=codec.time_base)(passage, np.random.default_rng(seed)) is passage


@given(changes())
@settings(max_examples=100, deadline=None)
def test_the_same_seed_gives_the_same_passage_and_the_old_one_is_not_written_to(change):
    codec, passage, kinds, seed = change
    before = passage.ids.copy()
    first, second = augmented(codec, passage, kinds, seed), augmented(codec, passage, kinds, seed)
    assert first.ids.tolist() == second.ids.tolist()
    assert first.ids.dtype == np.uint16
    assert facts(first) == facts(second)
    assert passage.ids.tolist() == before.tolist()
    assert not np.shares_memory(first.ids, passage.ids)


def facts(passage: Passage):
    return passage.header, passage.context, passage.start_step, passage.part, passage.velocity


@given(changes())
@settings(max_examples=50, deadline=None)
def test_pieces_stay_legal_and_keep_their_notes(change):
    codec, passage, kinds, seed = change
    if passage.context != 1 or not note_ids(passage.ids):
        return
    changed = augmented(codec, passage, kinds, seed)
    assert Grammar.of(codec).check(changed.ids) == []
    assert codec.decode(changed.ids).note_count == codec.decode(passage.ids).note_count
    assert facts(changed) == (passage.header, 1, 0, -1, -1)


@given(changes())
@settings(max_examples=75, deadline=None)
def test_windows_stay_legal_and_keep_their_notes_and_their_place(change):
    codec, passage, kinds, seed = change
    changed = augmented(codec, passage, kinds, seed)
    old, new = passage.ids, changed.ids
    assert sorted(note_ids(new)) == sorted(note_ids(old))
    assert (new[-1] == EOS) == (old[-1] == EOS)
    assert passage.header == changed.header
    if passage.context > passage.header:
        played = len(note_ids(old[: passage.context]))
        assert len(note_ids(new[: changed.context])) == played or (not played and changed.context == changed.header + 1)
        assert changed.context > changed.header or len(new) == changed.header
    assert violations(codec, changed) == [] or violations(codec, passage) != []


def violations(codec, passage):
    """Ids of the body that the grammar forbids, where notes that end without having begun sound from before."""
    grammar = Grammar.of(codec)
    state = grammar.start(1)
    if passage.context > passage.header:
        state.stage[:] = Stage.WAITING  # after which anything but EOS may follow
        state.part[:], state.velocity[:] = passage.part if codec.parts else 0, passage.velocity
        state.declared[:] = sum(PROGRAM <= token < PROGRAM + 129 for token in passage.ids.tolist())
        for part, pitch in begun_before(passage):
            state.sounding[0, part, pitch] = True
        ids = passage.ids[passage.header :]
    else:
        ids = passage.ids
    found = []
    for place, token in enumerate(ids.tolist()):
        if not grammar.mask(state)[0, token]:
            found.append((place, token))
        grammar.advance(state, [token])
    return found


def begun_before(passage):
    part, touched, found = max(passage.part, 0), set(), []
    for token in passage.ids[passage.header :].tolist():
        if PART <= token < PROGRAM:
            part = token - PART
        if token < SHIFT and (part, token % 128) not in touched:
            touched.add((part, token % 128))
            if token >= 128:
                found.append((part, token % 128))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_passages_without_notes_come_through(kind):
    augmenter = Augmenter(chosen(kind), time_base="beats")
    for ids, header in (([775], 3), ([775, 778, 776], 2), ([775, 778, 767, 767, 287], 2)):
        passage = Passage(np.array(ids, np.uint16), header, 1)
        assert augmenter(passage, np.random.default_rng(0)).ids.tolist() == ids


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_changes_something(kind):
    piece = score(
        track(*((8 * i, 4 + i % 5, 40 + i, 1 + 9 * (i % 13)) for i in range(20)), program=20),
        tempos=Tempos([0], [500_000]),
        key_signatures=KeySignatures([0], [1], [False]),
        time_signatures=TimeSignatures([0], [4], [4]),
    )
    passage = whole(piece, Codec())
    seen = {augmented(Codec(), passage, [kind], seed).ids.tobytes() for seed in range(20)}
    assert len(seen) > 3


def test_kinds_come_in_the_order_in_which_they_are_given():
    piece = score(track((0, 8, 60, 70), (16, 8, 62, 70), (32, 8, 64, 70)))
    swing = {"kind": "swing", "ratio": (2.0, 2.0)}
    humanise = {"kind": "humanise", "steps": 3, "share": 0.0}
    passage = whole(piece, Codec())
    there = Augmenter([swing, humanise], time_base="beats")(passage, np.random.default_rng(5)).ids
    back = Augmenter([humanise, swing], time_base="beats")(passage, np.random.default_rng(5)).ids
    assert there.tolist() != back.tolist()


def test_the_probability_rises_from_an_epoch_on():
    piece = whole(score(track((0, 8, 60, 70))), Codec())
    component = {"kind": "transpose", "semitones": (1, 1), "probability": 0.8, "from_epoch": 2, "ramp_epochs": 4}
    augmenter = Augmenter([component], time_base="beats")
    counts = []
    for epoch in range(8):
        changed = [augmenter(piece, np.random.default_rng((epoch, n)), epoch) is not piece for n in range(1000)]
        counts.append(sum(changed) / 1000)
    assert counts[:2] == [0, 0]
    assert counts[2:] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8], abs=0.05)


def test_an_augmenter_travels_to_other_processes():
    augmenter = Augmenter(chosen(*KINDS), time_base="beats")
    again = pickle.loads(pickle.dumps(augmenter))
    passage = whole(score(track((0, 8, 60, 70), (16, 8, 62, 70)), track((0, 4, 38, 99), is_drum=True)), Codec())
    for seed in range(5):
        first, second = (one(passage, np.random.default_rng(seed)).ids.tolist() for one in (augmenter, again))
        assert first == second


@pytest.mark.parametrize("kind", sorted(BEATS_ONLY))
def test_a_kind_without_meaning_in_a_time_base_is_said_so(kind):
    with pytest.raises(UsageError, match=f"{kind} has no meaning in time base 'seconds'"):
        Augmenter([{"kind": kind}], time_base="seconds")


@pytest.mark.parametrize(
    "component",
    [
        {"kind": "transpose", "semitones": [3, -3]},
        {"kind": "stretch", "factor": [1.2, 0.8]},
        {"kind": "velocity", "curve": [2, 1]},
        {"kind": "swing", "ratio": [2, 1]},
        {"kind": "transpoze"},
    ],
)
def test_options_that_cannot_be(component):
    with pytest.raises(UsageError):
        Augmenter([component], time_base="beats")


@pytest.mark.parametrize("kind", KINDS)
def test_a_profile_takes_every_kind_with_its_defaults(kind):
    profile = load_profile(overrides=[f'data.augment=[{{kind="{kind}", probability=0.5}}]'], check={"augment"})
    (component,) = profile.data.augment
    assert set(component) == {"kind", *(option.name for option in AUGMENT.options(kind))}
    Augmenter(profile.data.augment, time_base="beats")


@pytest.mark.parametrize(
    "text",
    [
        '{kind="transpose", semitones=[-12]}',
        '{kind="transpose", semitones=[-1.5, 2]}',
        '{kind="stretch", factor=[0, 1]}',
        '{kind="humanise", probability=1.5}',
        '{kind="swing", grid="1/4"}',
    ],
)
def test_a_profile_takes_no_option_out_of_its_bounds(text):
    with pytest.raises(ProfileError):
        load_profile(overrides=[f"data.augment=[{text}]"], check={"augment"})
