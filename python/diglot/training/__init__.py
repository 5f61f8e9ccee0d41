"""The one loop that trains every model: schedules, callbacks, early stopping, checkpoints."""

from diglot.training.callbacks import Callback
from diglot.training.checkpoints import (
    Checkpoint,
    Checkpoints,
    State,
    find_checkpoint,
    read_checkpoint,
)
from diglot.training.loop import Plan, Result, Task, train
from diglot.training.range_test import LearningRates, range_test
from diglot.training.schedules import SCHEDULES, learning_rate

__all__ = [
    "SCHEDULES",
    "Callback",
    "Checkpoint",
    "Checkpoints",
    "LearningRates",
    "Plan",
    "Result",
    "State",
    "Task",
    "find_checkpoint",
    "learning_rate",
    "range_test",
    "read_checkpoint",
    "train",
]
