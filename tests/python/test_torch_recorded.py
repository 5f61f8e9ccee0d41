"""Steps that are recorded and replayed, on a CPU: what replays there is the computation itself."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext

import numpy as np
import pytest

import diglot
from diglot.builder import Builder, initial_weights
from diglot.engine import Device, Optimiser
from diglot.graph import InputSpec
from diglot.own_operators import OP_TYPE, register_operator
from engine_checks import with_loss

torch = pytest.importorskip("torch")

from diglot.engine import torch_executor, torch_recorded  # noqa: E402
from diglot.engine.torch_executor import TorchExecutor  # noqa: E402
from diglot.engine.torch_mode import Mode  # noqa: E402
from diglot.engine.torch_parallel import ParallelTorchExecutor  # noqa: E402

CPU = Device("cpu", engine="torch")


class Tape:
    """Replays by computing anew, to where the results of the recording lie."""

    def __init__(self, *, waits=True, replayed=lambda compute: compute()):
        self.waits, self.replayed, self.recorded, self.replays = waits, replayed, 0, 0

    def timed(self, compute):
        return compute(), self.waits

    def record(self, compute, mode):
        self.recorded += 1
        # Results of other steps: those of the recording are never to be taken for a replay's.
        places = [torch.full_like(array, np.nan) for array in self.of_nothing(compute)]

        def replay():
            self.replays += 1
            for place, array in zip(places, self.replayed(compute), strict=True):
                place.copy_(array)

        return replay, places

    def of_nothing(self, compute):
        """Return arrays of the results' shapes, and leave everything as it was."""
        kept = [array.clone() for array in self.executor._changed()]
        shapes = compute()
        for array, before in zip(self.executor._changed(), kept, strict=True):
            array.copy_(before)
        return shapes


def network(name="lenet", **settings):
    graph = diglot.network(name, size=20, channels=1, classes=3, **settings)
    return graph.with_weights(initial_weights(graph, 1))


def batches(count=12, last=5):
    """Return batches of 8, of which every fourth is shorter, as at the end of an epoch."""
    rng = np.random.default_rng(3)
    for step in range(count):
        rows = last if step % 4 == 3 else 8
        images = rng.normal(size=(rows, 20, 20, 1)).astype(np.float32)
        yield {"data": images, "label": (np.arange(rows) % 3).astype(np.float32)}


def trained(graph, tape, monkeypatch, make=TorchExecutor, device=CPU):
    """Train with totals that are set anew at each epoch; return all that a fit keeps."""
    monkeypatch.setattr(torch_executor, "recorder_for", lambda at: tape)
    executor = make(graph, device)
    if tape is not None:
        tape.executor = executor
    executor.prepare_training(with_loss(graph), Optimiser("adam", weight_decay=0.01))
    totals = []
    for step, inputs in enumerate(batches()):
        executor.train_step(inputs, 0.01, step)
        if step % 4 == 3:
            totals.append(executor.totals())
            executor.set_totals(np.zeros(1))
    return {**executor.weights(), **executor.optimiser_state(), "totals": np.array(totals)}


def assert_same_bytes(found, wanted):
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize(
    ("name", "settings"),
    [("lenet", {}), ("mlp", {"dropout_rate": 0.5}), ("resnet20", {})],
)
def test_replayed_steps_are_those_of_the_network(monkeypatch, name, settings):
    """With dropout, whose draws are those of each step's seed, and with running statistics."""
    graph, tape = network(name, **settings), Tape()
    wanted = trained(graph, None, monkeypatch)
    assert_same_bytes(trained(graph, tape, monkeypatch), wanted)
    # Of 12 steps 9 are whole: the fourth of these is recorded and tried, 5 are replayed.
    assert (tape.recorded, tape.replays) == (1, 6)


def test_weights_that_are_loaded_are_those_that_replays_begin_from(monkeypatch):
    graph = network()
    monkeypatch.setattr(torch_executor, "recorder_for", lambda at: Tape())
    found = []
    for tape in (None, Tape()):
        monkeypatch.setattr(torch_executor, "recorder_for", lambda at, tape=tape: tape)
        executor = TorchExecutor(graph, CPU)
        if tape is not None:
            tape.executor = executor
        executor.prepare_training(with_loss(graph), Optimiser("sgd"))
        (inputs,) = batches(1)
        for step in range(6):
            executor.train_step(inputs, 0.01, step)
        executor.load_weights(graph.weights)
        executor.train_step(inputs, 0.01, 6)
        found.append(executor.weights())
    assert tape.replays == 4
    assert_same_bytes(found[1], found[0])


def wrong(compute):
    return [array + 1 for array in compute()]


def failing(compute):
    raise RuntimeError("operation not permitted when stream is capturing")


@pytest.mark.parametrize("replayed", [wrong, failing])
def test_a_recording_that_gives_something_else_is_not_used(monkeypatch, replayed):
    graph, tape = network("mlp", dropout_rate=0.5), Tape(replayed=replayed)
    wanted = trained(graph, None, monkeypatch)
    assert_same_bytes(trained(graph, tape, monkeypatch), wanted)
    assert (tape.recorded, tape.replays) == (1, 1)


def test_a_failure_to_record_costs_nothing_but_the_recording(monkeypatch):
    """What fails in the middle may have changed statistics, and the generator."""
    graph, tape = network("resnet20"), Tape()

    def record(compute, mode):
        compute()
        mode.generator.manual_seed(99)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(tape, "record", record)
    wanted = trained(graph, None, monkeypatch)
    assert_same_bytes(trained(graph, tape, monkeypatch), wanted)


def test_what_is_no_fault_of_a_recording_is_not_swallowed(monkeypatch):
    graph, tape = network("resnet20"), Tape()

    def interrupted(compute, mode):
        raise KeyboardInterrupt

    monkeypatch.setattr(tape, "record", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(graph, tape, monkeypatch)


def test_nothing_is_recorded_where_the_device_does_not_wait(monkeypatch):
    tape = Tape(waits=False)
    trained(network(), tape, monkeypatch)
    assert tape.recorded == 0


def test_steps_that_ask_the_cpu_in_between_are_not_recorded(monkeypatch):
    register_operator("recorded_twice", lambda x: 2 * x, lambda g, x: 2 * g)
    b = Builder(InputSpec(20, 20, 1))
    attrs = {"op_type": OP_TYPE, "operator": "recorded_twice", "inputs": 1}
    twice = b.add("Custom", b.data, name="own", **attrs)
    graph = b.graph("own", b.add("FullyConnected", twice, name="scores", num_hidden=3))
    graph, tape = graph.with_weights(initial_weights(graph, 1)), Tape()
    trained(graph, tape, monkeypatch)
    assert tape.recorded == 0


def test_nothing_is_recorded_where_several_devices_train(monkeypatch):
    tape, both = Tape(), Device("cpu", beside=(Device("cpu", 1, engine="torch"),), engine="torch")
    trained(network(), tape, monkeypatch, ParallelTorchExecutor, both)
    assert tape.recorded == 0


@pytest.mark.parametrize(
    ("asked", "kind", "hip", "records"),
    [("1", "cuda", None, True), ("0", "cuda", None, False), ("1", "cuda", "6.0", False)]
    + [("1", "cpu", None, False), ("1", "mps", None, False)],
)
def test_nvidias_gpus_record_where_they_are_asked_to(monkeypatch, asked, kind, hip, records):
    monkeypatch.setenv("DIGLOT_CUDA_GRAPHS", asked)
    monkeypatch.setattr(torch.version, "hip", hip)
    assert (torch_recorded.recorder_for(torch.device(kind)) is not None) == records


class Cuda:
    """Stands in for `torch.cuda`, and notes what it is asked for."""

    def __init__(self, fails=False, registers=True):
        self.asked, self.fails = [], fails
        methods = {"replay": lambda _: None}
        if registers:
            methods["register_generator_state"] = lambda _, g: self.asked.append("register")
        self.CUDAGraph = type("CUDAGraph", (), methods)

    @contextmanager
    def graph(self, graph, capture_error_mode):
        self.asked.append(f"begin, {capture_error_mode}")
        yield
        if self.fails:
            raise RuntimeError("capture failed")
        self.asked.append("end")

    def device(self, device):
        return nullcontext()

    def current_stream(self):
        return "the stream"

    def set_stream(self, stream):
        self.asked.append(stream)


@pytest.mark.parametrize("registers", [True, False])
def test_cuda_is_asked_for_a_graph_in_this_order(monkeypatch, registers):
    cuda = Cuda(registers=registers)
    monkeypatch.setattr(torch, "cuda", cuda)
    mode = Mode(True, torch.Generator())
    replay, results = torch_recorded.CudaRecorder(torch.device("cuda")).record(lambda: [1], mode)
    assert results == [1] and replay() is None
    assert cuda.asked == ["register"] * registers + ["begin, thread_local", "end", "the stream"]


def test_the_stream_is_put_back_where_recording_fails(monkeypatch):
    cuda = Cuda(fails=True)
    monkeypatch.setattr(torch, "cuda", cuda)
    recorder, mode = (
        torch_recorded.CudaRecorder(torch.device("cuda")),
        Mode(True, torch.Generator()),
    )
    with pytest.raises(RuntimeError, match="capture failed"):
        recorder.record(lambda: [1], mode)
    assert cuda.asked[-1] == "the stream"
