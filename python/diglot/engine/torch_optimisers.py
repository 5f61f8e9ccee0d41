"""Weight updates in PyTorch: the rules, and the state's names, of ``mxnet_optimisers``."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from diglot.engine import Optimiser
from diglot.engine.torch import load
from diglot.engine.torch_mode import Tensor, c_float

torch = load()

_MOMENTS = {"sgd": ("momentum",), "adam": ("mean", "variance"), "adamw": ("mean", "variance")}


class Updater:
    """Moves weights along their gradients, all of a kind at once.

    Parameters
    ----------
    rule : Optimiser
        What to do.
    weights : mapping of str to Tensor
        The learned arrays; they are changed in place.
    decays : mapping of str to bool
        Whether weight decay applies, by name.
    factors : mapping of str to float
        What the learning rate is multiplied by, by name.
    """

    def __init__(
        self,
        rule: Optimiser,
        weights: Mapping[str, Tensor],
        decays: Mapping[str, bool],
        factors: Mapping[str, float],
    ) -> None:
        self._rule, self.weights = rule, dict(weights)
        moments = () if rule.name == "sgd" and not rule.momentum else _MOMENTS[rule.name]
        self._state = {
            moment: {n: torch.zeros_like(w) for n, w in weights.items()} for moment in moments
        }
        # Weights of one factor and one decay are updated together: few calls for many arrays.
        self._alike: dict[tuple[float, float], list[str]] = {}
        for name in weights:
            decay = rule.weight_decay if decays[name] else 0.0
            self._alike.setdefault((factors[name], decay), []).append(name)
        self._steps = 0

    def step(self, gradients: Mapping[str, Tensor], rate: float) -> None:
        """Update every weight once, by the gradients of the mean over the batch."""
        self._steps += 1
        if not self.weights:
            return
        with torch.no_grad():
            if self._rule.clip_norm is not None:
                gradients = _clipped(gradients, self._rule.clip_norm)
            for (factor, decay), names in self._alike.items():
                weights = [self.weights[n] for n in names]
                mine = [gradients[n] for n in names]
                state = [[kept[n] for n in names] for kept in self._state.values()]
                update = self._sgd if self._rule.name == "sgd" else self._adam
                update(weights, mine, state, rate * factor, decay)

    def _sgd(self, weights, gradients, state, rate: float, decay: float) -> None:
        if decay:
            gradients = torch._foreach_add(gradients, weights, alpha=decay)
        if state:
            (momentum,), mu = state, c_float(self._rule.momentum)
            torch._foreach_mul_(momentum, mu)
            torch._foreach_add_(momentum, gradients, alpha=-rate)
            torch._foreach_add_(weights, momentum, alpha=mu)
        torch._foreach_add_(weights, gradients, alpha=-rate)

    def _adam(self, weights, gradients, state, rate: float, decay: float) -> None:
        rule, (means, variances) = self._rule, state
        if decay and rule.name == "adamw":
            torch._foreach_mul_(weights, 1.0 - rate * decay)
        elif decay:
            gradients = torch._foreach_add(gradients, weights, alpha=decay)
        # MXNet's operator has both with 24 bits, of which 1 - beta2 has few left.
        beta1, beta2 = c_float(rule.beta1), c_float(rule.beta2)
        torch._foreach_lerp_(means, gradients, 1.0 - beta1)
        torch._foreach_mul_(variances, beta2)
        torch._foreach_addcmul_(variances, gradients, gradients, 1.0 - beta2)
        correction = math.sqrt(1.0 - rule.beta2**self._steps)
        roots = torch._foreach_sqrt(variances)
        torch._foreach_add_(roots, rule.epsilon * correction)
        size = rate * correction / (1.0 - rule.beta1**self._steps)
        torch._foreach_addcdiv_(weights, means, roots, -size)

    def state(self) -> dict[str, np.ndarray]:
        """Return the moments by ``<moment>/<parameter>``, and the counter ``steps``."""
        arrays = {
            f"{moment}/{name}": np.array(self._state[moment][name].cpu(), order="C")
            for name in self.weights
            for moment in self._state
        }
        return {"steps": np.array([self._steps], np.int64), **arrays}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Set what :meth:`state` returned."""
        self._steps = int(state["steps"][0])
        for moment, kept in self._state.items():
            for name, array in kept.items():
                array.copy_(torch.from_numpy(np.array(state[f"{moment}/{name}"])))


def _clipped(gradients: Mapping[str, Tensor], largest: float) -> dict[str, Tensor]:
    """Return gradients whose norm, of all together, is not too large."""
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(gradients.values()))))
    scale = (largest / (norm + 1e-8)).clamp(max=1.0)
    scaled = torch._foreach_mul(list(gradients.values()), scale)
    return dict(zip(gradients, scaled, strict=True))
