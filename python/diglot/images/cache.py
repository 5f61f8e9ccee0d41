"""Images decoded and made to fit once, kept in memory and beyond that in a mapped file."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from diglot.errors import ImageError
from diglot.images.image_set import ImageSet
from diglot.images.memory import usable_cores
from diglot.images.prepare import check_channels, to_unit
from diglot.images.store import ArrayStore

_STATISTICS_BLOCK = 64
_LOCKS = 64


class PreparedImages:
    """Images that all fit one input specification, at hand by their row.

    Each image is decoded and resized when it is first asked for, and then kept: in memory up to
    `memory_limit`, the rest in a temporary file that is mapped into memory. The file has no name
    on POSIX systems, so that nothing is left behind however the process ends. Where the disk has
    no room either, the remaining images are decoded anew each time. Arrays that need no
    preparation are used as they are, without a copy.

    Parameters
    ----------
    images : ImageSet
        The images, as from `as_images`.
    spec : InputSpec
        The input that the network takes.
    memory_limit : int, optional
        Bytes to keep in memory; by default half of what is available now.
    threads : int, optional
        Threads that decode for `statistics`; by default all cores.
    cache : bool
        False decodes anew each time, for images that are needed only once.

    Attributes
    ----------
    dtype : numpy.dtype
        uint8 (0 to 255) or float32; what `get` returns.
    shape : (int, int, int)
        Height, width and channels of each image.

    Raises
    ------
    ImageError
        If a file cannot be opened, or an image's channels do not fit.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from diglot.images import as_images
    >>> spec = SimpleNamespace(height=4, width=4, channels=1, resize="squash",
    ...     crop_fraction=0.875, interpolation="bilinear", convert_colour=False)
    >>> prepared = PreparedImages(as_images(np.ones((3, 8, 8), "uint8")), spec)
    >>> prepared.get([2, 0]).shape
    (2, 4, 4, 1)
    """

    def __init__(
        self,
        images: ImageSet,
        spec: Any,
        memory_limit: int | None = None,
        threads: int | None = None,
        cache: bool = True,
    ) -> None:
        self.images = images
        self.spec = spec
        self.shape = (spec.height, spec.width, spec.channels)
        self._threads = usable_cores() if threads is None else max(1, int(threads))
        self._array: np.ndarray | None = None
        self._rows = np.arange(0)
        self.dtype = self._check_all()
        self._store: ArrayStore | None = None
        if self._array is None and cache:
            self._store = ArrayStore(len(images), self.shape, self.dtype, memory_limit)
        self._done = np.zeros(len(images), bool)
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self._keys: list[bytes] | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def is_array(self) -> bool:
        """Whether the images are an array that needs no preparation."""
        return self._array is not None

    def __enter__(self) -> PreparedImages:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_all(self) -> np.dtype:
        images, spec = self.images, self.spec
        whole = images.whole()
        if whole is not None:
            array, self._rows = whole
            if len(images):
                check_channels(array.shape[3], spec, images.name(0), from_file=False)
            if array.shape[1:] == self.shape:
                self._array = array
            return np.dtype(np.uint8 if array.dtype == np.uint8 else np.float32)
        headers = images.headers()
        for i, header in enumerate(headers):
            check_channels(header.channels, spec, images.name(i), from_file=images.is_files)
        small = all(header.dtype == "uint8" for header in headers)
        return np.dtype(np.uint8 if small else np.float32)

    @property
    def in_memory(self) -> int:
        """How many of the images have their place in memory."""
        return self._store.in_memory if self._store else 0

    @property
    def on_disk(self) -> int:
        """How many of the images have their place in the mapped file."""
        return self._store.on_disk if self._store else 0

    def get(self, indices: Any) -> np.ndarray:
        """Return the images at `indices`. May be called from several threads at once.

        Parameters
        ----------
        indices : array-like of int
            0-based rows.

        Returns
        -------
        ndarray of shape (b, height, width, channels)
            Of type `dtype`; a new array.

        Raises
        ------
        ImageError
            Names the image that cannot be decoded.
        """
        rows = np.asarray(indices, dtype=np.intp)
        batch = self._gathered(rows)
        if self._keys is not None:
            for row, key in zip(rows.tolist(), _keys_of(batch), strict=True):
                self._keys[row] = key
        return batch

    def _gathered(self, rows: np.ndarray) -> np.ndarray:
        if self._array is not None:
            batch = self._array[self._rows[rows]]
            return to_unit(batch) if batch.dtype == np.uint16 else batch
        if self._store is not None and self.in_memory == len(self.images):
            for row in rows[~self._done[rows]].tolist():
                self._fill(row)
            return self._store.get(rows)
        batch = np.empty((len(rows), *self.shape), self.dtype)
        for position, row in enumerate(rows.tolist()):
            batch[position] = self._one(row)
        return batch

    def _one(self, row: int) -> np.ndarray:
        place = self._store.place(row) if self._store else None
        if place is None:
            return self._made(row)
        if not self._done[row]:
            self._fill(row)
        return place

    def _fill(self, row: int) -> None:
        # Neighbouring batches may ask for the same image at the same time: one decodes it.
        with self._locks[row % _LOCKS]:
            if not self._done[row]:
                place = self._store.place(row) if self._store else None
                if place is not None:
                    place[...] = self._made(row)
                    self._done[row] = True

    def _made(self, row: int) -> np.ndarray:
        image = self.images.prepared(row, self.spec)
        if image.dtype == self.dtype:
            return image
        if self.dtype == np.float32:
            return to_unit(image)
        name = self.images.name(row)
        raise ImageError(f"'{name}' changed while it was in use; start again.")

    def statistics(self, indices: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of each channel of the scaled pixels.

        Parameters
        ----------
        indices : array-like of int, optional
            The rows that count; all by default.

        Returns
        -------
        mean, std : ndarray of shape (channels,), float64
            Of values after integers were scaled to 0...1. A constant channel has std 1. The same
            bytes for any number of threads: sums run over fixed blocks, merged in their order by
            Chan, Golub and LeVeque's formula (1979, "Updating formulae and a pairwise algorithm
            for computing sample variances").
        """
        rows = np.arange(len(self)) if indices is None else np.asarray(indices, dtype=np.intp)
        channels = self.shape[2]
        count, mean, squares = 0, np.zeros(channels), np.zeros(channels)
        blocks = [
            rows[start : start + _STATISTICS_BLOCK]
            for start in range(0, len(rows), _STATISTICS_BLOCK)
        ]
        with ThreadPoolExecutor(self._threads) as pool:
            # Few at a time, so that an error does not wait for the whole folder.
            for start in range(0, len(blocks), 64):
                for more, other_mean, other_squares in pool.map(
                    self._moments, blocks[start : start + 64]
                ):
                    gap = other_mean - mean
                    total = count + more
                    mean = mean + gap * (more / total)
                    squares = squares + other_squares + gap * gap * (count * more / total)
                    count = total
        if not count:
            return mean, np.ones(channels)
        std = np.sqrt(squares / count)
        # Rounding leaves a constant channel a tiny spread, and dividing by that a huge one.
        return mean, np.where(std > 1e-7 * np.maximum(np.abs(mean), 1e-30), std, 1.0)

    def _moments(self, rows: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
        batch = self.get(rows)
        flat = batch.reshape(-1, batch.shape[3])
        scale = 255.0 if batch.dtype == np.uint8 else 1.0
        means, squares = [], []
        for channel in range(flat.shape[1]):
            values = flat[:, channel].astype(np.float64)
            centre = values.mean()
            values -= centre
            means.append(centre / scale)
            squares.append(float(np.square(values, out=values).sum()) / scale**2)
        return len(flat), np.array(means), np.array(squares)

    def keep_keys(self) -> None:
        """Keep each image's key from when it is asked for: then `keys` need not decode it anew."""
        self._keys = [b""] * len(self)

    def keys(self) -> list[bytes]:
        """Return 16 bytes an image that stand for its prepared pixels.

        Returns
        -------
        list of bytes
            BLAKE2b; equal for equal pixels, from a file or an array. Decodes what is not yet.
        """
        if self._keys is not None and all(self._keys):
            return self._keys
        starts = range(0, len(self), _STATISTICS_BLOCK)
        with ThreadPoolExecutor(self._threads) as pool:
            blocks = pool.map(
                lambda start: self._block_keys(start, min(start + _STATISTICS_BLOCK, len(self))),
                starts,
            )
            return [key for block in blocks for key in block]

    def _block_keys(self, start: int, end: int) -> list[bytes]:
        return _keys_of(self.get(np.arange(start, end)))

    def close(self) -> None:
        """Give back memory and disk; the images can no longer be asked for."""
        self._array = None
        if self._store is not None:
            self._store.close()


def _keys_of(batch: np.ndarray) -> list[bytes]:
    batch = np.ascontiguousarray(batch)
    return [hashlib.blake2b(image, digest_size=16).digest() for image in batch]
