"""What a Boltzmann machine adds to the one loop: what it dreams beside the data, its measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from diglot.engine import Executor
from diglot.errors import ModelFileError
from diglot.estimators.feed import Feed
from diglot.seeds import stream

_FLIPS = "pixels flipped in validation"


@dataclass(frozen=True)
class Recipe:
    """How batches are made.

    Attributes
    ----------
    batch_size : int
    seed : int
    steps : int
        Of Gibbs sampling between the data, or the last dream, and the next.
    persistent : bool
        Whether a dream goes on from the last one, not from the data.
    visible : {"binary", "gaussian"}
    n_hidden, pixels : int
        How many hidden and visible units there are.
    """

    batch_size: int
    seed: int
    steps: int
    persistent: bool
    visible: str
    n_hidden: int
    pixels: int


def dream(
    executor: Executor,
    pixels: np.ndarray,
    n_hidden: int,
    visible: str,
    steps: int,
    chance: np.random.Generator,
) -> np.ndarray:
    """Return what Gibbs sampling makes of pixels.

    Parameters
    ----------
    executor : Executor
        Of `diglot.boltzmann.graphs.gibbs_graph`.
    pixels : array of shape (n, pixels), float32
        Where to begin.
    n_hidden : int
    visible : {"binary", "gaussian"}
    steps : int
        How often hidden and visible units are drawn.
    chance : Generator
        What the draws come from.

    Returns
    -------
    array of shape (n, pixels), float32
    """
    draw = chance.standard_normal if visible == "gaussian" else chance.random
    for _ in range(steps):
        pixels = executor.forward(
            {
                "visible": pixels,
                "chance_hidden": chance.random((len(pixels), n_hidden), np.float32),
                "chance_visible": draw(pixels.shape, np.float32),
            }
        )
    return pixels


class Judge:
    """Measures free energy, reconstruction and pseudo-likelihood on images held out.

    Parameters
    ----------
    held, train : Feed
        Images held out, and as many of those that are learned from.
    scorer : Executor
        Of `diglot.boltzmann.graphs.judging_graph`, for weights that change.
    recipe : Recipe
    """

    def __init__(self, held: Feed, train: Feed, scorer: Executor, recipe: Recipe) -> None:
        self._held, self._train, self._scorer, self._recipe = held, train, scorer, recipe

    def __call__(self, executor: Executor) -> dict[str, float]:
        """Return the measures with the weights that the executor holds."""
        self._scorer.load_weights(executor.weights())
        energy, error = self._scored(self._held)
        measures = {
            "val_reconstruction_error": float(error.mean()),
            "free_energy_gap": float(energy.mean() - self._scored(self._train)[0].mean()),
        }
        if self._recipe.visible == "binary":
            flipped, _ = self._scored(self._held, _with_one_flipped(self._recipe.seed))
            pixels = np.prod(next(iter(self._held.all())).shape[1:])
            # log s(x), as logaddexp does not overflow
            likely = -np.logaddexp(0.0, energy.astype(np.float64) - flipped)
            measures["val_pseudo_likelihood"] = float(pixels * likely.mean())
        return measures

    def _scored(
        self, feed: Feed, change: Callable[[np.ndarray, int], np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        parts = []
        for number, data in enumerate(feed.all()):
            data = data if change is None else change(data, number)
            parts.append(self._scorer.outputs({"data": data})[:2])
        energy, error = (np.concatenate(some)[:, 0] for some in zip(*parts, strict=True))
        return energy, error


def _with_one_flipped(seed: int) -> Callable[[np.ndarray, int], np.ndarray]:
    """Flip one pixel of each image, the same ones in each epoch: then epochs can be compared."""

    def flip(data: np.ndarray, number: int) -> np.ndarray:
        flat = data.reshape(len(data), -1).copy()
        place = stream(seed, _FLIPS, number).integers(flat.shape[1], size=len(flat))
        rows = np.arange(len(flat))
        flat[rows, place] = 1 - flat[rows, place]
        return flat.reshape(data.shape)

    return flip


class BoltzmannTask:
    """What the loop trains: see :class:`diglot.training.Task`.

    Parameters
    ----------
    feed : Feed
        The images.
    recipe : Recipe
        How batches are made.
    executor : Executor
        Of `gibbs_graph`; what it dreams follows the weights as they are learned.
    judge : Judge, optional
        Measures on images held out.
    """

    metrics = ("loss", "reconstruction_error")

    def __init__(self, feed: Feed, recipe: Recipe, executor: Executor, judge: Judge | None) -> None:
        self.rows = len(feed)
        self.steps = -(-len(feed) // recipe.batch_size)
        self._feed, self._recipe, self._executor, self._judge = feed, recipe, executor, judge
        self._chains: np.ndarray | None = None

    def _order(self, epoch: int) -> list[np.ndarray]:
        order = stream(self._recipe.seed, "shuffle", epoch).permutation(self.rows)
        return np.array_split(order, self.steps)

    def weight_of(self, steps: int, epoch: int) -> float:
        """Return how many images an epoch's first steps have."""
        return float(sum(map(len, self._order(epoch)[:steps])))

    def batches(self, epoch: int, start: int) -> Iterator[Mapping[str, np.ndarray]]:
        """Yield images, and what the machine dreams beside them."""
        recipe, rows = self._recipe, self._order(epoch)[start:]
        for position, data in self._feed.batches(rows, epoch):
            # the loop asks for a batch when the step before is done: the weights are the newest
            chance = stream(recipe.seed, "gibbs", epoch, start + position)
            pixels = data.reshape(len(data), -1)
            if recipe.persistent:
                pixels = self._begun(pixels.shape[1])
            sample = dream(
                *(self._executor, pixels, recipe.n_hidden, recipe.visible, recipe.steps, chance)
            )
            if recipe.persistent:
                self._chains = sample
            yield {"data": data, "sample": sample[: len(data)]}

    def _begun(self, pixels: int) -> np.ndarray:
        """Return the chains, at first pure chance: as many as the largest step has images."""
        if self._chains is None:
            chance, count = stream(self._recipe.seed, "chains"), -(-self.rows // self.steps)
            if self._recipe.visible == "gaussian":
                self._chains = chance.standard_normal((count, pixels), np.float32)
            else:
                self._chains = (chance.random((count, pixels)) < 0.5).astype(np.float32)
        return self._chains

    def memory(self) -> dict[str, np.ndarray]:
        """Return the chains, where they go on from step to step."""
        return {} if self._chains is None else {"chains": self._chains}

    def remember(self, memory: Mapping[str, np.ndarray]) -> None:
        """Set the chains.

        Raises
        ------
        ModelFileError
            If they are not those of this machine and these images.
        """
        chains = memory.get("chains")
        wanted = (-(-self.rows // self.steps), self._recipe.pixels)
        kept = {"chains"} if self._recipe.persistent else set()
        if memory.keys() != kept:
            raise ModelFileError(f"the checkpoint is damaged: it keeps {sorted(memory)[:5]}")
        if chains is None:
            return
        if chains.dtype != np.float32 or chains.shape != wanted:
            raise ModelFileError(
                f"the checkpoint is damaged: its chains have the shape {chains.shape} of "
                f"{chains.dtype}, and not {wanted} of float32"
            )
        self._chains = np.ascontiguousarray(chains)

    def validate(self, executor: Executor) -> dict[str, float]:
        """Return the measures on images held out."""
        return {} if self._judge is None else self._judge(executor)
