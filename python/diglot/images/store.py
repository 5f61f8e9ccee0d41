"""Room for many arrays of one shape: in memory, and beyond a limit in a mapped file."""

from __future__ import annotations

import math
import os
import tempfile
from typing import Any

import numpy as np

from diglot.errors import InputError
from diglot.images.memory import available_memory


class ArrayStore:
    """Rows of one shape and type, to be written and read by their number.

    The file has no name on POSIX systems, so that nothing is left behind however the process
    ends. Where the disk has no room either, the last rows have no place.

    Parameters
    ----------
    count : int
        How many rows.
    shape : tuple of int
        Of each.
    dtype : dtype
        Of the numbers.
    memory_limit : int, optional
        Bytes to keep in memory; by default half of what is available now.

    Attributes
    ----------
    in_memory, on_disk : int
        How many rows have their place where.

    Examples
    --------
    >>> store = ArrayStore(3, (2,), np.float32, memory_limit=8)
    >>> store.in_memory, store.on_disk
    (1, 2)
    >>> store.place(2)[:] = 7
    >>> store.get(np.array([2])).tolist()
    [[7.0, 7.0]]
    """

    def __init__(
        self, count: int, shape: tuple[int, ...], dtype: Any, memory_limit: int | None = None
    ) -> None:
        if memory_limit is None:
            memory_limit = available_memory() // 2
        elif memory_limit < 0:
            raise InputError(f"memory_limit must be 0 or more bytes, not {memory_limit}.")
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        each = math.prod(self.shape) * self.dtype.itemsize
        self.in_memory = min(count, int(memory_limit) // each)
        self.on_disk = 0
        self._memory: np.ndarray | None = np.empty((self.in_memory, *self.shape), self.dtype)
        self._disk: np.ndarray | None = None
        self._file: Any = None
        left = count - self.in_memory
        if left and self._reserve(left * each):
            self.on_disk = left
            self._disk = np.memmap(
                self._file, dtype=self.dtype, mode="r+", shape=(left, *self.shape)
            )

    def _reserve(self, size: int) -> bool:
        """Open a nameless temporary file of `size` bytes; False if the disk has no room for it."""
        try:
            self._file = tempfile.TemporaryFile(prefix="diglot-")  # noqa: SIM115 (close() does)
            # Writing into a mapped file that turns out not to fit on the disk would kill the
            # process, so every block is reserved before.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file.fileno(), 0, size)
            else:
                block = bytes(1 << 20)
                for _ in range(size // len(block)):
                    self._file.write(block)
                self._file.write(block[: size % len(block)])
                self._file.flush()
        except OSError:
            self._close_file()
            return False
        return True

    def place(self, row: int) -> np.ndarray | None:
        """Return where a row lies, to write to or read from; None where there is no room."""
        if self._memory is not None and row < self.in_memory:
            return self._memory[row]
        if self._disk is not None:
            return self._disk[row - self.in_memory]
        return None

    def get(self, rows: np.ndarray) -> np.ndarray:
        """Return a copy of rows that all have their place."""
        if self._memory is not None and self.on_disk == 0:
            return self._memory[rows]
        batch = np.empty((len(rows), *self.shape), self.dtype)
        for position, row in enumerate(rows.tolist()):
            batch[position] = self.place(row)
        return batch

    def close(self) -> None:
        """Give back memory and disk."""
        self._memory = self._disk = None
        self._close_file()
        self.in_memory = self.on_disk = 0

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        # Nothing to delete, the file has no name; but an open file would be warned about.
        if hasattr(self, "_file"):
            self._close_file()
