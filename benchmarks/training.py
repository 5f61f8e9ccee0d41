"""Training on a CPU: diglot beside the same loop in PyTorch, TensorFlow and JAX.

Run it by ``.venv/bin/python benchmarks/training.py [lenet resnet18-224 resnet18-64] [--rounds 5]
[--epochs 4] [--only NAME ...]``. All start from the same weights and train on the same images,
which are in memory, in batches of one size by SGD with Nesterov's momentum, shuffled anew each
epoch; loss and accuracy are summed on the way. The losses of the first steps are compared before
anything is timed. The first epoch also warms up (and compiles), so a round tells the median of
the others.

TensorFlow and JAX need environments of their own, as they want a later numpy: the variables
DIGLOT_BENCH_TENSORFLOW and DIGLOT_BENCH_JAX name their Pythons.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import (
    CACHE,
    Candidate,
    alternate,
    in_its_own_process,
    machine,
    present,
    ratios,
    run_script,
    spread,
    table,
    versions,
)

CLASSES, MOMENTUM, STEPS = 10, 0.9, 5


@dataclass(frozen=True)
class Case:
    """What is trained: images of so many pixels a side, in batches.

    ``apart`` is how far losses of the first steps may lie from each other, as a part of them:
    rounding grows from step to step, quickly so in a deep network without any training.
    """

    network: str
    side: int
    channels: int
    batch: int
    images: int
    rate: float
    apart: float


CASES = {
    "lenet": Case("lenet", 28, 1, 64, 6400, 0.02, 1e-3),
    "resnet18-224": Case("resnet18", 224, 3, 16, 96, 0.01, 2e-2),
    "resnet18-64": Case("resnet18", 64, 3, 16, 960, 0.01, 2e-2),
}


def data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    shape = (case.images, case.side, case.side, case.channels)
    return rng.normal(0, 1, shape).astype(np.float32), np.arange(case.images) % CLASSES


def channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def weights_of(name: str) -> dict[str, np.ndarray]:
    """Return what all start from, by the names in torch_networks.py."""
    with np.load(weights_file(name)) as file:
        return dict(file)


def weights_file(name: str) -> Path:
    return CACHE / f"initial-{name}.npz"


def first_graph(case: Case) -> Any:
    from diglot import network
    from diglot.builder import initial_weights

    graph = network(case.network, size=case.side, channels=case.channels, classes=CLASSES)
    return graph.with_weights(initial_weights(graph, 1))


def prepare(name: str) -> dict[str, Any]:
    from torch_networks import weights_for_torch

    case = CASES[name]
    CACHE.mkdir(parents=True, exist_ok=True)
    np.savez(weights_file(name), **weights_for_torch(first_graph(case), case.network))
    return {}


# ---- what each does


def answered(
    version: str, threads: int, name: str, epochs: int, step: Callable, sums: Callable
) -> dict[str, Any]:
    """Run a loop of steps, each on some rows; ``sums`` waits for the epoch's loss and hits."""
    case = CASES[name]
    if not epochs:
        losses = []
        for _ in range(STEPS):
            step(np.arange(case.batch))
            losses.append(sums()[0] / case.batch)
        return {"losses": losses}
    rng, rates = np.random.default_rng(1), []
    for _ in range(epochs):
        began = time.perf_counter()
        for rows in rng.permutation(case.images).reshape(-1, case.batch):
            step(rows)
        sums()
        rates.append(case.images / (time.perf_counter() - began))
    return {"version": version, "threads": threads, "rate": float(np.median(rates[1:]))}


def run_diglot(name: str, epochs: int, engine: str = "mxnet") -> dict[str, Any]:
    """Fit the classifier; epochs of a single batch are steps, whose losses its history has."""
    from diglot import ImageClassifier
    from diglot.engine import mxnet, torch

    case = CASES[name]
    images, labels = data(case)
    if not epochs:
        images, labels = images[: case.batch], labels[: case.batch]
    model = ImageClassifier(
        first_graph(case),
        epochs=epochs or STEPS,
        batch_size=case.batch,
        learning_rate=case.rate,
        momentum=MOMENTUM,
        weight_decay=0.0,
        schedule="constant",
        precision="float32",
        device="cpu",
        engine=engine,
        seed=1,
        verbose=False,
    )
    history = model.fit(images, labels).history_
    if not epochs:
        return {"losses": history["loss"].tolist()}
    on_mxnet = engine == "mxnet"
    return {
        "version": f"MXNet {mxnet.version()}" if on_mxnet else f"PyTorch {torch.version()}",
        "threads": mxnet.threads() if on_mxnet else torch.load().get_num_threads(),
        "rate": float(history["images_per_second"][1:].median()),
    }


def run_pytorch(name: str, epochs: int, how: str) -> dict[str, Any]:
    import torch
    from torch_networks import torch_network

    case = CASES[name]
    layout = torch.channels_last if how == "channels_last" else torch.contiguous_format
    images, labels = data(case)
    images = torch.from_numpy(channels_first(images)).contiguous(memory_format=layout)
    labels = torch.from_numpy(labels)
    net = torch_network(case.network, CLASSES)
    state = {n: torch.from_numpy(w) for n, w in weights_of(name).items()}
    net.load_state_dict(state, strict=False)  # but for the counts of batches, which say nothing
    net = net.train().to(memory_format=layout)
    run = torch.compile(net) if how == "compile" else net
    optimiser = torch.optim.SGD(net.parameters(), case.rate, MOMENTUM, nesterov=True)
    total = torch.zeros(2)

    def step(rows: np.ndarray) -> None:
        rows = torch.from_numpy(rows)
        scores, truth = run(images[rows]), labels[rows]
        loss = torch.nn.functional.cross_entropy(scores, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        total[0] += loss.detach() * len(rows)
        total[1] += (scores.detach().argmax(1) == truth).sum()

    def sums() -> list[float]:
        told = total.tolist()
        total.zero_()
        return told

    version = f"PyTorch {torch.__version__}"
    return answered(version, torch.get_num_threads(), name, epochs, step, sums)


def places_last(weights: dict[str, np.ndarray]) -> Iterator[np.ndarray]:
    """Yield LeNet's weights, layer by layer, for images with the channels behind."""
    for layer in ("conv1", "conv2", "dense", "head"):
        weight = weights[f"{layer}.weight"]
        if weight.ndim == 4:
            yield weight.transpose(2, 3, 1, 0).copy()
        elif layer == "dense":
            grid = weight.reshape(len(weight), 50, 4, 4)
            yield grid.transpose(2, 3, 1, 0).reshape(800, -1).copy()
        else:
            yield weight.T.copy()
        yield weights[f"{layer}.bias"]


def run_tensorflow(name: str, epochs: int) -> dict[str, Any]:
    import tensorflow as tf

    case, layers = CASES[name], tf.keras.layers
    images, labels = map(tf.constant, data(case))
    net = tf.keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(20, 5, activation="tanh"),
            layers.MaxPooling2D(),
            layers.Conv2D(50, 5, activation="tanh"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(500, activation="tanh"),
            layers.Dense(CLASSES),
        ]
    )
    net.set_weights(list(places_last(weights_of(name))))
    optimiser = tf.keras.optimizers.SGD(case.rate, MOMENTUM, nesterov=True)
    total = tf.Variable(tf.zeros(2))

    @tf.function
    def train_step(rows: tf.Tensor) -> None:
        truth = tf.gather(labels, rows)
        with tf.GradientTape() as tape:
            scores = net(tf.gather(images, rows), training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, scores)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, net.trainable_variables)
        optimiser.apply_gradients(zip(gradients, net.trainable_variables, strict=True))
        hits = tf.reduce_sum(tf.cast(tf.argmax(scores, 1) == truth, tf.float32))
        total.assign_add([tf.reduce_sum(losses), hits])

    def sums() -> list[float]:
        told = total.numpy().tolist()
        total.assign(tf.zeros(2))
        return told

    version = f"TensorFlow {tf.__version__}"
    threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count()
    return answered(version, threads, name, epochs, lambda r: train_step(tf.constant(r)), sums)


def run_jax(name: str, epochs: int) -> dict[str, Any]:
    import jax
    from jax import lax
    from jax import numpy as jnp

    case = CASES[name]
    images, labels = map(jnp.asarray, data(case))
    weights = [jnp.asarray(w) for w in places_last(weights_of(name))]

    def layer(x: jax.Array, weight: jax.Array, bias: jax.Array) -> jax.Array:
        if weight.ndim == 2:
            return x @ weight + bias
        order = ("NHWC", "HWIO", "NHWC")
        x = lax.conv_general_dilated(x, weight, (1, 1), "VALID", dimension_numbers=order) + bias
        window = (1, 2, 2, 1)
        return lax.reduce_window(jnp.tanh(x), -jnp.inf, lax.max, window, window, "VALID")

    def forward(weights: list[jax.Array], x: jax.Array) -> jax.Array:
        x = layer(layer(x, *weights[:2]), *weights[2:4])
        return layer(jnp.tanh(layer(x.reshape(len(x), -1), *weights[4:6])), *weights[6:])

    def loss_of(weights: list[jax.Array], x: jax.Array, truth: jax.Array) -> tuple:
        scores = forward(weights, x)
        picked = jnp.take_along_axis(jax.nn.log_softmax(scores), truth[:, None], 1)
        return -picked.mean(), (scores.argmax(1) == truth).sum()

    @jax.jit
    def train_step(state: tuple, rows: jax.Array) -> tuple:
        weights, moments, total = state
        graded = jax.value_and_grad(loss_of, has_aux=True)
        (loss, hits), gradients = graded(weights, images[rows], labels[rows])
        moments = [MOMENTUM * m + g for m, g in zip(moments, gradients, strict=True)]
        ahead = [g + MOMENTUM * m for g, m in zip(gradients, moments, strict=True)]
        weights = [w - case.rate * a for w, a in zip(weights, ahead, strict=True)]
        return weights, moments, total + jnp.stack([loss * len(rows), hits.astype(jnp.float32)])

    state = (weights, [jnp.zeros_like(w) for w in weights], jnp.zeros(2))

    def step(rows: np.ndarray) -> None:
        nonlocal state
        state = train_step(state, rows)

    def sums() -> list[float]:
        nonlocal state
        told = state[2].tolist()
        state = (*state[:2], jnp.zeros(2))
        return told

    return answered(f"JAX {jax.__version__}", os.cpu_count(), name, epochs, step, sums)


def pytorch(how: str) -> Callable[..., dict[str, Any]]:
    return lambda **arguments: run_pytorch(how=how, **arguments)


def run_diglot_on_pytorch(**arguments: Any) -> dict[str, Any]:
    return run_diglot(engine="torch", **arguments)


DIGLOT, ON_PYTORCH = "diglot", "diglot on PyTorch"
CANDIDATES = [
    Candidate(DIGLOT, run_diglot, ("mxnet",)),
    Candidate(ON_PYTORCH, run_diglot_on_pytorch, ("torch",)),
    Candidate("PyTorch eager", pytorch("eager"), ("torch",)),
    Candidate("PyTorch eager, channels last", pytorch("channels_last"), ("torch",)),
    Candidate("torch.compile", pytorch("compile"), ("torch",)),
    Candidate("TensorFlow", run_tensorflow, ("tensorflow",), "DIGLOT_BENCH_TENSORFLOW"),
    Candidate("JAX", run_jax, ("jax",), "DIGLOT_BENCH_JAX"),
]
PREPARING = Candidate("prepare", prepare, ("mxnet", "torch"))
LENET_ONLY, RESNET_ONLY = ("TensorFlow", "JAX"), ("PyTorch eager, channels last",)


def taking_part(case: str) -> list[Candidate]:
    left_out = RESNET_ONLY if case == "lenet" else LENET_ONLY
    return [c for c in CANDIDATES if c.name not in left_out]


# ---- what is told


def apart(losses: dict[str, list[float]]) -> float:
    """Return by how much losses differ at most, as a part of them.

    >>> round(apart({"one": [2.0, 1.0], "two": [2.1, 1.0]}), 3)
    0.048
    """
    values = np.array(list(losses.values()))
    return float(((values.max(0) - values.min(0)) / values.max(0)).max())


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("cases", nargs="*", default=list(CASES))
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--epochs", type=int, default=4)
    asked.add_argument("--only", nargs="*", help="candidates, by name")
    given = asked.parse_args()
    wanted = {c.name for case in given.cases for c in taking_part(case)}
    wanted &= set(given.only or wanted)
    candidates, skipped = present(c for c in CANDIDATES if c.name in wanted)
    print(f"Training on images in memory, the same weights to begin with\n{machine()}")
    print(f"{given.rounds} rounds of {given.epochs} epochs, medians (lowest to highest)")
    for name in given.cases:
        case = CASES[name]
        mine = [c for c in taking_part(name) if c in candidates]
        in_its_own_process(PREPARING, name=name)
        first = {c.name: in_its_own_process(c, name=name, epochs=0)["losses"] for c in mine}
        if apart(first) > case.apart:
            raise SystemExit(
                f"{name}: losses of the first steps differ, nothing was timed: {first}"
            )
        runs = alternate(mine, given.rounds, name=name, epochs=given.epochs)
        rates = {c: [r["rate"] for r in answers] for c, answers in runs.items()}
        ours = [c for c in (DIGLOT, ON_PYTORCH) if c in rates]
        rows = [
            [c, spread(rate, 0 if name == "lenet" else 1), *(ratios(rates[o], rate) for o in ours)]
            for c, rate in rates.items()
        ]
        title = f"{name}, batches of {case.batch}"
        print(f"\n{table([title, 'images/s', *(f'{o} / it' for o in ours)], rows)}")
        print(f"losses of the first {STEPS} steps differ by at most {apart(first):.1g} of them")
        print(versions(runs), flush=True)
    print("\n" + "\n".join(skipped) if skipped else "")


if __name__ == "__main__":
    run_script(main, [*CANDIDATES, PREPARING])
