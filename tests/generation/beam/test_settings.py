import math
import sys
from subprocess import run

import pytest

from aurl.errors import UsageError
from aurl.generation.beam import Beam


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"width": 0}, "width 0"),
        ({"width": 6, "groups": 4}, "cannot be divided into 4 groups"),
        ({"groups": 0}, "into 0 groups"),
        *(({name: value}, name) for name in ("diversity", "length_penalty") for value in (-0.1, math.inf, math.nan)),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(wrong, told):
    with pytest.raises(UsageError, match=told):
        Beam(**wrong)


def test_settings_need_no_torch():
    code = (
        "import sys; from aurl.generation.beam import Beam; Beam(width=6, groups=3); sys.exit('torch' in sys.modules)"
    )
    assert run([sys.executable, "-c", code], check=False).returncode == 0
