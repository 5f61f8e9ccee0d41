"""The one loop that trains every model: schedules, callbacks, early stopping, checkpoints."""

from diglot.training.callbacks import Callback
from diglot.training.checkpoints import (
    Checkpoint,
    Checkpoints,
    State,
    check_arrays,
    check_place,
    find_checkpoint,
    read_checkpoint,
)
from diglot.training.loop import Plan, Remembering, Result, Task, train
from diglot.training.range_test import LearningRates, range_test
from diglot.training.schedules import SCHEDULES, learning_rate

__all__ = [
    "SCHEDULES",
    "Callback",
    "Checkpoint",
    "Checkpoints",
    "LearningRates",
    "Plan",
    "Remembering",
    "Result",
    "State",
    "Task",
    "check_arrays",
    "check_place",
    "find_checkpoint",
    "learning_rate",
    "range_test",
    "read_checkpoint",
    "train",
]
