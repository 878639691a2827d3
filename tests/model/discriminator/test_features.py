"""Features of bars that were worked out by hand, and of random ids by a slow second look."""

import cmath
import math

import pytest
import torch
from tests.support.events import level, off, on, shift

from aurl.model.discriminator.features import FEATURES, SEGMENT_TOKENS, musical_features
from aurl.model.discriminator.notes import PERIODS_STEPS, meanings, read_notes
from aurl.tokens.vocabulary import PAD, SEP, TIME_SHIFT, VELOCITY, VOCABULARY_SIZE

TABLE = meanings(VOCABULARY_SIZE)


def features(ids):
    """Name → (S, size) of one row of ids."""
    tokens = torch.tensor([ids])
    found = musical_features(read_notes(tokens, tokens != PAD, TABLE))
    return {name: values[0] for name, values in found.items()}


def periods(**values):
    return [values[f"p{period}"] for period in PERIODS_STEPS]


def chroma(**shares):
    names = ("C", "Cs", "D", "Ds", "E", "F", "Fs", "G", "Gs", "A", "As", "B")
    return [shares.get(name, 0) for name in names]


def quarters(*pitches):
    return [token for pitch in pitches for token in (on(pitch), shift(32), off(pitch))]


RISING_QUARTERS = [level(3), *quarters(60, 64, 67, 72)]
"""C4 E4 G4 C5, mezzo-forte."""
SEVENTH = 0.5**0.5
RISING_QUARTERS_BY_HAND = {
    "density": [2 * 4 / 64],
    "pace": [math.log2(5) / 4],
    # Onsets 0, 32, 64, 96: whole periods apart (8, 16, 32), thirds of one of which the fourth is the first again
    # (12, 24, 48, 96: 1/16), halves (64) and quarters (128) that cancel, eighths: |1 + i(1 + √2)|² / 16 (256).
    "pulse": periods(
        p8=1, p12=1 / 16, p16=1, p24=1 / 16, p32=1, p48=1 / 16, p64=0, p96=1 / 16, p128=0, p256=(4 + 8**0.5) / 16
    ),
    "gait": periods(p8=1, p12=-0.5, p16=1, p24=-0.5, p32=1, p48=-0.5, p64=-1, p96=-0.5, p128=0, p256=SEVENTH),
    "chroma": chroma(C=0.5, E=0.25, G=0.25),
    "blend": [0.375, 0, 0, 0.125, 0.25, 0.25, 0],  # itself; E-G; C-E; C-G
    "chord": [0] * 7,
    "together": [0],
    "height": [23 / 48],
    "spread": [(0 + 16 + 49 + 144) / 4 / 144 - (23 / 48) ** 2],
    "line": [0, 0, 0, 1 / 3, 1 / 3, 1 / 3, 0],
    "direction": [4 / 12],
    "leap": [(16 + 9 + 25) / 3 / 144],
    "loudness": [0.2],
    "contrast": [0],
    "accent": [0],
}
TWO_CHORDS = [
    *(SEP, level(1), on(60), on(66), shift(1), on(71), shift(63), off(60), off(66), off(71)),
    *(level(4), on(62), on(65), shift(64), off(62), off(65)),
]
"""C4 F♯4 B4, the last a step late; two beats later D4 F4, louder."""
TWO_CHORDS_BY_HAND = {
    "density": [2 * 5 / 64],
    "pace": [math.log2(5) / 4],
    "chroma": chroma(C=0.2, D=0.2, F=0.2, Fs=0.2, B=0.2),
    "blend": [0.2, 0.16, 0.08, 0.16, 0.08, 0.16, 0.16],  # 5 unisons, and of 10 pairs 2 1 2 1 2 2
    "chord": [0, 0, 0, 1 / 3, 0, 1 / 3, 1 / 3],  # D-F; F♯-B; C-F♯
    "together": [3 / 5],
    "height": [(0 + 6 + 11 + 2 + 5) / 5 / 12],
    "line": [0, 0, 0, 0, 0, 0, 1],  # B4 to F4
    "direction": [-0.5],
    "leap": [0.25],
    "loudness": [(3 * -0.6 + 2 * 0.6) / 5],
    "contrast": [0.36 - 0.12**2],
    "accent": [1.2**2 / 4],  # four pairs, one of which changes
}


@pytest.mark.parametrize(
    ("ids", "by_hand"), [(RISING_QUARTERS, RISING_QUARTERS_BY_HAND), (TWO_CHORDS, TWO_CHORDS_BY_HAND)]
)
def test_bars_worked_out_by_hand(ids, by_hand):
    found = features(ids)
    assert set(by_hand) <= set(found) == set(FEATURES)
    for name, expected in by_hand.items():
        values = found[name]
        assert values.shape == (1, FEATURES[name])
        torch.testing.assert_close(values[0], torch.tensor(expected).float(), rtol=1e-4, atol=1e-5, msg=name)


def test_gait_of_two_chords_by_hand():
    gait = dict(zip(PERIODS_STEPS, features(TWO_CHORDS)["gait"][0].tolist(), strict=True))
    step = math.cos(2 * math.pi / 64)  # between onsets lie 0, 1, 63 and 0 steps
    assert gait[64] == pytest.approx((2 + 2 * step) / 4, abs=1e-6)


def test_a_pair_belongs_to_the_segment_of_its_second_note():
    found = features([off(60)] * (SEGMENT_TOKENS - 2) + [on(60), shift(16), on(67)])
    assert found["density"][:, 0].tolist() == [2 / 64, 2 / 64]
    assert found["gait"][0].eq(0).all()
    assert found["gait"][1, PERIODS_STEPS.index(16)] == pytest.approx(1, abs=1e-5)
    assert found["line"][1].tolist() == [0, 0, 0, 0, 0, 1, 0]
    assert found["direction"][:, 0].tolist() == pytest.approx([0, 7 / 12])


@pytest.mark.parametrize("ids", [[SEP], [PAD, PAD], [shift(5)] * 70, [on(60)], [level(2), off(3)]])
def test_where_nothing_is_played_nothing_is_measured(ids):
    found = features(ids)
    assert all(values.isfinite().all() for values in found.values())
    assert all(not found[name].any() for name in ("gait", "chord", "line", "leap", "accent"))


def test_transposed_music_has_another_height_and_chroma_but_no_other_shape():
    found = features([level(3), *quarters(60, 64, 67, 72)])
    higher = features([level(3), *quarters(65, 69, 72, 77)])
    torch.testing.assert_close(higher["height"], found["height"] + 5 / 12)
    torch.testing.assert_close(higher["chroma"], found["chroma"].roll(5, -1))
    for name in FEATURES.keys() - {"height", "chroma"}:
        torch.testing.assert_close(higher[name], found[name], rtol=1e-4, atol=1e-5)


def interval(one, other):
    return min((one - other) % 12, (other - one) % 12)


def share(found, size):
    return [found.count(value) / max(1, len(found)) for value in range(size)]


def mean(values):
    return sum(values) / max(1, len(values))


def looked_at_slowly(ids):
    """Features of every segment, with loops over notes."""
    notes, time, loud = [], 0, None
    for position, token in enumerate(ids):
        if token < 128:
            notes.append({"segment": position // SEGMENT_TOKENS, "pitch": token, "time": time, "level": loud})
        elif TIME_SHIFT.start <= token < TIME_SHIFT.stop:
            time += token - TIME_SHIFT.start + 1
        elif VELOCITY.start <= token < VELOCITY.stop:
            loud = 2 * (token - VELOCITY.start) / 5 - 1
    for before, note in zip([None, *notes], notes, strict=False):
        note["before"] = before
        note["chord"] = before is not None and note["time"] - before["time"] <= 1
    moments: list[list[dict]] = []
    for note in notes:
        moments[-1].append(note) if note["chord"] else moments.append([note])
    line = [note for moment in moments for note in moment if note["pitch"] == max(n["pitch"] for n in moment)]
    for before, note in zip([None, *line], line, strict=False):
        note["line"] = before
    count = -(-len(ids) // SEGMENT_TOKENS)
    return [one_segment([note for note in notes if note["segment"] == segment]) for segment in range(count)]


def one_segment(notes):
    pitches = [note["pitch"] for note in notes]
    pairs = [(note["before"], note) for note in notes if note["before"]]
    line = [(note["line"], note) for note in notes if note.get("line")]
    steps = [(note["pitch"] - before["pitch"]) / 12 for before, note in line]
    levels = [note["level"] for note in notes if note["level"] is not None]
    told = [(before["level"], note["level"]) for before, note in pairs if before["level"] is not None]
    heights = [(pitch - 60) / 12 for pitch in pitches]
    return {
        "density": [2 * len(notes) / SEGMENT_TOKENS],
        "pulse": [abs(mean([cmath.exp(2j * cmath.pi * n["time"] / p) for n in notes])) ** 2 for p in PERIODS_STEPS],
        "gait": [mean([math.cos(2 * math.pi * (n["time"] - b["time"]) / p) for b, n in pairs]) for p in PERIODS_STEPS],
        "chroma": share([pitch % 12 for pitch in pitches], 12),
        "blend": share([interval(one, other) for one in pitches for other in pitches], 7),
        "chord": share([interval(b["pitch"], n["pitch"]) for b, n in pairs if n["chord"]], 7),
        "together": [mean([n["chord"] for n in notes])],
        "height": [mean(heights)],
        "spread": [mean([height**2 for height in heights]) - mean(heights) ** 2],
        "line": share([interval(b["pitch"], n["pitch"]) for b, n in line], 7),
        "direction": [mean(steps)],
        "leap": [mean([step**2 for step in steps])],
        "loudness": [mean(levels)],
        "contrast": [mean([value**2 for value in levels]) - mean(levels) ** 2],
        "accent": [mean([(new - old) ** 2 for old, new in told])],
    }


def random_piece(seed, length):
    """Ids of all kinds in any order, with many onsets close together."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.tensor([0, 0, 0, 1, 2, 2, 3, 4])[torch.randint(8, (length,), generator=generator)].tolist()
    numbers = torch.randint(10_000, (length,), generator=generator).tolist()
    make = [
        lambda n: on(n % 128),
        lambda n: off(n % 128),
        lambda n: shift(1 + n % 3 if n % 2 else 1 + n % 512),
        lambda n: level(n % 6),
        lambda n: SEP + n % 60,
    ]
    return [make[kind](number) for kind, number in zip(kinds, numbers, strict=True)]


@pytest.mark.parametrize("seed", range(4))
def test_random_ids_equal_a_slow_second_look(seed):
    ids = random_piece(seed, 150 + 31 * seed)
    found, expected = features(ids), looked_at_slowly(ids)
    for segment, values in enumerate(expected):
        for name, value in values.items():
            torch.testing.assert_close(
                found[name][segment], torch.tensor(value).float(), rtol=1e-3, atol=1e-4, msg=f"{name} of {segment}"
            )
    assert found["density"].shape[0] == len(expected)


def test_time_is_still_exact_after_many_ids():
    ids = torch.randint(TIME_SHIFT.start, TIME_SHIFT.stop, (1, 16_384), generator=torch.Generator().manual_seed(0))
    steps = (ids - TIME_SHIFT.start + 1).cumsum(1)
    phase = read_notes(ids, ids != PAD, TABLE).phase
    turns = steps[..., None] % torch.tensor(PERIODS_STEPS) / torch.tensor(PERIODS_STEPS)
    expected = torch.polar(torch.ones_like(turns), 2 * math.pi * turns)
    torch.testing.assert_close(phase, expected, rtol=0, atol=5e-3)


def one_hots_of(ids):
    return torch.nn.functional.one_hot(torch.tensor([ids]), VOCABULARY_SIZE).float()


def soft_features(one_hots, real):
    return musical_features(read_notes(one_hots, real, TABLE))


@pytest.mark.parametrize("name", FEATURES)
def test_gradient_reaches_what_is_heard_and_no_padding(name):
    ids = random_piece(3, 100)
    one_hots = one_hots_of(ids + [PAD] * 20).requires_grad_()
    real = torch.arange(120)[None] < 100
    found = soft_features(one_hots, real)[name]
    (found * torch.randn(found.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    assert one_hots.grad.isfinite().all()
    assert one_hots.grad[:, :100].abs().amax() > 1e-3
    assert one_hots.grad[:, 100:].eq(0).all()


@pytest.mark.parametrize("steps", [1, 48, 512])
@pytest.mark.parametrize("name", ["gait", "pulse"])
def test_gradient_says_exactly_what_another_shift_would_change(name, steps):
    """How onsets turn is linear in each id alone, however long a shift is."""
    ids = [shift(7), level(3), on(60), shift(32), on(64), shift(24), on(67)]
    weights = torch.linspace(-1, 1, len(PERIODS_STEPS))
    for place in (0, 3, 5):
        one_hots = one_hots_of(ids).requires_grad_()
        before = (soft_features(one_hots, torch.ones(1, len(ids), dtype=torch.bool))[name] * weights).sum()
        before.backward()
        other = [*ids[:place], shift(steps), *ids[place + 1 :]]
        change = (features(other)[name] * weights).sum() - before.detach()
        predicted = one_hots.grad[0, place, shift(steps)] - one_hots.grad[0, place, ids[place]]
        torch.testing.assert_close(predicted, change, rtol=1e-3, atol=1e-5)
        assert (change.abs() > 1e-3) == (place > 0)
