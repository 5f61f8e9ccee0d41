"""A small network trained on a GPU and on the CPU, to see that both compute the same."""

from __future__ import annotations

import numpy as np

from diglot.builder import Builder, initial_weights
from diglot.engine import Device, Optimiser
from diglot.engine.torch import gpu_problem
from diglot.engine.torch_executor import TorchExecutor
from diglot.errors import DeviceError
from diglot.graph import Graph, InputSpec

__all__ = ["verify_gpu"]


def verify_gpu(index: int = 0) -> None:
    """Train a step on a GPU, and compare the weights with those that the CPU finds.

    Raises
    ------
    DeviceError
        If it cannot be used, or computes something else.
    """
    problem = gpu_problem(index)
    if problem:
        raise DeviceError(problem)
    gpu, cpu = Device("gpu", index, engine="torch"), Device("cpu", engine="torch")
    here, there = _trained(gpu), _trained(cpu)
    for name, weight in there.items():
        if not np.allclose(here[name], weight, rtol=1e-3, atol=1e-4):
            raise DeviceError(f"gpu:{index} computes wrong numbers: check its driver")


def _trained(device: Device) -> dict[str, np.ndarray]:
    net, loss = _network()
    executor = TorchExecutor(net, device)
    executor.prepare_training(loss, Optimiser("sgd"))
    images = np.random.default_rng(1).random((4, 8, 9, 3), np.float32)
    executor.train_step({"data": images, "label": np.arange(4) % 2}, 0.1, 1)
    return executor.weights()


def _network() -> tuple[Graph, Graph]:
    """Return a convolution and a dense layer with weights, and what they are trained by."""
    b = Builder(InputSpec(8, 9, 3))
    seen = b.add("Convolution", b.data, name="seen", kernel=(3, 3), num_filter=4)
    active = b.add("relu", seen, name="active")
    net = b.graph("two layers", b.add("FullyConnected", active, name="scores", num_hidden=2))
    net = net.with_weights(initial_weights(net, 1))
    b = Builder(net.input, net)
    log_p = b.add("log_softmax", b.start_output(), name="log_p")
    picked = b.add("pick", log_p, b.input("label", ()), name="picked")
    return net, b.graph("loss", b.add("negative", picked, name="loss"))
