"""Batches for training and scoring, made ahead of their use in threads."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np

from diglot.errors import ImageError
from diglot.images.cache import PreparedImages
from diglot.images.memory import usable_cores
from diglot.images.prepare import LARGEST, quoted, to_unit

_SMALL = 1 << 17  # numbers of a batch that is copied sooner than handed between threads
_WAITING = 1 << 25  # numbers of all batches that may wait
_PART = 1 << 19  # numbers of a batch that one thread makes at a time
_IN_CACHE = 1 << 20  # bytes of pixels that stay in a core's own cache
_AHEAD, _ALTERNATELY = 4, 8  # batches that are made before they are asked for
Transform = Callable[[np.ndarray, int], np.ndarray]


def batches(
    prepared: PreparedImages,
    batches_of_indices: Sequence[np.ndarray],
    transform: Transform | None = None,
    ahead: int | None = None,
    threads: int | None = None,
    alternate: bool = False,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield normalised batches in order, which threads make ahead of their use.

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
    ahead : int, optional
        How many batches may wait, by default 4, or 8 where they alternate; fewer where they are
        large: 128 MiB in all, but one at least. 0 makes each batch when it is asked for.
    threads : int, optional
        Threads that make batches; by default all cores, at most 8.
    alternate : bool
        For scoring on the same processor: the threads make ``ahead + 1`` batches, then rest while
        these are used. The threads of a network wait for each other at every layer, so that one
        that shares its core with a decoder holds up all of them.

    Yields
    ------
    position : int
        The batch's place in `batches_of_indices`.
    pixels : ndarray of shape (b, height, width, channels), float32
        ``(scaled - mean) / std``; the same bytes for any number of threads. In memory they lie
        channel by channel, so that to turn them around for an engine copies nothing.

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
    maker = _Maker(prepared, batches_of_indices, transform)
    if ahead is None:
        ahead = _ALTERNATELY if alternate else _AHEAD
    count = len(batches_of_indices)
    # Copying a small batch out of an array takes less time than handing it between threads.
    largest = max(map(len, batches_of_indices), default=0) * math.prod(prepared.shape)
    if ahead < 1 or (transform is None and prepared.is_array and largest <= _SMALL):
        for position in range(count):
            yield position, maker.make(position)
        return
    ahead = max(1, min(ahead, _WAITING // max(1, largest)))
    workers = min(8, usable_cores()) if threads is None else max(1, int(threads))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="diglot-images")
    begun: deque[_Begun] = deque()
    try:
        for position in range(count):
            if not (alternate and begun):
                first, end = position + len(begun), min(count, position + ahead + 1)
                begun += [maker.begin(pool, number) for number in range(first, end)]
            if alternate:
                wait([part for batch in begun for part in batch.parts])
            yield position, begun.popleft().whole()
    finally:
        # Also when the consumer stops early: wait only for what is being made right now.
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _Begun:
    """A batch that threads are filling."""

    planes: np.ndarray
    parts: list[Future[None]]

    def whole(self) -> np.ndarray:
        for part in self.parts:
            part.result()
        return self.planes.transpose(0, 2, 3, 1)


class _Maker:
    """Makes batches, at once or part by part in threads."""

    def __init__(
        self,
        prepared: PreparedImages,
        batches_of_indices: Sequence[np.ndarray],
        transform: Transform | None,
    ) -> None:
        self._prepared, self._rows, self._transform = prepared, batches_of_indices, transform
        self._normalise = _Normaliser(prepared.spec)
        # What changes images at random gets whole batches, as it draws for all of them at once.
        self._step = max(1, _PART // math.prod(prepared.shape)) if transform is None else None

    def make(self, position: int) -> np.ndarray:
        planes = self._room(position)
        self._fill(planes, self._rows[position], position)
        return planes.transpose(0, 2, 3, 1)

    def begin(self, pool: ThreadPoolExecutor, position: int) -> _Begun:
        planes, rows = self._room(position), self._rows[position]
        step = self._step or max(1, len(rows))
        parts = [slice(start, start + step) for start in range(0, len(rows), step)]
        tasks = [pool.submit(self._fill, planes[part], rows[part], position) for part in parts]
        return _Begun(planes, tasks)

    def _room(self, position: int) -> np.ndarray:
        height, width, channels = self._prepared.shape
        return np.empty((len(self._rows[position]), channels, height, width), np.float32)

    def _fill(self, planes: np.ndarray, rows: np.ndarray, position: int) -> None:
        pixels = self._prepared.get(rows)
        if self._transform is not None:
            unit = pixels if pixels.dtype == np.float32 else to_unit(pixels)
            pixels = np.asarray(self._transform(unit, position), np.float32)
        try:
            self._normalise(pixels, planes)
        except FloatingPointError:
            largest = np.abs(pixels.astype(np.float64)).reshape(len(pixels), -1).max(axis=1)
            which = int(largest.argmax())
            name = quoted(self._prepared.images.name(int(rows[which])))
            raise ImageError(
                f"{name} has pixels up to {largest[which]:.3g}, which leave float32's range when "
                f"they are divided by the standard deviation {self._normalise.least:.3g} that the "
                "network expects; replace it or remove it from the data."
            ) from None


class _Normaliser:
    """Scales integers to 0...1, subtracts the mean and divides by the standard deviation.

    Raises FloatingPointError where a number leaves the range of float32.
    """

    def __init__(self, spec: Any) -> None:
        # An empty mean or std stands for pixels that are taken as they are.
        self._mean = np.broadcast_to(np.float32(spec.mean or 0), (spec.channels,))
        self._std = np.broadcast_to(np.float32(spec.std or 1), (spec.channels,))
        self.least = self._std.min()

    def __call__(self, pixels: np.ndarray, planes: np.ndarray) -> None:
        """Fill planes (b, channels, height, width), as engines take them, from images."""
        # A few images at a time, so that what one step writes is in the cache for the next.
        block = max(1, _IN_CACHE // max(1, planes[:1].nbytes))
        for start in range(0, len(pixels), block):
            for channel in range(pixels.shape[3]):
                self._fill(
                    planes[start : start + block, channel],
                    pixels[start : start + block, :, :, channel],
                    channel,
                )

    def _fill(self, plane: np.ndarray, values: np.ndarray, channel: int) -> None:
        plane[...] = values
        if values.dtype == np.uint8:
            plane /= LARGEST["uint8"]
        with np.errstate(over="raise"):
            if self._mean[channel]:
                plane -= self._mean[channel]
            if self._std[channel] != 1:
                plane /= self._std[channel]
