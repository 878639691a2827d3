"""What holds for every constraint, alone and beside every other."""

from itertools import combinations

import numpy as np
import pytest
import torch
from tests.support.constraining import Eager, constraint
from tests.support.training import melody
from tests.support.tunes import drums, tune

from aurl.generation.constraints import CONSTRAINTS
from aurl.generation.constraints.mask import GrammarMask
from aurl.generation.context import elapsed_steps
from aurl.generation.engine import Engine
from aurl.midi.score import Notes, Score, Track
from aurl.tokens.codec import Codec
from aurl.tokens.decode import read_notes
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import BOS, EOS, NOTE_OFF, NOTE_ON, PART, TIME_SHIFT, VELOCITY

KINDS = CONSTRAINTS.kinds()
PAIRS = [(kind,) for kind in KINDS] + list(combinations(KINDS, 2))
CODECS = [
    Codec(parts=False, header=()),
    Codec(header=("tempo",), chords=True),
    Codec(time_base="seconds", parts=False, header=("tempo",)),
]
NAMES = ["merged", "parts and chords", "seconds"]
LENGTH = 400


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("AURL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Melodies whose moves a random line often makes."""
    folder = tmp_path_factory.mktemp("melodies")
    for number in range(6):
        (folder / f"{number}.mid").write_bytes(melody(number, notes=60))
    return folder


def made(codec, constraints, seeds=(0, 1), **options):
    engine = Engine(
        Eager(codec.vocabulary_size),
        Grammar.of(codec, allow_zero_length=False),
        context=64,
        constraints=constraints,
        max_note_steps=200,
    )
    given = {"length": lambda _: LENGTH, "may_end": False, "max_tokens": 160, **options}
    batch = engine.start(seeds=list(seeds), **given)
    for _ in batch:
        pass
    return batch.pieces


def dangling(codec, ids):
    """Notes that nobody ended, or that began where they sounded already."""
    notes = codec.decode(ids).note_count
    ends = sum(NOTE_OFF.start <= one < NOTE_OFF.stop for one in ids)
    return abs(sum(one < NOTE_ON.stop for one in ids) - ends) + abs(notes - ends)


@pytest.mark.parametrize("codec", CODECS, ids=NAMES)
@pytest.mark.parametrize("kinds", PAIRS, ids="+".join)
def test_pieces_keep_to_all_of_them(codec, kinds, data, caplog):
    constraints = [constraint(kind, codec, data) for kind in kinds]
    grammar, notes = Grammar.of(codec), 0
    for piece in made(codec, constraints):
        assert grammar.check(piece.ids) == []
        assert dangling(codec, piece.ids) == 0
        score = codec.decode(piece.ids)
        assert [one.broken(score) for one in constraints] == [[] for _ in kinds]
        notes += score.note_count
    assert notes >= 12
    assert "left nothing" not in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_without_it_the_same_pieces_do_not_keep_to_it(kind, data):
    codec = CODECS[0]
    free = [codec.decode(piece.ids) for piece in made(codec, [], seeds=range(4))]
    assert sum(bool(constraint(kind, codec, data).broken(score)) for score in free) >= 2
    assert constraint(kind, codec, data).broken(Score()) == []


@pytest.mark.parametrize("codec", CODECS, ids=NAMES)
def test_all_of_them_together(codec, data, caplog):
    constraints = [constraint(kind, codec, data) for kind in KINDS]
    pieces = made(codec, constraints, seeds=range(4), max_tokens=300)
    scores = [codec.decode(piece.ids) for piece in pieces]
    assert [one.broken(score) for one in constraints for score in scores] == [[]] * (len(KINDS) * 4)
    assert min(score.note_count for score in scores) >= 3
    assert "left nothing" not in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_a_piece_is_the_same_in_every_batch(kind, data):
    codec = CODECS[1]
    constraints = [constraint(kind, codec, data)]
    together = [piece.ids for piece in made(codec, constraints, seeds=range(5))]
    assert together == [made(codec, constraints, seeds=[seed])[0].ids for seed in range(5)]


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS], ids="+".join)
def test_wherever_a_piece_is_cut_it_ends_whole(kinds, data):
    """A cut between what announces a note and the note: one more is played, and it keeps to them, too."""
    codec = CODECS[1]
    grammar, constraints = Grammar.of(codec, allow_zero_length=False), [constraint(kind, codec, data) for kind in kinds]
    rng, mask, ids, announced = np.random.default_rng(len(kinds)), GrammarMask(grammar, 1, constraints), [], 0
    likings = Eager(codec.vocabulary_size).likings.numpy()
    for _ in range(100):
        weight = np.exp(likings + mask.bias(torch.device("cpu"))[0].numpy(), dtype=np.float64)
        weight[EOS] = 0
        chosen = mask.forced(0, int(rng.choice(len(weight), p=weight / weight.sum())))
        ids.append(chosen)
        mask.advance(0, chosen)
        closing = mask.closing(0)
        if any(one < NOTE_ON.stop for one in closing):
            announced += 1
            assert grammar.check([*ids, *closing]) == []
            score = codec.decode([*ids, *closing])
            assert [one.broken(score) for one in constraints] == [[] for _ in kinds]
    assert announced > 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_wants_to_end_can(kind, data):
    codec = CODECS[0]
    mask = GrammarMask(Grammar.of(codec, allow_zero_length=False), 1, [constraint(kind, codec, data)])
    mask.replay([BOS])
    first = int(mask.bias(torch.device("cpu"))[0, : NOTE_ON.stop].argmax())
    for chosen in (VELOCITY.start, first, TIME_SHIFT.start + 4):
        mask.advance(0, chosen)
    assert mask.bias(torch.device("cpu"))[0, NOTE_OFF.start + first] == 0
    mask.advance(0, NOTE_OFF.start + first)
    assert mask.bias(torch.device("cpu"))[0, EOS] == 0


def random_score(seed):
    rng = np.random.default_rng(seed)
    tracks = []
    for program in (0, 40):
        onset = np.sort(rng.integers(0, 480 * 24, 120))
        pitch, duration = rng.integers(20, 110, 120), rng.integers(1, 900, 120)
        tracks.append(Track(Notes(onset, duration, pitch, rng.integers(1, 128, 120)).ordered(), program=program))
    return Score(tracks=(*tracks, drums(seed)))


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS], ids="+".join)
def test_after_a_song_that_keeps_to_nothing_new_music_gets_on(kinds, data, caplog):
    """Its notes still sound, too many of them and off the grid, and its parts are two instruments and a kit."""
    codec = CODECS[1]
    constraints = [constraint(kind, codec, data) for kind in kinds]
    prompt = codec.encode(random_score(0)).ids[:300].tolist()
    for piece in made(codec, constraints, prompt=prompt):
        assert piece.ids[: len(prompt)] == prompt
        assert [one for one in Grammar.of(codec).check(piece.ids) if one.position >= len(prompt)] == []
        assert sum(one < NOTE_ON.stop for one in piece.ids[len(prompt) :]) >= 3
        if kinds == ("scale",):
            new = read_notes(piece.ids)
            late = (new.onset > elapsed_steps(prompt)) & (new.part < 2)
            assert set((new.pitch[late] % 12).tolist()) <= {3, 6, 8, 10, 1}
            assert late.any()
    assert "left nothing" not in caplog.text


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "no_copy"])
@pytest.mark.parametrize("score", [random_score(0), random_score(1), tune(3), Score()], ids=["0", "1", "tune", "none"])
def test_what_is_mended_keeps_to_it_and_stays(kind, score):
    one = constraint(kind, CODECS[1])
    mended = one.mend(score)
    assert one.broken(mended) == []
    assert one.mend(mended) == mended
    assert (mended == score) == (one.broken(score) == [])
    if kind != "grid":
        assert [track.notes for track in mended.tracks if track.is_drum] == [
            track.notes for track in score.tracks if track.is_drum
        ]


@pytest.mark.parametrize("codec", CODECS[:2], ids=NAMES[:2])
def test_rows_do_not_share_what_they_remember(codec, data):
    constraints = [constraint(kind, codec, data) for kind in KINDS]
    mask = GrammarMask(Grammar.of(codec, allow_zero_length=False), 1, constraints)
    rng = np.random.default_rng(0)

    def walk(count):
        for _ in range(count):
            weight = np.exp(mask.bias(torch.device("cpu"))[0].numpy(), dtype=np.float64)
            weight[EOS] = 0
            mask.advance(0, mask.forced(0, int(rng.choice(len(weight), p=weight / weight.sum()))))

    walk(80)
    copy, before = mask.rows[0].copy(), mask.rows[0].copy()
    walk(80)
    for name in ("ids", "programs", "onsets", "tops", "begun", "sounding", "step", "tempo"):
        assert getattr(copy, name) == getattr(before, name)
    assert len(mask.rows[0].onsets) > len(copy.onsets)
    assert sum(map(len, mask.rows[0].tops.values())) > sum(map(len, copy.tops.values()))
    assert [PART.start <= one < PART.stop for one in copy.ids].count(True) >= codec.parts
    notes = read_notes(mask.rows[0].ids)
    pitched = [notes.programs.get(part) != 128 for part in notes.part.tolist()]
    assert sorted(mask.rows[0].onsets) == sorted(notes.onset[pitched].tolist())
