"""What we write as TOML is what tomli reads."""

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from aurl.profile.toml import format_key, format_value, parse_value

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=10)


@given(values)
def test_every_value_comes_back_with_its_type(value):
    text = format_value(value)
    assert "\n" not in text
    back = tomli.loads(f"value = {text}")["value"]
    assert back == value
    assert type(back) is type(value)


@given(texts)
def test_every_key_comes_back(key):
    assert tomli.loads(f"{format_key(key)} = 1") == {key: 1}


@given(values)
def test_parse_value_reads_what_format_value_writes(value):
    assert parse_value(format_value(value)) == value


@pytest.mark.parametrize("text", ["cosine", "", "1/16", "a b", "1\nx = 2", "# c", "[1", "none"])
def test_what_is_no_toml_value_is_text(text):
    assert parse_value(text) == text


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="set"):
        format_value({1})
