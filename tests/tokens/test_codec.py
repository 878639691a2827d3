from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import reference_codec
from tests.support.scores import score, scores, track

from aurl.errors import DamagedError
from aurl.midi.reasons import Rejected, RejectReason
from aurl.midi.score import KeySignatures, Tempos, TimeSignatures
from aurl.tokens.codec import Codec
from aurl.tokens.decode import read_notes
from aurl.tokens.velocity import VELOCITY_OF_BIN
from aurl.tokens.vocabulary import EOS, VOCABULARY_SIZE

HEADERS = (("tempo", "time_signature", "key"), ("key",), ())


def codecs():
    return st.builds(
        lambda base, parts, header: Codec(time_base=base, parts=parts, header=header),
        st.sampled_from(["beats", "seconds"]),
        st.booleans(),
        st.sampled_from(HEADERS),
    )


def rows(one_track):
    n = one_track.notes
    return list(zip(n.onset.tolist(), n.duration.tolist(), n.pitch.tolist(), n.velocity.tolist(), strict=True))


def test_a_chord_and_a_melody_note_written_down_by_hand():
    piece = score(track((0, 32, 60, 70), (0, 32, 64, 70), (32, 16, 62, 100)))
    ids = Codec(parts=False, header=()).encode(piece).ids
    assert ids.tolist() == [775, 771, 60, 64, 256 + 31, 128 + 60, 128 + 64, 772, 62, 256 + 15, 128 + 62, 776]


def test_two_tracks_with_header_written_down_by_hand():
    piece = score(
        track((0, 8, 60, 10), program=5),
        track((0, 4, 60, 10), (4, 4, 38, 127), is_drum=True),
        tempos=Tempos([0], [500_000]),
        time_signatures=TimeSignatures([0], [6], [8]),
        key_signatures=KeySignatures([0], [-1], [True]),
    )
    head = [775, 940 + 19, 972 + 3 * 16 + 5, 1052 + 15 + 6, 779, 811 + 5, 780, 811 + 128, 778]
    body = [779, 768, 60, 780, 60, 259, 188, 773, 38, 259, 779, 188, 780, 166, 776]
    assert Codec().encode(piece).ids.tolist() == head + body


def test_a_long_pause_takes_several_shifts():
    ids = Codec(parts=False, header=()).encode(score(track((1100, 512, 60, 70)))).ids
    assert ids.tolist() == [775, 767, 767, 256 + 75, 771, 60, 767, 188, 776]


def test_ended_notes_come_before_empty_ones_and_these_before_lasting_ones():
    piece = score(track((0, 9, 61, 70), (9, 0, 60, 120), (9, 5, 59, 1), (9, 5, 60, 120)))
    body = [771, 61, 264, 189, 773, 60, 188, 768, 59, 773, 60, 260, 187, 188]
    assert Codec(parts=False, header=()).encode(score(track(*rows(piece.tracks[0])[:1]))).ids.tolist()[1:4] == body[:3]
    assert Codec(header=()).encode(piece).ids.tolist() == [775, 779, 811, 778, 779, *body, 776]


def test_a_score_without_notes():
    encoded = Codec().encode(score(track(), track()))
    assert encoded.ids.tolist() == [775, 778, 776]
    assert Codec().decode(encoded.ids).note_count == 0


@given(scores(), codecs())
@settings(max_examples=300, deadline=None)
def test_encoding_equals_the_note_by_note_reference(piece, codec):
    encoded = codec.encode(piece)
    expected = reference_codec.encode(piece, time_base=codec.time_base, parts=codec.parts, header=codec.header)
    assert encoded.ids.tolist() == expected
    assert encoded.ids.dtype == np.uint16
    assert encoded.ids.max() < codec.vocabulary_size


@given(scores(), codecs())
@settings(max_examples=200, deadline=None)
def test_what_was_decoded_encodes_to_the_same_ids(piece, codec):
    ids = codec.encode(piece).ids
    assert _body(codec, codec.encode(codec.decode(ids)).ids) == _body(codec, ids)


def _body(codec, ids):
    return ids.tolist()[ids.tolist().index(778) :] if codec.parts or codec.header else ids.tolist()


@given(scores(), st.sampled_from(["beats", "seconds"]))
@settings(max_examples=200, deadline=None)
def test_every_note_comes_back_within_half_a_step_and_half_a_tick(piece, time_base):
    codec = Codec(time_base=time_base)
    encoded = codec.encode(piece)
    back = codec.decode(encoded.ids, encoded.maps)
    sounding = [one for one in piece.tracks if len(one.notes)]
    assert [(one.program, one.is_drum) for one in back.tracks] == [(one.program, one.is_drum) for one in sounding]
    for before, after in zip(sounding, back.tracks, strict=True):
        for pitch in range(58, 63):
            ours = sorted(row for row in rows(before) if row[2] == pitch)
            theirs = sorted(row for row in rows(after) if row[2] == pitch)
            assert len(ours) == len(theirs)
            assert sorted(_level(row) for row in ours) == sorted(_level(row) for row in theirs)
            for old, new in zip(ours, theirs, strict=True):
                assert abs(_steps(old[0], piece, time_base) - _steps(new[0], piece, time_base)) <= _bound(
                    piece, time_base
                )
    if not encoded.repairs:
        ends = [sorted((r[2], r[0] + r[1]) for r in rows(one)) for one in sounding]
        back_ends = [sorted((r[2], r[0] + r[1]) for r in rows(one)) for one in back.tracks]
        for old, new in zip(ends, back_ends, strict=True):
            for (_, a), (_, b) in zip(old, new, strict=True):
                error = abs(_steps(a, piece, time_base) - _steps(b, piece, time_base))
                assert error <= _bound(piece, time_base) + _longest_tick(piece, time_base)


def _level(row):
    return reference_codec.level_of(row[3])


def _longest_tick(piece, time_base):
    if time_base == "beats":
        return 32 / piece.ticks_per_beat
    return max([500_000, *piece.tempos.microseconds_per_beat.tolist()]) * 64e-6 / piece.ticks_per_beat


def _bound(piece, time_base):
    return 0.5 + _longest_tick(piece, time_base) / 2 + 1e-9


def _steps(tick, piece, time_base):
    if time_base == "beats":
        return tick * 32 / piece.ticks_per_beat
    starts = [0, *piece.tempos.tick.tolist(), np.inf]
    lengths = [500_000, *piece.tempos.microseconds_per_beat.tolist()]
    stretches = zip(pairwise(starts), lengths, strict=True)
    return sum(max(min(tick, b) - a, 0) * us for (a, b), us in stretches) * 64e-6 / piece.ticks_per_beat


@given(st.lists(st.integers(0, VOCABULARY_SIZE + 3), max_size=80) | st.lists(st.integers(0, 1070), max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_ids_decode_as_the_note_by_note_reference_says(ids):
    played = read_notes(np.array(ids, np.int64))
    columns = (played.part, played.pitch, played.onset, played.offset, played.velocity)
    assert sorted(zip(*(column.tolist() for column in columns), strict=True)) == reference_codec.decode(ids)
    for codec in (Codec(), Codec(time_base="seconds", parts=False, header=())):
        assert codec.decode(ids).note_count == len(played.part)


@given(st.lists(st.sampled_from([60, 61, 188, 189, 256, 260, 768, 773, 779, 780, 811, 778, 774]), max_size=60))
@settings(max_examples=300, deadline=None)
def test_ids_that_collide_often_decode_as_the_note_by_note_reference_says(ids):
    played = read_notes(np.array(ids, np.int64))
    columns = (played.part, played.pitch, played.onset, played.offset, played.velocity)
    assert sorted(zip(*(column.tolist() for column in columns), strict=True)) == reference_codec.decode(ids)


@pytest.mark.parametrize("ids", [[], [EOS], [-1, 70_000, 2**40], [60], [188], [779], [767] * 3], ids=str)
def test_broken_ids_give_a_score(ids):
    back = Codec().decode(np.array(ids, np.int64))
    assert back.note_count == (1 if ids == [60] else 0)


def test_a_note_that_is_never_ended_ends_with_the_stream_and_nothing_follows_eos():
    back = Codec(parts=False, header=()).decode([775, 60, 287, 776, 62, 287, 190])
    assert rows(back.tracks[0]) == [(0, 480, 60, int(VELOCITY_OF_BIN[3]))]


def test_several_notes_of_a_pitch_on_one_step_all_come_back():
    piece = score(track((5, 0, 60, 70), (5, 0, 60, 70), (5, 3, 60, 70), (5, 9, 60, 70)))
    encoded = Codec().encode(piece)
    back = Codec().decode(encoded.ids, encoded.maps)
    assert [row[:2] for row in rows(back.tracks[0])] == [(5, 1), (5, 1), (5, 1), (5, 9)]
    assert encoded.repairs == {"same_pitch_overlap": 1}


def test_two_tracks_of_one_program_keep_a_pitch_that_sounds_twice():
    piece = score(track((0, 32, 60, 75), program=40), track((16, 32, 60, 75), program=40))
    encoded = Codec().encode(piece)
    back = Codec().decode(encoded.ids, encoded.maps)
    assert [rows(one) for one in back.tracks] == [[(0, 32, 60, 75)], [(16, 32, 60, 75)]]
    assert encoded.repairs == {}


def test_without_parts_unisons_and_overlaps_are_repaired_and_counted():
    piece = score(track((0, 32, 60, 11), (0, 8, 62, 75)), track((0, 16, 60, 96), (4, 8, 62, 75)))
    encoded = Codec(parts=False).encode(piece)
    assert encoded.repairs == {"unison_merged": 1, "same_pitch_overlap": 1}
    back = Codec(parts=False).decode(encoded.ids, encoded.maps)
    assert rows(back.tracks[0]) == [(0, 32, 60, 96), (0, 4, 62, 75), (4, 8, 62, 75)]


def test_without_parts_drums_stay_only_where_they_are_alone():
    kit = track((0, 4, 36, 75), (8, 4, 38, 75), is_drum=True)
    codec = Codec(parts=False)
    mixed = codec.encode(score(track((0, 4, 60, 75)), kit))
    assert mixed.repairs == {"drum_notes_left_out": 2}
    assert codec.decode(mixed.ids, mixed.maps).note_count == 1
    alone = codec.encode(score(kit))
    back = codec.decode(alone.ids, alone.maps)
    assert [rows(one) for one in back.tracks] == [rows(kit)]
    assert back.tracks[0].is_drum


def test_more_than_32_tracks_of_few_programs_share_parts_by_program():
    piece = score(*(track((8 * i, 4, 60, 75), program=i % 3) for i in range(40)), track((0, 4, 36, 75), is_drum=True))
    encoded = Codec().encode(piece)
    back = Codec().decode(encoded.ids, encoded.maps)
    assert [(one.program, one.is_drum, len(one.notes)) for one in back.tracks] == [
        (0, False, 14),
        (1, False, 13),
        (2, False, 13),
        (0, True, 1),
    ]
    assert encoded.repairs == {"tracks_merged": 37}


def test_more_than_32_programs_join_the_nearest_and_no_note_is_lost():
    busy = [track(*((8 * j, 4, 60 + i % 12, 75) for j in range(2 + i)), program=i) for i in range(40)]
    piece = score(track((0, 4, 36, 75), is_drum=True), *busy)
    encoded = Codec().encode(piece)
    back = Codec().decode(encoded.ids, encoded.maps)
    assert back.note_count == piece.note_count
    assert [one.program for one in back.tracks] == [0, *range(9, 40)]
    assert [one.is_drum for one in back.tracks] == [True] + [False] * 31
    assert encoded.repairs["tracks_merged"] == 9
    assert len(back.tracks[1].notes) == sum(2 + i for i in range(10))


def test_maps_come_back_in_full_also_after_the_last_note():
    piece = score(
        track((7, 3, 60, 75)),
        ticks_per_beat=123,
        tempos=Tempos([0, 50, 9_999_999], [400_000, 700_001, 1]),
        time_signatures=TimeSignatures([0, 8_000_000], [17, 5], [4, 32]),
        key_signatures=KeySignatures([3], [-7], [True]),
    )
    for base in ("beats", "seconds"):
        encoded = Codec(time_base=base).encode(piece)
        back = Codec(time_base=base).decode(encoded.ids, encoded.maps)
        assert back.ticks_per_beat == 123
        for name in ("tempos", "time_signatures", "key_signatures"):
            assert getattr(back, name) == getattr(piece, name)


def test_without_maps_the_header_gives_tempo_meter_and_key():
    piece = score(
        track((0, 32, 60, 75)),
        tempos=Tempos([0], [60_000_000 // 97]),
        time_signatures=TimeSignatures([0], [3], [4]),
        key_signatures=KeySignatures([0], [2], [False]),
    )
    back = Codec().decode(Codec().encode(piece).ids)
    assert back.ticks_per_beat == 480
    bpm = 60e6 / back.tempos.microseconds_per_beat[0]
    assert bpm == pytest.approx(97, rel=10 ** (0.5 / 31) - 1)
    assert (back.time_signatures, back.key_signatures) == (piece.time_signatures, piece.key_signatures)
    assert Codec().decode([60, 287]).tempos == Tempos()


def test_seconds_follow_the_tempo_and_no_maps_means_120_bpm():
    codec = Codec(time_base="seconds", header=())
    slow = score(track((32, 32, 60, 75)), tempos=Tempos([0], [1_000_000]))
    ids = codec.encode(slow).ids
    assert 256 + 63 in ids.tolist()
    assert rows(codec.decode(ids).tracks[0]) == [(960, 960, 60, 75)]


def test_a_window_without_its_beginning_is_played_by_the_first_declared_part():
    back = Codec().decode([775, 781, 811 + 9, 782, 811 + 128, 778, 60, 287, 188, 782, 38])
    assert [(one.program, one.is_drum, len(one.notes)) for one in back.tracks] == [(9, False, 1), (0, True, 1)]


def test_too_long_a_piece_is_rejected_before_memory_is_taken():
    for piece in (score(track((2**40, 1, 60, 75))), score(track((2**30, 1, 60, 75)), ticks_per_beat=1)):
        with pytest.raises(Rejected) as caught:
            Codec().encode(piece)
        assert caught.value.reason is RejectReason.TICK_OVERFLOW


def test_vocabulary_ends_with_the_last_group_in_use():
    sizes = {
        779: Codec(parts=False, header=()),
        940: Codec(header=()),
        972: Codec(header=("tempo",)),
        1052: Codec(parts=False, header=("time_signature", "tempo")),
        1082: Codec(),
    }
    assert {codec.vocabulary_size: size for size, codec in sizes.items()} == {size: size for size in sizes}


def test_signature_tells_codecs_apart_and_brings_them_back():
    codecs = [
        Codec(time_base=base, parts=parts, header=header)
        for base in ("beats", "seconds")
        for parts in (True, False)
        for header in HEADERS
    ]
    signatures = [codec.signature() for codec in codecs]
    assert len({str(signature) for signature in signatures}) == len(codecs)
    assert [Codec.from_signature(signature).signature() for signature in signatures] == signatures


@pytest.mark.parametrize(
    "change", [{"layout": 0}, {"codec": 99}, {"time_base": "bars"}, {"header": ["tempo", "mood"]}, {"parts": 3, "x": 1}]
)
def test_a_signature_of_another_version_is_refused(change):
    with pytest.raises(DamagedError):
        Codec.from_signature(Codec().signature() | change)


def test_a_codec_with_unknown_options_is_refused():
    for options in ({"time_base": "bars"}, {"header": ("mood",)}):
        with pytest.raises(ValueError, match="known"):
            Codec(**options)
