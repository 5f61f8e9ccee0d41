"""Steps of training that are recorded once and replayed, so that a GPU need not wait to be told.

A step of a small network is a hundred kernels of a few microseconds, and to ask for them one by
one takes the CPU longer than the GPU computes. CUDA can record what it is asked for as a graph and
be asked for all of it at once. A recording reads and writes the same memory at each replay, so that
inputs are copied to where it expects them; see PyTorch's notes on CUDA graphs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from diglot.engine.torch import load
from diglot.engine.torch_mode import Mode, Tensor

torch = load()

Compute = Callable[[], list[Tensor]]

_FIRST = 4  # the step that is recorded: the ones before choose algorithms and take memory
_BUSY = 0.8  # of the time in which the GPU computes; the CPU that asks for longer holds it up


class Recorder(Protocol):
    """Tells whether a step is worth recording, and records it."""

    def timed(self, compute: Compute) -> tuple[list[Tensor], bool]:
        """Compute, and tell whether the device had to wait for what comes next."""

    def record(self, compute: Compute, mode: Mode) -> tuple[Callable[[], None], list[Tensor]]:
        """Return what replays a computation, and where its results lie then.

        Nothing is computed while it is recorded.
        """


def recorder_for(device: Any) -> Recorder | None:
    """Return what records steps on a device; None where nothing does, or nobody asked for it.

    As long as it has not been measured on GPUs, it is asked for by the environment variable
    ``DIGLOT_CUDA_GRAPHS``, which must be "1".
    """
    asked = os.environ.get("DIGLOT_CUDA_GRAPHS") == "1"
    if not asked or device.type != "cuda" or torch.version.hip:
        return None
    return CudaRecorder(device)


class RecordedSteps:
    """Computes steps of training; from the fourth of one kind on by a recording, where that pays.

    A recording is believed where it gives the same bytes as the step itself, which is computed
    beside it once. Otherwise, and where recording fails, all steps are computed as they come.

    Parameters
    ----------
    compute : callable
        Takes inputs by name and two numbers, and returns results; besides, it changes ``changes``.
    changes : callable
        Returns the tensors that a step changes in place.
    mode : Mode
        Whose generator is what a step draws from.
    recorder : Recorder or None
        None computes all steps as they come.
    """

    def __init__(
        self,
        compute: Callable[[Mapping[str, Tensor], int, float], list[Tensor]],
        changes: Callable[[], list[Tensor]],
        mode: Mode,
        recorder: Recorder | None,
    ) -> None:
        self._compute, self._changes, self._mode = compute, changes, mode
        self._recorder = recorder
        self._seen: dict[object, int] = {}
        self._kind: object = None  # of the steps that are replayed
        self._inputs: dict[str, Tensor] = {}
        self._results: list[Tensor] = []
        self._replay: Callable[[], None] | None = None

    @property
    def replays(self) -> bool:
        """Whether there is a recording."""
        return self._replay is not None

    def __call__(
        self, inputs: Mapping[str, Tensor], seed: int, batch: int, scale: float
    ) -> list[Tensor]:
        """Return a step's results, which the next step may write over."""
        self._mode.generator.manual_seed(seed)
        if self._recorder is None:
            return self._compute(inputs, batch, scale)
        shapes = tuple((name, tuple(array.shape)) for name, array in inputs.items())
        kind = (shapes, batch, scale)
        if kind == self._kind:
            for name, place in self._inputs.items():
                place.copy_(inputs[name], non_blocking=True)
            self._replay()
            return self._results
        self._seen[kind] = self._seen.get(kind, 0) + 1
        if self.replays or self._seen[kind] < _FIRST:
            return self._compute(inputs, batch, scale)
        return self._try(kind, inputs, seed, batch, scale)

    def _try(
        self, kind: object, inputs: Mapping[str, Tensor], seed: int, batch: int, scale: float
    ) -> list[Tensor]:
        """Compute a step, and record it as well, if that pays and gives the same bytes."""
        before = [array.clone() for array in self._changes()]
        results, waited = self._recorder.timed(lambda: self._compute(inputs, batch, scale))
        if not waited:
            self._recorder = None
            return results
        places = {name: array.clone() for name, array in inputs.items()}
        with self._unchanged_by_failure():
            replay, recorded = self._recorder.record(
                lambda: self._compute(places, batch, scale), self._mode
            )
            wanted = [array.clone() for array in (*results, *self._changes())]
            for array, value in zip(self._changes(), before, strict=True):
                array.copy_(value)
            self._mode.generator.manual_seed(seed)
            replay()
            found = [*recorded, *self._changes()]
            if not all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True)):
                raise _OtherBytesError
            self._kind, self._inputs = kind, places
            self._replay, self._results = replay, recorded
        return results

    @contextmanager
    def _unchanged_by_failure(self):
        """Go on without recordings where one fails, as if none had been tried."""
        after = [array.clone() for array in self._changes()]
        try:
            yield
        except BaseException as error:
            self._recorder = None
            # What failed within a recording may leave its generator waiting for the end of it.
            self._mode.generator = torch.Generator(device=self._mode.generator.device)
            for array, value in zip(self._changes(), after, strict=True):
                array.copy_(value)
            if not isinstance(error, RuntimeError):
                raise


class _OtherBytesError(RuntimeError):
    """A replay gave something else than the step that it was recorded from."""


class CudaRecorder:
    """Records CUDA graphs.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: Any) -> None:
        self._device = device

    def timed(self, compute: Compute) -> tuple[list[Tensor], bool]:
        """Compute, and tell whether the GPU had to wait for what comes next."""
        with torch.cuda.device(self._device):
            torch.cuda.synchronize()
            first, last = (torch.cuda.Event(enable_timing=True) for _ in "ab")
            start = time.perf_counter()
            first.record()
            results = compute()
            last.record()
            asked = time.perf_counter() - start
            last.synchronize()
            return results, asked > _BUSY * first.elapsed_time(last) / 1000

    def record(self, compute: Compute, mode: Mode) -> tuple[Callable[[], None], list[Tensor]]:
        """Return what replays a computation, and where its results lie then."""
        with torch.cuda.device(self._device):
            graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
            register = getattr(graph, "register_generator_state", None)
            if register is not None:  # older ones know the common generator alone, and refuse
                register(mode.generator)
            try:
                # Threads that read images may ask for memory meanwhile.
                with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                    results = compute()
            finally:
                torch.cuda.set_stream(stream)  # where it fails, its own would stay
        return graph.replay, results
