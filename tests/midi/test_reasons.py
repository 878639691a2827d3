import pickle

import pytest

from aurl.midi.reasons import Rejected, RejectReason, printable


@pytest.mark.parametrize("reason", RejectReason)
def test_every_reason_names_file_fault_and_next_step(reason):
    error = Rejected(reason, "something odd", name="song.mid")
    assert error.message == "song.mid: something odd"
    assert error.hint


def test_a_rejection_comes_back_whole_from_a_worker():
    error = pickle.loads(pickle.dumps(Rejected(RejectReason.SMPTE, "frames", name="a.mid")))
    assert (error.reason, error.fault, error.name) == (RejectReason.SMPTE, "frames", "a.mid")
    assert error.message == "a.mid: frames"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("été 夏.mid", "été 夏.mid"),
        ("red\x1b[31m.mid", "red\\x1b[31m.mid"),
        ("two\nlines.mid", "two\\nlines.mid"),
        ("\u202ereversed.mid", "\\u202ereversed.mid"),
        ("undecodable\udcff.mid", "undecodable\\udcff.mid"),
    ],
)
def test_names_cannot_steer_the_terminal(name, shown):
    assert printable(name) == shown
    assert str(Rejected(RejectReason.EMPTY, "empty", name=name)).startswith(shown)


def test_bytes_without_a_name_are_called_what_they_are():
    assert str(Rejected(RejectReason.EMPTY, "empty")) == "MIDI data: empty"
