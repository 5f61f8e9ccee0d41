"""The one loop that trains every model: schedules, callbacks, early stopping, checkpoints."""

from diglot.training.callbacks import Callback
from diglot.training.checkpoints import Checkpoints, State, find_checkpoint, read_checkpoint
from diglot.training.loop import Plan, Result, Task, train
from diglot.training.schedules import SCHEDULES, learning_rate

__all__ = [
    "SCHEDULES",
    "Callback",
    "Checkpoints",
    "Plan",
    "Result",
    "State",
    "Task",
    "find_checkpoint",
    "learning_rate",
    "read_checkpoint",
    "train",
]
