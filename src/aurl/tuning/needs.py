"""What the search needs beside the package itself."""

from importlib.util import find_spec

from aurl.errors import AurlError


def check_optuna() -> None:
    """Make sure that Optuna is there, before anything that imports it.

    Raises:
        AurlError: it is not.
    """
    if find_spec("optuna") is None:
        raise AurlError("this needs Optuna", hint="install it: pip install 'aurl[tune]'")
