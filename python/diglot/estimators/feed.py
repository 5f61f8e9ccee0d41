"""``Feed``: a task's images, or what the frozen part of the network makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from diglot.augment import Augment, FunctionAugment, row_keys
from diglot.estimators.frozen import Frozen
from diglot.images import ArrayStore, PreparedImages, batches
from diglot.progress import Reporter


class Feed:
    """Gives batches of images, or of the features that the frozen part computed once.

    Parameters
    ----------
    images : PreparedImages
        Where the images come from.
    places : ndarray of int
        Which of them are the rows.
    frozen : Frozen, optional
        The part of the network that images go through before the part that learns.
    augment : Augment or FunctionAugment, optional
        Random changes, drawn by row and epoch.
    seed : int
        Of the changes.
    score_batch : int
        How many images the frozen part takes at a time.
    threads : int, optional
        That decode images.
    """

    def __init__(
        self,
        images: PreparedImages,
        places: np.ndarray,
        *,
        frozen: Frozen | None = None,
        augment: Augment | FunctionAugment | None = None,
        seed: int = 0,
        score_batch: int = 64,
        threads: int | None = None,
    ) -> None:
        self._images, self._places, self._frozen = images, places, frozen
        self._augment, self._seed = augment, seed
        self._score_batch, self._threads = score_batch, threads
        self._features: ArrayStore | None = None
        # a user's function may not bear several threads; R's bear none but the main one
        self._ahead = 0 if isinstance(augment, FunctionAugment) else 4
        self._views = 1
        self.name = frozen.name if frozen else "data"

    def __len__(self) -> int:
        return len(self._places)

    def compute_features(self, views: int, memory_limit: int | None, reporter: Reporter) -> None:
        """Run the frozen part once, so that the epochs need it no more; else each batch does.

        Parameters
        ----------
        views : int
            How many changed views of each image, where there are changes.
        memory_limit : int, optional
            Bytes of features to keep in memory; more go to a file.
        reporter : Reporter
            Who hears of the progress.
        """
        if self._frozen is None:
            return
        self._views = 1 if self._augment is None else views
        self._features = self._frozen.all(
            self._images,
            self._places,
            views=self._views,
            change=None if self._augment is None else self._change,
            batch=self._score_batch,
            threads=self._threads,
            memory_limit=memory_limit,
            ahead=self._ahead,
            reporter=reporter,
        )

    def close(self) -> None:
        """Give back the memory and disk that features took."""
        if self._features is not None:
            self._features.close()

    def batches(
        self, rows: Sequence[np.ndarray], epoch: int = 0
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield position and contents of each batch: features, or images for `seen`."""
        if self._features is not None:
            first = (epoch % self._views) * len(self)
            return ((i, self._features.get(first + mine)) for i, mine in enumerate(rows))
        change = None
        if self._augment is not None:

            def change(batch: np.ndarray, position: int) -> np.ndarray:
                return self._change(batch, rows[position], epoch)

        places = [self._places[r] for r in rows]
        return batches(self._images, places, change, ahead=self._ahead, threads=self._threads)

    def all(self) -> Iterator[np.ndarray]:
        """Yield what the part that learns takes, for all rows in order."""
        count, step = len(self), self._score_batch
        rows = [np.arange(i, min(i + step, count)) for i in range(0, count, step)]
        return (self.seen(data) for _, data in self.batches(rows))

    def seen(self, data: np.ndarray) -> np.ndarray:
        """Return what the part that learns takes, of one of `batches`."""
        if self._frozen is None or self._features is not None:
            return data
        return self._frozen.outputs(data)

    def _change(self, batch: np.ndarray, rows: np.ndarray, epoch: int) -> np.ndarray:
        return self._augment.apply(batch, row_keys(self._seed, epoch, rows))
