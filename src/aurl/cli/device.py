"""What the device decides where nobody has said it."""

from aurl.errors import UsageError

CPU_SIZE, ACCELERATOR_SIZE = "small", "base"


def default_device() -> str:
    """`cuda`, `mps` or `cpu`, whichever computes fastest here."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def check_device(name: str | None) -> str:
    """The device that is asked for, or the default one.

    Raises:
        UsageError: there is none of this name here.
    """
    import torch

    if name is None:
        return default_device()
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(name, False):
        names = ", ".join(known for known, there in available.items() if there)
        raise UsageError(f"there is no device {name!r} here", hint=f"there is: {names}")
    return name


def default_size(device: str | None) -> str:
    """The size of model that suits the device."""
    return CPU_SIZE if check_device(device) == "cpu" else ACCELERATOR_SIZE
