"""Profiles are read from many places: each test gets empty ones of its own."""

import os
from types import SimpleNamespace

import pytest


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A user's configuration folder and a project folder, both empty, and no variables of aurl."""
    for variable in [name for name in os.environ if name.startswith("AURL_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    user, project = tmp_path / "config" / "aurl", tmp_path / "project"
    (user / "profiles").mkdir(parents=True)
    project.mkdir()
    monkeypatch.chdir(project)
    return SimpleNamespace(user=user, project=project)
