"""The one loop that trains every model: schedules, callbacks, early stopping, checkpoints."""

from diglot.training.callbacks import Callback
from diglot.training.checkpoints import Checkpoints
from diglot.training.loop import Plan, Result, Task, train
from diglot.training.schedules import SCHEDULES, learning_rate

__all__ = [
    "SCHEDULES",
    "Callback",
    "Checkpoints",
    "Plan",
    "Result",
    "Task",
    "learning_rate",
    "train",
]
