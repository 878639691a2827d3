"""Cross entropy of the next token, and the likelihood sums that are reported per token and per note.

Conventions: an id predicts the one after it, so BOS is never a target and EOS always is; PAD is neither counted nor
learned; everything else counts, the piece's header (tempo, meter, key, parts) included. A header repeated in front of a
window that starts inside a piece is context, not a target (`targets_of`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from aurl.tokens.vocabulary import MASK, NOTE_ON, PAD


@dataclass(frozen=True, slots=True)
class Counts:
    """How many targets there are.

    Args:
        tokens: targets that are not PAD.
        notes: those that begin a note.
    """

    tokens: int
    notes: int

    @classmethod
    def of(cls, targets: Tensor) -> "Counts":
        """Count targets of any shape."""
        return cls(int((targets != PAD).sum()), int((targets < NOTE_ON.stop).sum()))


def targets_of(ids: Tensor, context: Tensor | None = None) -> Tensor:
    """What the model is to predict at every position.

    Args:
        ids: (B, T + 1), padded with PAD.
        context: (B,) how many leading ids of each row are only context (a repeated header); None for none.

    Returns:
        (B, T), PAD where nothing is to be predicted. MASK never is: it stands for what is not told.
    """
    targets = ids[:, 1:].masked_fill(ids[:, 1:] == MASK, PAD)
    if context is None:
        return targets
    position = torch.arange(1, ids.shape[1], device=ids.device)
    return targets.masked_fill(position < context[:, None], PAD)


def cross_entropy_sum(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross entropy in nats, summed over the targets that are not PAD.

    Args:
        logits: (B, T, V); half precision is computed in float32.
        targets: (B, T).
        label_smoothing: share of the probability that is spread over all ids, 0–1.

    Returns:
        A scalar; 0 where every target is PAD.
    """
    return functional.cross_entropy(
        logits.flatten(0, -2).float(),
        targets.flatten(),
        ignore_index=PAD,
        reduction="sum",
        label_smoothing=label_smoothing,
    )


def nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood of the targets in nats, summed; without gradient and without smoothing."""
    return cross_entropy_sum(logits.detach(), targets)


def token_nats(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood of each target in nats, `(B, T)`, 0 where there is PAD; without gradient."""
    told = log_probabilities.detach().gather(2, targets[..., None])[..., 0]
    return -told.masked_fill(targets == PAD, 0.0)
