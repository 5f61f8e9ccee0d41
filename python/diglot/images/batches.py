"""Batches for training and scoring, made ahead of their use in threads."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from diglot.images.cache import PreparedImages
from diglot.images.memory import usable_cores
from diglot.images.prepare import to_unit

_SMALL = 1 << 17
Transform = Callable[[np.ndarray, int], np.ndarray]


def batches(
    prepared: PreparedImages,
    batches_of_indices: Sequence[np.ndarray],
    transform: Transform | None = None,
    ahead: int = 4,
    threads: int | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield normalised batches in order, while threads prepare the next ones.

    Parameters
    ----------
    prepared : PreparedImages
        Where the images come from.
    batches_of_indices : sequence of int arrays
        The rows of each batch.
    transform : callable, optional
        ``transform(batch, position)`` gets and returns a float32 batch (b, height, width,
        channels) of values before normalisation (0 to 1 for 8-bit and 16-bit images). It must
        not depend on the order of calls, which threads do not keep.
    ahead : int
        How many batches may wait; 0 makes each batch when it is asked for.
    threads : int, optional
        Threads that make batches; by default all cores, at most 8.

    Yields
    ------
    position : int
        The batch's place in `batches_of_indices`.
    pixels : ndarray of shape (b, height, width, channels), float32
        ``(scaled - mean) / std``; the same bytes for any number of threads.

    Raises
    ------
    ImageError
        When the batch with the damaged image is due, not earlier.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from diglot.images import as_images
    >>> spec = SimpleNamespace(height=2, width=2, channels=1, mean=(0.5,), std=(0.5,))
    >>> prepared = PreparedImages(as_images(np.full((3, 2, 2), 255, "uint8")), spec)
    >>> for position, pixels in batches(prepared, [np.array([0, 1]), np.array([2])]):
    ...     print(position, pixels.shape, pixels.max())
    0 (2, 2, 2, 1) 1.0
    1 (1, 2, 2, 1) 1.0
    """
    normalise = _Normaliser(prepared.spec)

    def make(position: int) -> np.ndarray:
        pixels = prepared.get(batches_of_indices[position])
        if pixels.dtype != np.float32:
            pixels = to_unit(pixels)
        if transform is not None:
            pixels = transform(pixels, position)
        return normalise(pixels)

    count = len(batches_of_indices)
    # Copying a small batch out of an array takes less time than handing it between threads.
    largest = max(map(len, batches_of_indices), default=0) * math.prod(prepared.shape)
    if ahead < 1 or (transform is None and prepared.is_array and largest <= _SMALL):
        for position in range(count):
            yield position, make(position)
        return
    workers = min(8, usable_cores()) if threads is None else max(1, int(threads))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="diglot-images")
    waiting: deque[Future[np.ndarray]] = deque()
    try:
        for position in range(count + ahead):
            if position < count:
                waiting.append(pool.submit(make, position))
            if position >= ahead:
                yield position - ahead, waiting.popleft().result()
    finally:
        # Also when the consumer stops early: wait only for what is being made right now.
        pool.shutdown(wait=True, cancel_futures=True)


class _Normaliser:
    """Subtracts the mean and divides by the standard deviation, in place."""

    def __init__(self, spec: object) -> None:
        self._mean = np.asarray(spec.mean, np.float32)  # type: ignore[attr-defined]
        self._std = np.asarray(spec.std, np.float32)  # type: ignore[attr-defined]
        # An empty mean or std stands for pixels that are taken as they are.
        self._nothing = not self._mean.any() and bool((self._std == 1).all())
        if not self._nothing:
            channels = (spec.channels,)  # type: ignore[attr-defined]
            self._mean = np.broadcast_to(self._mean if self._mean.size else np.float32(0), channels)
            self._std = np.broadcast_to(self._std if self._std.size else np.float32(1), channels)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        if self._nothing:
            return pixels
        b, height, width, channels = pixels.shape
        # Whole pixel rows at once: numpy is slow on a last axis as short as three channels.
        rows = np.ascontiguousarray(pixels, np.float32).reshape(b, height, width * channels)
        mean, std = (self._mean, self._std) if channels == 1 else self._tiled(width)
        rows -= mean
        rows /= std
        return rows.reshape(b, height, width, channels)

    def _tiled(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        return np.tile(self._mean, width), np.tile(self._std, width)
