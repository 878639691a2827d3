"""What a prompt may be; what becomes of it is the business of test_generate.py."""

import gzip

import numpy as np
import pytest

from aurl.generation.prompt import load_prompt
from aurl.midi.notation import read_notation
from aurl.midi.reasons import Rejected, RejectReason
from aurl.tokens.codec import Codec

ABC = b"X:1\nT:Scale\nM:4/4\nL:1/4\nK:D\nDEFG|ABcd|]\n"
CODEC = Codec(time_base="beats", parts=True)


@pytest.mark.parametrize("name", ["scale.abc", "scale.abc.gz"])
def test_written_music_is_a_prompt(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(ABC) if name.endswith(".gz") else ABC)
    expected = CODEC.encode(read_notation(ABC, suffix=".abc").score).ids[:-1]
    assert np.array_equal(load_prompt(path, CODEC).ids, expected)


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "text.mid").write_bytes(b"This is no music." * 10)
    for name, reason in (("text.mid", RejectReason.NOT_MIDI), ("gone.mid", RejectReason.UNREADABLE)):
        with pytest.raises(Rejected, match=name) as caught:
            load_prompt(tmp_path / name, CODEC)
        assert caught.value.reason == reason
