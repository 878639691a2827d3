"""The file that `aurl profile new` writes, and the tables of the documentation."""

import re
from typing import get_args

import tomli

from aurl.profile import Profile, Tokens, describe_keys, describe_kinds, known_keys, load_profile, template
from aurl.registry import HOMES
from aurl.tokens.vocabulary import TIME_BASES, Header


def test_every_key_is_described_in_a_sentence():
    described = {key.key: key for key in describe_keys()}
    assert tuple(described) == known_keys()
    for key in described.values():
        assert key.description.endswith("."), key.key
        assert len(key.description) > 20, key.key
        assert key.type, key.key


def test_types_are_told_in_words():
    types = {key.key: key.type for key in describe_keys()}
    assert types["training.optimizer"] == "table"
    assert types["training.max_steps"] == 'whole number, ≥ 1 or "none"'
    assert types["tokens.time_base"] == '"beats" | "seconds"'
    assert types["model.mode"] == '"transformer" | "vae" | "vae_gan"'


def test_template_as_it_stands_changes_nothing(places):
    (places.project / "mine.toml").write_text(template())
    assert load_profile(["./mine.toml"], check=()) == load_profile(check=())


def test_template_with_every_key_uncommented_is_the_defaults(places):
    text = re.sub(r"^# (\w+ = )(?!\"What)", r"\1", template(), flags=re.MULTILINE)
    text = re.sub(r"^extends.*$", "", text, flags=re.MULTILINE)
    table = tomli.loads(text)
    assert {f"{section}.{key}" for section in table for key in table[section]} == set(known_keys())
    (places.project / "mine.toml").write_text(text)
    assert load_profile(["./mine.toml"], check=()) == Profile()


def test_template_shows_every_kind_with_its_options():
    text = template()
    for registry in HOMES:
        for kind in describe_kinds(registry):
            assert f'kind "{kind.kind}": {kind.summary.rstrip(".")}' in text
            assert kind.options in text


def test_choices_are_those_of_the_token_layout():
    """The profile may not import the tokens' room, so both name the choices."""
    assert set(get_args(Tokens.model_fields["time_base"].annotation)) == set(TIME_BASES)
    assert get_args(get_args(Tokens.model_fields["header"].annotation)[0]) == get_args(Header)
