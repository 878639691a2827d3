"""Where the numbers of a sitting go: `metrics.jsonl` first, then the log for people, the dashboard and trackers."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from aurl.training.dashboard import Dashboard
from aurl.training.log import Metrics, MetricsFile, Recorder
from aurl.training.monitor import describe
from aurl.training.session import Session
from aurl.training.trackers import Trackers

logger = logging.getLogger(__name__)


class LogLines:
    """A dated line for each record: where in the epoch, windows and how many of them were augmented, the numbers."""

    def write(self, step: int, metrics: Metrics) -> None:
        """Log one record of `step`."""
        logger.info("step %d: %s", step, describe(dict(metrics)))

    def sync(self) -> None:
        """A line is written as soon as it is logged."""


class Recorders:
    """Several recorders as one.

    Args:
        truth: what must be written, or training fails.
        others: what is not worth a run: one that fails is left out from then on, with a warning.
    """

    def __init__(self, truth: Recorder, others: Sequence[Recorder]) -> None:
        self._truth, self._others = truth, list(others)

    def write(self, step: int, metrics: Metrics) -> None:
        """Tell all of them of one record."""
        self._truth.write(step, metrics)
        for other in list(self._others):
            with self._left_out_if_it_fails(other):
                other.write(step, metrics)

    def sync(self) -> None:
        """A checkpoint is about to be saved."""
        self._truth.sync()
        for other in list(self._others):
            with self._left_out_if_it_fails(other):
                other.sync()

    @contextmanager
    def _left_out_if_it_fails(self, other: Recorder) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, the numbers are written and training goes on
            self._others.remove(other)
            name = type(other).__name__
            logger.warning("%s is left out from now on: %s: %s", name, type(error).__name__, error)


@contextmanager
def recording(session: Session) -> Iterator[Recorder]:
    """Everything that is told of the numbers of one sitting, in its main process."""
    run, profile = session.run, session.profile
    with ExitStack() as stack:
        metrics = stack.enter_context(MetricsFile(run.metrics))
        others: list[Recorder] = [LogLines(), Dashboard(run)]
        if profile.training.trackers:
            trackers = Trackers(profile.training.trackers, run.folder, profile, step=session.state.step)
            stack.callback(trackers.close)
            others.append(trackers)
        yield Recorders(metrics, others)
