"""Weight updates on MXNet's fused operators, with a state that is plain named arrays.

MXNet's own optimiser objects keep their counters in private fields and save themselves with
pickle; resuming to the byte needs a state that can be read, stored and set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from diglot.engine import Optimiser

_MOMENTS = {"sgd": ("momentum",), "adam": ("mean", "variance"), "adamw": ("mean", "variance")}


class Updater:
    """Moves weights along their gradients.

    Parameters
    ----------
    mx : module
        MXNet.
    rule : Optimiser
        What to do.
    weights : mapping of str to NDArray
        The learned arrays; they are changed in place.
    gradients : mapping of str to NDArray
        Of the same names; sums over the batch.
    decays : mapping of str to bool
        Whether weight decay applies, by name.
    factors : mapping of str to float
        What the learning rate is multiplied by, by name.
    """

    def __init__(
        self,
        mx: ModuleType,
        rule: Optimiser,
        weights: Mapping[str, Any],
        gradients: Mapping[str, Any],
        decays: Mapping[str, bool],
        factors: Mapping[str, float],
    ) -> None:
        self._mx, self._rule = mx, rule
        self.weights, self.gradients = weights, gradients
        self._factors = factors
        self._decay = {n: rule.weight_decay if decays[n] else 0.0 for n in weights}
        moments = () if rule.name == "sgd" and not rule.momentum else _MOMENTS[rule.name]
        self._state = {
            n: [mx.nd.zeros(w.shape, ctx=w.context, dtype=w.dtype) for _ in moments]
            for n, w in weights.items()
        }
        self._moments = moments
        self._steps = 0

    def step(self, rate: float, batch: int) -> None:
        """Update every weight once; gradients are divided by ``batch``."""
        self._steps += 1
        if self._rule.clip_norm is not None:
            self._mx.gluon.utils.clip_global_norm(
                list(self.gradients.values()),
                self._rule.clip_norm * batch,
                check_isfinite=False,  # a check would wait for the device
            )
        update = self._sgd if self._rule.name == "sgd" else self._adam
        for name, weight in self.weights.items():
            update(name, weight, self.gradients[name], rate * self._factors[name], 1.0 / batch)

    def _sgd(self, name: str, weight: Any, gradient: Any, rate: float, scale: float) -> None:
        nd, decay = self._mx.nd, self._decay[name]
        if self._moments:
            if decay:
                # Not the operator's wd: in place, it decays the momentum by the weight after.
                gradient += weight * (decay / scale)
            nd.nag_mom_update(
                weight,
                gradient,
                self._state[name][0],
                out=weight,
                lr=rate,
                momentum=self._rule.momentum,
                wd=0.0,
                rescale_grad=scale,
            )
        else:
            nd.sgd_update(weight, gradient, out=weight, lr=rate, wd=decay, rescale_grad=scale)

    def _adam(self, name: str, weight: Any, gradient: Any, rate: float, scale: float) -> None:
        rule, decay = self._rule, self._decay[name]
        if rule.name == "adamw" and decay:
            weight *= 1.0 - rate * decay
            decay = 0.0
        correction = math.sqrt(1.0 - rule.beta2**self._steps) / (1.0 - rule.beta1**self._steps)
        self._mx.nd.adam_update(
            weight,
            gradient,
            *self._state[name],
            out=weight,
            lr=rate * correction,
            beta1=rule.beta1,
            beta2=rule.beta2,
            # Kingma and Ba add epsilon after the bias correction, MXNet's operator before.
            epsilon=rule.epsilon * math.sqrt(1.0 - rule.beta2**self._steps),
            wd=decay,
            rescale_grad=scale,
        )

    def state(self) -> dict[str, np.ndarray]:
        """Return the moments by ``<moment>/<parameter>``, and the counter ``steps``."""
        arrays = {
            f"{moment}/{name}": array.asnumpy()
            for name, kept in self._state.items()
            for moment, array in zip(self._moments, kept, strict=True)
        }
        return {"steps": np.array([self._steps], np.int64), **arrays}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Set what :meth:`state` returned."""
        self._steps = int(state["steps"][0])
        for name, kept in self._state.items():
            for moment, array in zip(self._moments, kept, strict=True):
                array[:] = state[f"{moment}/{name}"]
