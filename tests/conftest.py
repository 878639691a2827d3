"""Fixtures that more than one room's tests use."""

from hypothesis import settings

# Tests never judge time, and a change never fails for what chance found in something else: to search on, say
# `pytest --hypothesis-profile=search`.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("steady")
