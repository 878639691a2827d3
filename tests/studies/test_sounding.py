from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aurl.studies.sounding import NOBODY, sounding

NOTES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30), st.integers(0, 127)), max_size=12)
EDGES = st.lists(st.integers(0, 60), min_size=2, max_size=8, unique=True).map(sorted)


@given(NOTES, EDGES)
def test_it_is_what_counting_every_moment_finds(notes, edges):
    onset, duration, pitch = np.array(notes, np.int64).reshape(-1, 3).T
    found = sounding(onset, onset + duration, pitch, np.array(edges))
    for span, (begin, end) in enumerate(pairwise(edges)):
        heard = [(p, t) for on, long, p in notes for t in range(on, on + long) if begin <= t < end]
        assert found.classes[span].tolist() == [sum(p % 12 == pc for p, _ in heard) for pc in range(12)]
        assert found.lowest[span] == min((p for p, _ in heard), default=NOBODY)
