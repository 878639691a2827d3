"""A header that tells what was asked; the model tells the rest of it."""

from collections.abc import Mapping, Sequence

from aurl.generation.constraints.kinds import Rule
from aurl.generation.constraints.row import FORBIDDEN, Bias, Row
from aurl.tokens.rules import HEADER_STAGES, Stage
from aurl.tokens.vocabulary import GROUPS, PART, PROGRAM, SEP, Fact, Header


class ToldHeader(Rule):
    """What new pieces begin with.

    Args:
        values: group → value to tell.
        instruments: PROGRAM value of each part, in order; empty: the model chooses.
    """

    def __init__(self, values: Mapping[Header | Fact, int], instruments: Sequence[int] = ()) -> None:
        by_stage = {Stage[name.upper()]: GROUPS[name].start + value for name, value in values.items()}
        self._ids = {stage: by_stage[stage] for stage in HEADER_STAGES if stage in by_stage}
        self._instruments = instruments

    def restrict(self, row: Row, bias: Bias) -> None:
        """Nothing may be passed over that is to be told."""
        if row.stage in HEADER_STAGES:
            self._restrict_facts(row.stage, bias)
        if self._instruments and Stage.START < row.stage < Stage.BODY:
            self._restrict_parts(row, bias)

    def _restrict_facts(self, stage: int, bias: Bias) -> None:
        wanted = next((told for told in self._ids if told > stage), None)
        if wanted is None:
            return
        own, told = GROUPS[wanted.name.lower()], self._ids[wanted]
        bias[own.start : told] = bias[told + 1 : own.stop] = FORBIDDEN
        for later in HEADER_STAGES[HEADER_STAGES.index(wanted) + 1 :]:
            group = GROUPS[later.name.lower()]
            bias[group.start : group.stop] = FORBIDDEN
        bias[PART.start : PART.stop] = bias[SEP] = FORBIDDEN

    def _restrict_parts(self, row: Row, bias: Bias) -> None:
        if row.declared < len(self._instruments):
            bias[SEP] = FORBIDDEN
        else:
            bias[PART.start : PART.stop] = FORBIDDEN
        if row.stage == Stage.DECLARING:
            told = PROGRAM.start + self._instruments[row.declared - 1]
            bias[PROGRAM.start : told] = bias[told + 1 : PROGRAM.stop] = FORBIDDEN
