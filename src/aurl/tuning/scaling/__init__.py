"""Scaling laws: what larger models would come to, told from small ones."""

from aurl.tuning.scaling.fit import Fit, Point, fit_law
from aurl.tuning.scaling.forecast import Scaling, foretell
from aurl.tuning.scaling.law import Law
from aurl.tuning.scaling.picture import picture
from aurl.tuning.scaling.points import Measured, measure

__all__ = ["Fit", "Law", "Measured", "Point", "Scaling", "fit_law", "foretell", "measure", "picture"]
