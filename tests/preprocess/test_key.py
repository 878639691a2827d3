import pytest
from tests.support.scores import notes, score, track

from aurl.midi.score import KeySignatures
from aurl.preprocess import PREPROCESS
from aurl.preprocess.key import shift_to_c, transposed
from aurl.studies.key import estimate_key

MAJOR_TUNE = (0, 4, 7, 5, 2, 11, 0, 7, 9, 5, 4, 2, 0, 0)
MINOR_TUNE = (0, 3, 7, 8, 7, 5, 2, 11, 0, 3, 2, 0, 7, 0)


def tune(degrees, tonic):
    return notes(*((i * 32, 32, 60 + tonic + degree, 70) for i, degree in enumerate(degrees)))


@pytest.mark.parametrize("tonic", range(12))
@pytest.mark.parametrize(("degrees", "minor"), [(MAJOR_TUNE, False), (MINOR_TUNE, True)])
def test_every_key_is_found_and_brought_home(degrees, minor, tonic):
    found = find_key(tune(degrees, tonic))
    assert (found.tonic, found.minor) == (tonic, minor)
    after = PREPROCESS.build("key")(score(track(*rows(tune(degrees, tonic)))))
    home = 9 if minor else 0
    moved = after.tracks[0].notes.pitch.astype(int) - tune(degrees, tonic).pitch
    assert len(set(moved.tolist())) == 1
    assert abs(moved[0]) <= 6
    assert (tonic + moved[0]) % 12 == home


def find_key(table):
    return estimate_key(table.pitch, table.duration)


def rows(table):
    columns = (table.onset, table.duration, table.pitch, table.velocity)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_the_way_is_the_shortest():
    keys = [find_key(tune(MAJOR_TUNE, tonic)) for tonic in range(12)]
    assert [shift_to_c(found) for found in keys] == [0, -1, -2, -3, -4, -5, 6, 5, 4, 3, 2, 1]


def test_signatures_move_along_and_drums_stay():
    drums = track((0, 9, 36, 70), is_drum=True)
    keys = KeySignatures([0, 64, 96], [2, -1, -7], [False, False, True])
    piece = score(track(*rows(tune(MAJOR_TUNE, 2))), drums, key_signatures=keys)
    after = PREPROCESS.build("key")(piece)
    assert after.tracks[0].notes.pitch.tolist() == [60 + degree for degree in MAJOR_TUNE]
    assert after.tracks[1] == drums
    # D major → C major; F major → E flat major; A flat minor → F sharp (here: G flat) minor, three sharps.
    assert after.key_signatures == KeySignatures([0, 64, 96], [0, -3, 3], [False, False, True])


def test_unclear_keys_stay():
    chromatic = score(track(*((i * 32, 32, 60 + i, 70) for i in range(12))))
    assert PREPROCESS.build("key")(chromatic) is chromatic
    assert find_key(chromatic.tracks[0].notes) is None
    whole_tones = score(track(*((i * 32, 32 + i, 60 + 2 * i, 70) for i in range(6))))
    assert PREPROCESS.build("key", least_correlation=0.9)(whole_tones) is whole_tones
    assert PREPROCESS.build("key")(score(track(*rows(tune(MAJOR_TUNE, 0))))).tracks[0].notes == tune(MAJOR_TUNE, 0)


def test_notes_that_would_leave_the_range_stay_an_octave_nearer():
    piece = score(track((0, 32, 126, 70), (0, 48, 117, 90), (16, 9, 3, 70)))
    result = transposed(piece, 3)
    assert rows(result.score.tracks[0].notes) == [(0, 32, 117, 70), (0, 48, 120, 90), (16, 9, 6, 70)]
    assert result.repairs == {"key_folded": 1}
    clash = transposed(score(track((0, 32, 126, 70), (0, 48, 114, 90), (16, 9, 2, 70))), 3)
    assert rows(clash.score.tracks[0].notes) == [(0, 48, 117, 90), (16, 9, 5, 70)]
    assert clash.repairs == {"key_folded": 1, "key_merged": 1}
    low = transposed(score(track((0, 32, 2, 70))), -5)
    assert rows(low.score.tracks[0].notes) == [(0, 32, 9, 70)]


def test_a_piece_without_pitched_notes_stays():
    drums = score(track((0, 9, 36, 70), is_drum=True))
    assert PREPROCESS.build("key")(drums) is drums
