"""All configured kinds, one after another."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aurl.augment.draft import Draft
from aurl.augment.passage import Passage
from aurl.augment.registry import AUGMENT, Augmentation
from aurl.errors import UsageError
from aurl.tokens.vocabulary import TimeBase


class Augmenter:
    """Passages to other passages: a pure function of (passage, generator, epoch).

    Ids follow the grammar wherever those of the passage did, in the order that the encoder writes.

    Args:
        components: kinds with their options, as a profile has them, in the order in which they are applied.
        time_base: that of the codec.

    Raises:
        UsageError: a kind or its options cannot be, or the kind has no meaning in this time base.
    """

    def __init__(self, components: Sequence[Mapping[str, Any]], *, time_base: TimeBase) -> None:
        self._time_base: TimeBase = time_base
        self._augmentations = tuple(self._built(component) for component in components)

    def __call__(self, passage: Passage, rng: np.random.Generator, epoch: int = 0) -> Passage:
        """A changed passage, or `passage` itself where no kind was drawn.

        Args:
            passage: its ids are not written to.
            rng: a new one for each passage.
            epoch: from 0; kinds may be likelier in later ones.
        """
        draft = None
        for augmentation in self._augmentations:
            if rng.random() < augmentation.schedule.at(epoch):
                draft = draft or Draft(passage, self._time_base)
                augmentation.change(draft, rng)
        return draft.finish() if draft else passage

    def _built(self, component: Mapping[str, Any]) -> Augmentation:
        augmentation = AUGMENT.from_component(component)
        if self._time_base not in augmentation.time_bases:
            raise UsageError(
                f"data.augment: {component['kind']} has no meaning in time base {self._time_base!r}",
                hint=f"leave it out, or prepare the data with tokens.time_base = {augmentation.time_bases[0]!r}",
            )
        return augmentation
