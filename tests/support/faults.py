"""Harm done to a run while it trains, so that it can be seen what becomes of it."""

from collections.abc import Callable, Collection
from contextlib import contextmanager

from torch import nn

from aurl.training import sitting
from aurl.training.session import Session

Fault = Callable[[Session], None]
"""Does something to a session that has just been built, such as hooking its model."""


@contextmanager
def harmed(fault: Fault):
    """Every session that is built inside suffers `fault`."""
    build = sitting.build_session

    def build_and_harm(*given, **options):
        session = build(*given, **options)
        fault(session)
        return session

    sitting.build_session = build_and_harm
    try:
        yield
    finally:
        sitting.build_session = build


def nan_logits_at(places: Collection[tuple[int, int]]) -> Fault:
    """What the model says of some batches, by (epoch, batch), is no number."""

    def spoil(session: Session) -> None:
        def hook(module: nn.Module, given: object, logits):
            if module.training and (session.state.epoch, session.state.batch) in places:
                return logits * float("nan")
            return logits

        session.learner.plain.register_forward_hook(hook)

    return spoil
