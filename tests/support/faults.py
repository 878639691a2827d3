"""Harm done to a run while it trains, so that it can be seen what becomes of it."""

from collections.abc import Callable, Collection
from contextlib import contextmanager

from torch import Tensor, nn

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
    return nan_outputs_at(places, lambda session: session.learner.plain)


def nan_outputs_at(places: Collection[tuple[int, int]], choose: Callable[[Session], nn.Module]) -> Fault:
    """What a module makes of some batches, by (epoch, batch), is no number."""

    def spoil(session: Session) -> None:
        def hook(module: nn.Module, given: object, made: Tensor) -> Tensor:
            is_due = module.training and (session.state.epoch, session.state.batch) in places
            return made * float("nan") if is_due else made

        choose(session).register_forward_hook(hook)

    return spoil


def nan_gradients_at(places: Collection[tuple[int, int]], choose: Callable[[Session], Tensor]) -> Fault:
    """The gradient of a weight in some batches, by (epoch, batch), is no number."""

    def spoil(session: Session) -> None:
        def hook(gradient: Tensor) -> Tensor:
            return gradient * float("nan") if (session.state.epoch, session.state.batch) in places else gradient

        choose(session).register_hook(hook)

    return spoil
