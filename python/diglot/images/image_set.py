"""Images in one form, wherever they are: `ImageSet`, and arrays, lists or files behind it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from diglot.images.decode import decode, file_size, read_header
from diglot.images.memory import usable_cores
from diglot.images.picture import Header
from diglot.images.prepare import prepare, prepare_file


class ImageSet:
    """Images in a fixed order, in memory or as files; made by `as_images`.

    Parameters
    ----------
    store : object
        Where the images are (one of this module's stores).
    index : ndarray of int, optional
        Which of the store's images, in which order; all of them by default.

    Attributes
    ----------
    is_files : bool
        Whether the images are files.

    Examples
    --------
    >>> from diglot.images import as_images
    >>> images = as_images(np.zeros((5, 8, 6), "uint8"))
    >>> len(images), images[0].shape, len(images.take([4, 0]))
    (5, (8, 6, 1), 2)
    """

    def __init__(self, store: Any, index: np.ndarray | None = None) -> None:
        self._store = store
        self._index = np.arange(len(store)) if index is None else index

    @classmethod
    def from_array(cls, array: np.ndarray, where: str) -> ImageSet:
        """Return the images of one array, (n, height, width, channels), which errors call so."""
        return cls(_Array(array, where))

    @classmethod
    def from_list(cls, images: list[np.ndarray], where: str) -> ImageSet:
        """Return images in memory that differ in size or type."""
        return cls(_List(images, where))

    @classmethod
    def from_files(cls, paths: list[str], where: str) -> ImageSet:
        """Return images in files."""
        return cls(_Files(paths, where))

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, i: int) -> np.ndarray:
        """Return image `i`, decoded: (height, width, channels), uint8, uint16 or float32."""
        return self._store.read(self._index[i])

    def prepared(self, i: int, spec: Any) -> np.ndarray:
        """Return image `i` as the input `spec` wants it.

        Of a file no more is decoded than that needs.

        Parameters
        ----------
        i : int
        spec : InputSpec
            The input that the network takes.

        Returns
        -------
        ndarray of shape (spec.height, spec.width, spec.channels)
            uint8 (0 to 255) or float32.

        Raises
        ------
        ImageError
            If the image cannot be read, or its channels do not fit.
        """
        return self._store.prepared(self._index[i], spec)

    def __repr__(self) -> str:
        return f"ImageSet({len(self)} images of {self._store.where})"

    @property
    def is_files(self) -> bool:
        """Whether the images are files."""
        return isinstance(self._store, _Files)

    @property
    def missing(self) -> np.ndarray:
        """Boolean (n,): which images are files that are not there now."""
        if not self.is_files:
            return np.zeros(len(self), bool)
        return np.array([file_size(self.name(i)) is None for i in range(len(self))], bool)

    def whole(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the one array that holds all images and the rows of it that count, or None.

        Returns
        -------
        array : ndarray of shape (m, height, width, channels)
            The caller's own array wherever that was possible, so do not write into it.
        rows : ndarray of int, shape (n,)
            Image `i` is ``array[rows[i]]``.
        """
        return (self._store.array, self._index) if isinstance(self._store, _Array) else None

    def take(self, indices: Any) -> ImageSet:
        """Return the images at `indices` (0-based), without copying any.

        Parameters
        ----------
        indices : array-like of int
            May repeat and reorder.

        Returns
        -------
        ImageSet
            Messages go on naming the rows of the original data.
        """
        return ImageSet(self._store, self._index[np.asarray(indices, dtype=np.intp)])

    def name(self, i: int) -> str:
        """Return what messages call image `i`: its path, or such as "row 3 of the array"."""
        return self._store.name(self._index[i])

    def headers(self) -> list[Header]:
        """Return size, channels and type of every image; of files only the headers are read.

        Raises
        ------
        ImageError
            Names the first file that cannot be read.
        """
        self._store.read_headers(self._index)
        return [self._store.header(i) for i in self._index]

    def sizes(self) -> np.ndarray:
        """Return (height, width) of every image as an integer (n, 2) array."""
        if isinstance(self._store, _Array):
            return np.tile(np.array(self._store.array.shape[1:3], dtype=np.int64), (len(self), 1))
        return np.array([(h.height, h.width) for h in self.headers()], np.int64).reshape(-1, 2)

    def channels(self) -> np.ndarray:
        """Return the number of channels of every image as an integer (n,) array."""
        if isinstance(self._store, _Array):
            return np.full(len(self), self._store.array.shape[3], dtype=np.int64)
        return np.array([h.channels for h in self.headers()], np.int64)


class _Array:
    """All images in one array (n, height, width, channels)."""

    def __init__(self, array: np.ndarray, where: str) -> None:
        self.array, self.where = array, where

    def __len__(self) -> int:
        return len(self.array)

    def read(self, i: int) -> np.ndarray:
        return self.array[i]

    def prepared(self, i: int, spec: Any) -> np.ndarray:
        return prepare(self.array[i], spec, self.name(i))

    def read_headers(self, index: np.ndarray) -> None:
        pass

    def header(self, i: int) -> Header:
        return Header(*self.array.shape[1:], str(self.array.dtype))

    def name(self, i: int) -> str:
        return f"row {i + 1} of {self.where}"


class _List:
    """Images in memory that differ in size or type."""

    def __init__(self, images: list[np.ndarray], where: str) -> None:
        self.images, self.where = images, where

    def __len__(self) -> int:
        return len(self.images)

    def read(self, i: int) -> np.ndarray:
        return self.images[i]

    def prepared(self, i: int, spec: Any) -> np.ndarray:
        return prepare(self.images[i], spec, self.name(i))

    def read_headers(self, index: np.ndarray) -> None:
        pass

    def header(self, i: int) -> Header:
        return Header(*self.images[i].shape, str(self.images[i].dtype))

    def name(self, i: int) -> str:
        return f"row {i + 1} of {self.where}"


class _Files:
    """Images in files."""

    def __init__(self, paths: list[str], where: str) -> None:
        self.paths, self.where = paths, where
        self._headers: list[Header | None] = [None] * len(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, i: int) -> np.ndarray:
        return decode(self.paths[i])

    def prepared(self, i: int, spec: Any) -> np.ndarray:
        return prepare_file(self.paths[i], spec)

    def read_headers(self, index: np.ndarray) -> None:
        wanted = [i for i in dict.fromkeys(index.tolist()) if self._headers[i] is None]
        if len(wanted) < 64:
            found: Any = map(read_header, [self.paths[i] for i in wanted])
            for i, header in zip(wanted, found, strict=True):
                self._headers[i] = header
            return
        # One task for each block of files: a task costs as much as a header.
        blocks = [wanted[start : start + 64] for start in range(0, len(wanted), 64)]
        with ThreadPoolExecutor(usable_cores()) as pool:
            tasks = [
                pool.submit(lambda b: [read_header(self.paths[i]) for i in b], b) for b in blocks
            ]
            try:
                for block, task in zip(blocks, tasks, strict=True):
                    for i, header in zip(block, task.result(), strict=True):
                        self._headers[i] = header
            finally:
                pool.shutdown(cancel_futures=True)

    def header(self, i: int) -> Header:
        header = self._headers[i]
        if header is None:
            header = self._headers[i] = read_header(self.paths[i])
        return header

    def name(self, i: int) -> str:
        return self.paths[i]
