"""What each latent tells by itself of the ids in its segment, in no order (Zhao, Zhao & Eskenazi, ACL 2017)."""

from torch import Tensor
from torch.nn.functional import log_softmax

from aurl.tokens.vocabulary import PAD


def bag_sum(logits: Tensor, ids: Tensor, segment: Tensor) -> Tensor:
    """Negative log-likelihood of ids given the latent of their segment, in nats, summed over the ids that are not PAD.

    Args:
        logits: (B, n, V) of each segment; half precision is computed in float32.
        ids: (B, T).
        segment: (T,) which of the n each position belongs to.
    """
    log_probabilities = log_softmax(logits.float(), -1).flatten(1)  # (B, n × V): no (B, T, V) is made
    place = segment * logits.shape[-1] + ids
    return -log_probabilities.gather(1, place).masked_fill(ids == PAD, 0.0).sum()
