import pytest

from aurl.model.attention.multi_scale import dealt


@pytest.mark.parametrize(
    ("n_windows", "n_heads", "expected"),
    [(3, 1, [2]), (3, 2, [0, 2]), (3, 3, [0, 1, 2]), (3, 4, [0, 1, 1, 2]), (1, 3, [0, 0, 0]), (2, 4, [0, 0, 1, 1])],
)
def test_first_and_last_window_always_have_a_head(n_windows, n_heads, expected):
    assert dealt(n_windows, n_heads) == expected
