"""Losses made larger while float16 computes their gradients, which else would vanish."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diglot.engine.torch import load
from diglot.engine.torch_mode import Tensor

torch = load()

_FIRST, _STEPS = 2.0**16, 2000


class LossScale:
    """What the loss is multiplied by, and its gradients are divided by again.

    The smallest number of float16 is 6e-8: gradients below it would be 0. So the loss is made as
    much larger as its gradients bear: where one becomes infinite, that step is left out and the
    scale halved; after 2,000 steps without, it is doubled (Micikevicius et al., Mixed Precision
    Training, 2018; the numbers are those of PyTorch's ``GradScaler``).

    Attributes
    ----------
    value : float
        A power of two, so that nothing is rounded by it.
    """

    def __init__(self) -> None:
        self.value, self._steps = _FIRST, 0

    def undo(self, gradients: Sequence[Tensor]) -> bool:
        """Divide gradients in place; whether they are finite, for which the device is waited."""
        torch._foreach_mul_(gradients, 1.0 / self.value)
        finite = bool(torch.stack([gradient.isfinite().all() for gradient in gradients]).all())
        self._steps = self._steps + 1 if finite else 0
        if not finite:
            self.value /= 2
        elif self._steps == _STEPS:
            self.value, self._steps = 2 * self.value, 0
        return finite

    def state(self) -> np.ndarray:
        """Return the scale, and how many steps it has stood."""
        return np.array([self.value, self._steps], np.float64)

    def load_state(self, state: np.ndarray) -> None:
        """Set what :meth:`state` returned."""
        self.value, self._steps = float(state[0]), int(state[1])
