from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.support.latent_models import SMALL, small_vae
from tests.support.runs import write_run

from aurl.errors import DamagedError, NotFoundError, UsageError
from aurl.generation.generate import generate
from aurl.generation.load import load_run
from aurl.generation.pieces import make_pieces
from aurl.generation.request import Request
from aurl.midi.clock import seconds_at
from aurl.midi.score import KeySignatures, Notes, Score, Tempos, TimeSignatures, Track
from aurl.midi.write import save_midi
from aurl.profile import Generation
from aurl.progress import Interrupts
from aurl.tokens.codec import Codec
from aurl.tokens.grammar import Grammar
from aurl.tokens.vocabulary import EOS, TIME_SHIFT

CODECS = {
    "beats": Codec(),
    "seconds": Codec(time_base="seconds"),
    "bare seconds": Codec(time_base="seconds", parts=False, header=()),
    "bare beats": Codec(parts=False, header=()),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {name: write_run(folder / name, codec) for name, codec in CODECS.items()}


def song():
    """Two parts in 3/4, slowing down at bar 5 and changing to 4/4 at bar 9; a bass note under each bar."""
    beats = np.arange(60)
    melody = Notes(beats * 480, np.full(60, 480), 60 + beats % 12, np.full(60, 90))
    bass = Notes(beats[::3] * 480, np.full(20, 3 * 480), 40 + beats[:20] % 5, np.full(20, 60))
    return Score(
        ticks_per_beat=480,
        tracks=(Track(melody, program=40), Track(bass, program=42)),
        tempos=Tempos([0, 12 * 480], [500_000, 1_000_000]),
        time_signatures=TimeSignatures([0, 24 * 480], [3, 4], [4, 4]),
        key_signatures=KeySignatures([0], [2], [False]),
    )


def length_seconds(piece):
    return float(seconds_at(piece.score, piece.score.end_tick))


def steps(ids):
    return sum(int(i) - TIME_SHIFT.start + 1 for i in ids if TIME_SHIFT.start <= i < TIME_SHIFT.stop)


@pytest.mark.parametrize("name", CODECS)
def test_pieces_are_whole_and_as_long_as_asked(runs, name):
    pieces = generate(runs[name], Request(count=3, seed=1, seconds=5.0), threads=1)
    grammar = Grammar.of(CODECS[name], allow_zero_length=False)
    for piece in pieces:
        assert grammar.check(piece.ids) == []
        assert piece.ids[-1] == EOS
        assert piece.score.note_count > 0
        assert 3.5 < length_seconds(piece) <= 5.02
        assert np.isfinite(piece.nats)


def test_a_seed_makes_the_same_bytes_whatever_the_count(runs):
    together = generate(runs["beats"], Request(count=5, seed=40, seconds=3.0), threads=1)
    alone = generate(runs["beats"], Request(count=1, seed=43, seconds=3.0), threads=1)
    again = generate(runs["beats"], Request(count=5, seed=40, seconds=3.0), threads=1)
    assert [piece.seed for piece in together] == [40, 41, 42, 43, 44]
    assert all(np.array_equal(a.ids, b.ids) for a, b in zip(together, again, strict=True))
    np.testing.assert_array_equal(alone[0].ids, together[3].ids)
    assert len({piece.ids.tobytes() for piece in together}) == 5


def test_without_a_seed_the_drawn_one_is_told(runs):
    piece = generate(runs["beats"], Request(seconds=2.0), threads=1)[0]
    again = generate(runs["beats"], Request(seed=piece.seed, seconds=2.0), threads=1)[0]
    np.testing.assert_array_equal(piece.ids, again.ids)
    assert piece.seed != generate(runs["beats"], Request(seconds=2.0), threads=1)[0].seed


def test_without_a_length_the_profile_limits_it(runs):
    for piece in generate(runs["beats"], Request(count=4, seed=0), threads=1):
        assert length_seconds(piece) <= 8.05


def test_a_request_says_otherwise_than_the_profile(tmp_path):
    """At temperature 0, or with one id to choose from, all seeds make the same piece."""
    run = write_run(tmp_path / "run", CODECS["beats"], overrides=["generation.temperature=0"])

    def distinct(**asked):
        return len({piece.ids.tobytes() for piece in generate(run, Request(count=3, seed=0, seconds=2.0, **asked))})

    assert [distinct(), distinct(temperature=1.0), distinct(temperature=1.0, top_k=1)] == [1, 3, 1]
    assert [distinct(temperature=1.0, top_p=1e-9), distinct(temperature=1.0, min_p=1.0)] == [1, 1]


def test_max_tokens(runs):
    piece = generate(runs["bare beats"], Request(seed=0, seconds=1000.0, max_tokens=50), threads=1)[0]
    assert (piece.ended, piece.sampled) == ("tokens", 50)
    assert Grammar.of(CODECS["bare beats"]).check(piece.ids) == []


def test_bars_are_counted_in_the_meter_of_the_header(runs):
    for piece in generate(runs["beats"], Request(count=6, seed=3, bars=2), threads=1):
        meters = piece.score.time_signatures
        numerator, denominator = (meters.numerator[0], meters.denominator[0]) if len(meters) else (4, 4)
        bars = piece.score.end_tick / piece.score.ticks_per_beat / (4 * numerator / denominator)
        assert bars <= 2
        assert (
            2 - bars <= denominator / 4 / numerator + 1e-9 or steps(piece.ids) >= 2 * 128 * numerator / denominator - 32
        )


def test_bars_need_a_meter(runs):
    with pytest.raises(UsageError, match="how long a bar is"):
        generate(runs["bare seconds"], Request(bars=4))
    piece = generate(runs["bare seconds"], Request(bars=1, prompt=song(), prompt_seconds=1.2, seed=0), threads=1)[0]
    assert length_seconds(piece) == pytest.approx(3.0, abs=0.52)


def test_a_prompt_is_continued(runs):
    piece = generate(runs["beats"], Request(prompt=song(), prompt_seconds=3.1, seconds=4.0, seed=5), threads=1)[0]
    given = CODECS["beats"].encode(song())
    assert piece.ids[: piece.prompt_tokens].tolist() == given.ids[: piece.prompt_tokens].tolist()
    assert Grammar.of(CODECS["beats"]).check(piece.ids) == []
    assert [track.program for track in piece.score.tracks][:2] == [40, 42]
    begins = {(n, p) for track in song().tracks for n, p in zip(track.notes.onset, track.notes.pitch, strict=True)}
    made = {(n, p) for track in piece.score.tracks for n, p in zip(track.notes.onset, track.notes.pitch, strict=True)}
    cut = 3.1 / 0.5 * 480
    assert {note for note in begins if note[0] < cut} <= made
    assert 6 <= length_seconds(piece) <= 7.1
    assert piece.score.tempos == song().tempos.take([0])
    assert piece.score.key_signatures == song().key_signatures


def test_maps_of_a_prompt_go_on_where_it_ends(runs):
    piece = generate(runs["beats"], Request(prompt=song(), prompt_seconds=8.0, bars=1, seed=5), threads=1)[0]
    assert piece.score.tempos == song().tempos
    assert piece.score.time_signatures == song().time_signatures.take([0])
    # 8 s are 14 beats: the bar from beat 12 to 15 is finished, then a bar of 3 follows
    assert 17 <= piece.score.end_tick / 480 <= 18


def test_a_whole_song_is_continued_past_its_end(runs, tmp_path):
    save_midi(song(), tmp_path / "song.mid")
    piece = generate(runs["seconds"], Request(prompt=tmp_path / "song.mid", seconds=2.0, seed=5), threads=1)[0]
    end = float(seconds_at(song(), song().end_tick))
    assert end - 0.1 <= length_seconds(piece) <= end + 2.02


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "0 pieces"),
        ({"seed": -1}, "seed -1"),
        ({"temperature": -0.5}, "temperature"),
        ({"seconds": 0.0}, "0.0 seconds"),
        ({"bars": 0}, "0 bars"),
        ({"bars": 2, "seconds": 2.0}, "one in --bars"),
        ({"prompt_seconds": 2.0}, "--prompt-seconds of no song"),
        ({"variation": 0.5}, "variation of no song"),
        ({"variation": -0.5, "like": song()}, "--variation -0.5"),
        ({"latent_temperature": -1.0}, "--latent-temperature is -1.0"),
        ({"prompt": song(), "prompt_seconds": -1.0}, "--prompt-seconds -1.0"),
        (
            {
                "prompt": Score(tracks=song().tracks[:1]).map_notes(lambda n: n.take(n.onset > 4800)),
                "prompt_seconds": 1.0,
            },
            "no note",
        ),
    ],
)
def test_what_cannot_be_done_is_said(runs, arguments, message):
    with pytest.raises(UsageError, match=message):
        generate(runs["beats"], Request(**arguments), threads=1)


def test_a_device_that_is_not_there_is_said(runs):
    with pytest.raises(UsageError, match="cuda:77"):
        generate(runs["beats"], Request(), device="cuda:77")


def test_an_interrupt_ends_pieces_whole(runs):
    interrupts = Interrupts()
    reports = []

    def report(progress):
        reports.append(progress)
        interrupts.stop = 2

    request = Request(count=40, seed=0, seconds=60.0)
    pieces = generate(runs["beats"], request, report=report, interrupts=interrupts, threads=1)
    assert 0 < len(pieces) < 40
    assert {piece.ended for piece in pieces} >= {"stopped"}
    assert all(Grammar.of(CODECS["beats"]).check(piece.ids) == [] for piece in pieces)


def test_progress_ends_at_its_total(runs):
    reports = []
    generate(runs["beats"], Request(count=3, seed=0, seconds=600.0), report=reports.append, threads=1)
    assert all(before.done <= after.done for before, after in pairwise(reports))
    assert (reports[-1].done, reports[-1].total) == (1800, 1800)
    assert len(reports) > 2


def test_one_thread_unless_asked_and_put_back_afterwards(runs):
    before, inside = torch.get_num_threads(), set()
    torch.set_num_threads(2)
    try:
        for asked in (None, 1, 3):
            request = Request(seed=0, max_tokens=5)
            generate(runs["beats"], request, threads=asked, report=lambda _: inside.add(torch.get_num_threads()))
            assert (inside, torch.get_num_threads()) == ({asked or 1}, 2)
            inside.clear()
    finally:
        torch.set_num_threads(before)


def weights(run, **arguments):
    return load_run(run, **arguments).model.embedding.ids


def test_checkpoints_and_averages(tmp_path):
    run = write_run(tmp_path / "run", CODECS["beats"], steps=(100, 200, 300), best=200)
    stored = {step: (run / "checkpoints" / f"step-{step:08d}") for step in (100, 200, 300)}
    assert load_run(run).checkpoint == stored[200]
    assert load_run(run).step == 200
    assert load_run(run, checkpoint="latest").checkpoint == stored[300]
    assert load_run(run, checkpoint="step-00000100").checkpoint == stored[100]
    assert not torch.equal(weights(run), weights(run, ema=False))
    assert load_run(run).is_average
    assert not load_run(run, ema=False).is_average
    with pytest.raises(NotFoundError, match="step-9"):
        load_run(run, checkpoint="step-9")
    plain = write_run(tmp_path / "plain", CODECS["beats"], ema=False)
    assert not load_run(plain).is_average
    assert load_run(plain).checkpoint.name == "step-00000100", "no best yet: the latest"


def test_damage_is_found(tmp_path):
    run = write_run(tmp_path / "run", CODECS["beats"])
    ema = run / "checkpoints" / "step-00000100" / "ema.safetensors"
    content = bytearray(ema.read_bytes())
    content[-100] ^= 1
    ema.write_bytes(content)
    with pytest.raises(DamagedError, match=r"ema\.safetensors") as caught:
        load_run(run)
    assert "train again" in caught.value.hint
    (run / "checkpoints" / "step-00000050").mkdir()
    with pytest.raises(DamagedError) as caught:
        load_run(run)
    assert caught.value.hint.endswith("--checkpoint step-00000050")
    (run / "checkpoints" / "latest").write_text("../../elsewhere")
    with pytest.raises(DamagedError, match="elsewhere"):
        load_run(run, checkpoint="latest")


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(NotFoundError, match="no run"):
        load_run(tmp_path)
    run = write_run(tmp_path / "run", CODECS["beats"], steps=())
    with pytest.raises(NotFoundError, match="no checkpoint yet"):
        load_run(run)


def test_a_prompt_is_prepared_as_the_data_were(tmp_path):
    """Late notes are put on the grid of the run's data set; what chose and divided its pieces is not for a prompt."""
    grid = [
        {"kind": "quantize", "grid": "1/4"},
        {"kind": "length", "least": 1e6},
        {"kind": "segment", "bars": 1, "min_bars": 1},
    ]
    run = write_run(tmp_path / "run", CODECS["beats"], preprocess=grid)
    late = song().map_notes(lambda notes: Notes(notes.onset + 50, notes.duration, notes.pitch, notes.velocity))
    piece = generate(run, Request(prompt=late, prompt_seconds=5.0, seconds=1.0, seed=0), threads=1)[0]
    given = CODECS["beats"].encode(song()).ids[: piece.prompt_tokens]
    np.testing.assert_array_equal(piece.ids[: piece.prompt_tokens], given)


@pytest.fixture(scope="module", params=["vae", "vae_gan"])
def latent_run(request, tmp_path_factory):
    small = [f"{key}={value}" for key, value in SMALL.items() if key.startswith("latent.")]
    folder = tmp_path_factory.mktemp("latents") / "run"
    return write_run(folder, CODECS["beats"], overrides=[f"model.mode={request.param}", *small])


def test_the_prior_makes_pieces(latent_run):
    together = generate(latent_run, Request(count=4, seed=40, seconds=3.0), threads=1)
    alone = generate(latent_run, Request(count=1, seed=42, seconds=3.0), threads=1)
    np.testing.assert_array_equal(alone[0].ids, together[2].ids)
    assert len({piece.ids.tobytes() for piece in together}) == 4
    for piece in together:
        assert Grammar.of(CODECS["beats"]).check(piece.ids) == []
        targets = len(piece.ids) - 1
        assert piece.latents == {"global": 1, "local": -(-targets // 32), "fine": -(-targets // 16)}


def test_a_piece_like_a_song_is_as_long_as_the_song_unless_asked(latent_run):
    [piece] = generate(latent_run, Request(like=song(), seed=3), threads=1)
    assert 60 * 32 - 32 <= steps(piece.ids) <= 60 * 32
    [short] = generate(latent_run, Request(like=song(), seed=3, seconds=4.0), threads=1)
    assert length_seconds(short) <= 4.02


def test_a_song_is_continued_like_another(latent_run):
    wanted = Request(like=song(), prompt=song(), prompt_seconds=2.0, bars=2, seed=3)
    [piece] = generate(latent_run, wanted, threads=1)
    given = CODECS["beats"].encode(song()).ids
    assert piece.prompt_tokens > 10
    np.testing.assert_array_equal(piece.ids[: piece.prompt_tokens], given[: piece.prompt_tokens])
    assert steps(piece.ids) <= 9 * 32


def test_a_song_without_notes_is_refused(latent_run):
    with pytest.raises(UsageError, match="no note in the song"):
        generate(latent_run, Request(like=Score()), threads=1)


def distinct(**asked):
    """How many different pieces two seeds make where ids are a function of latents alone."""
    request = Request(count=2, seed=0, seconds=2.0, temperature=0.0, **asked)
    model, defaults = small_vae(CODECS["beats"]), Generation()
    pieces = make_pieces(model, CODECS["beats"], request, context=64, defaults=defaults)
    return len({piece.ids.tobytes() for piece in pieces})


def test_variation_and_latent_temperature_reach_the_latents():
    assert [distinct(), distinct(latent_temperature=0.0)] == [2, 1]
    assert [distinct(like=song()), distinct(like=song(), variation=3.0)] == [1, 2]


@pytest.mark.parametrize("asked", [{"like": song()}, {"latent_temperature": 0.5}])
def test_a_model_without_latents_says_what_it_lacks(runs, asked):
    with pytest.raises(UsageError, match=r"latents.*mode transformer") as caught:
        generate(runs["beats"], Request(**asked), threads=1)
    assert "--profile vae" in caught.value.hint
