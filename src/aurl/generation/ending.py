"""How a piece ends where its length is reached."""

from aurl.generation.constraints.mask import GrammarMask
from aurl.tokens.vocabulary import EOS, TIME_SHIFT


def end_at_length(mask: GrammarMask, row: int, ids: list[int]) -> list[int]:
    """End the piece of a row, `ids`, in place: what sounds lasts until there; silence at the end is no part of it.

    Returns:
        The ids that were added.
    """
    state = mask.rows[row]
    if state.begun:
        last = TIME_SHIFT.start + state.left - 1
        mask.advance(row, last)
        added = [last, *mask.closing(row)]
    else:
        while TIME_SHIFT.start <= ids[-1] < TIME_SHIFT.stop:
            ids.pop()
        added = [EOS]
    ids += added
    return added
