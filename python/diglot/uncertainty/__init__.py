"""How sure a model is: calibrated probabilities, and sets of classes that keep a promise.

Arrays in, arrays and tables out; what was learned is a small object that JSON can hold.
"""

from diglot.uncertainty.calibration import (
    Isotonic,
    Temperature,
    calibration_from_dict,
    fit_calibration,
)
from diglot.uncertainty.conformal import (
    ConformalSets,
    fit_conformal,
    uniforms_of,
)
from diglot.uncertainty.coverage import coverage_table, interval_coverage_table
from diglot.uncertainty.intervals import NumberConformal, fit_intervals

__all__ = [
    "ConformalSets",
    "Isotonic",
    "NumberConformal",
    "Temperature",
    "calibration_from_dict",
    "coverage_table",
    "fit_calibration",
    "fit_conformal",
    "fit_intervals",
    "interval_coverage_table",
    "uniforms_of",
]
