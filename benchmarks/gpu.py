"""Training and scoring on a GPU: diglot's PyTorch engine beside PyTorch, eager and compiled.

Run it by ``.venv/bin/python benchmarks/gpu.py [resnet50 lenet decoder] [--rounds 3] [--steps 30]``;
without a GPU that PyTorch can use it says so and ends with status 1. All compute the same steps, by
SGD with Nesterov's momentum, on batches that lie in memory: ResNet-50 in mixed precision (bfloat16)
with channels last, LeNet and a decoder of captions (an LSTM) in single precision, TF32 off for all.
Losses of the first steps are compared before anything is timed.

PyTorch has its batches as it likes them best: in pinned memory and with channels last, made once.
It chooses its algorithms as it does by default; diglot asks for those that give the same bytes.
diglot stands there twice: as it is, and with its steps of training recorded as CUDA graphs.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from side_by_side import (
    Candidate,
    alternate,
    in_its_own_process,
    machine,
    ratios,
    run_script,
    spread,
    table,
    versions,
)

CLASSES, MOMENTUM, RATE, FIRST = 10, 0.9, 0.01, 5
WORDS, LENGTH, HIDDEN = 2000, 16, 256


@dataclass(frozen=True)
class Case:
    """What is computed; ``apart`` is how far losses of the first steps may lie from each other."""

    side: int
    channels: int
    batch: int
    mixed: bool
    apart: float


CASES = {
    "resnet50": Case(224, 3, 128, True, 5e-2),
    "lenet": Case(28, 1, 64, False, 1e-3),
    "decoder": Case(0, 0, 64, False, 1e-3),
}


# ---- the same network for all


def graphs_of(name: str) -> tuple[Any, Any]:
    """Return a network with its first weights, and the graph that it is trained by."""
    from diglot.builder import Builder, initial_weights
    from diglot.graph import InputSpec
    from diglot.networks import network

    case = CASES[name]
    if name == "decoder":
        b = Builder(InputSpec(1, 1, 1), images=False)
        words = b.add(
            *("Embedding", b.input("tokens", (LENGTH,))),
            name="embedding",
            input_dim=WORDS,
            output_dim=HIDDEN,
        )
        along = b.add("SwapAxis", words, name="along", dim1=0, dim2=1)
        size = 4 * HIDDEN * (2 * HIDDEN + 2)
        flat = b.parameter("rnn", (size,), init="normal 0.05")
        zeros = b.add("sum", words, name="sums", axis=1)
        zeros = b.add("_mul_scalar", zeros, name="zeros", scalar=0)
        zeros = b.add("expand_dims", zeros, name="state", axis=0)
        heard = b.add(
            *("RNN", along, flat, zeros, zeros),
            name="lstm",
            mode="lstm",
            state_size=HIDDEN,
            num_layers=1,
        )
        back = b.add("SwapAxis", heard, name="back", dim1=0, dim2=1)
        scores = b.add("FullyConnected", back, name="scores", num_hidden=WORDS, flatten=False)
        graph, shape = b.graph("decoder", scores), (LENGTH,)
    else:
        graph = network(name, size=case.side, channels=case.channels, classes=CLASSES)
        shape = ()
    graph = graph.with_weights(initial_weights(graph, 1))
    b = Builder(graph.input, graph)
    log_p = b.add("log_softmax", b.start_output(), name="log_p", axis=-1)
    picked = b.add("pick", log_p, b.input("label", shape), name="picked", axis=-1)
    loss = b.add("negative", picked, name="loss")
    if shape:
        loss = b.add("mean", loss, name="mean", axis=1)
    return graph, b.graph("loss", loss)


def data(name: str) -> dict[str, np.ndarray]:
    case, rng = CASES[name], np.random.default_rng(1)
    if name == "decoder":
        tokens = rng.integers(0, WORDS, (2, case.batch, LENGTH)).astype(np.float32)
        return {"tokens": tokens[0], "label": tokens[1]}
    shape = (case.batch, case.side, case.side, case.channels)
    images = rng.normal(0, 1, shape).astype(np.float32)
    return {"data": images, "label": (np.arange(case.batch) % CLASSES).astype(np.float32)}


def torch_module(name: str, graph: Any) -> Any:
    """Return PyTorch's own modules with the graph's first weights."""
    import torch
    from torch_networks import torch_network, weights_for_torch

    if name != "decoder":
        net = torch_network(name, CLASSES)
        state = {n: torch.from_numpy(w) for n, w in weights_for_torch(graph, name).items()}
        net.load_state_dict(state, strict=False)
        return net

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(WORDS, HIDDEN)
            self.lstm = torch.nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
            self.scores = torch.nn.Linear(HIDDEN, WORDS)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.scores(self.lstm(self.embedding(tokens))[0])

    net, weights = Decoder(), {n: torch.from_numpy(w) for n, w in graph.weights.items()}
    with torch.no_grad():
        net.embedding.weight.copy_(weights["embedding_weight"])
        net.scores.weight.copy_(weights["scores_weight"])
        net.scores.bias.copy_(weights["scores_bias"])
        at = 0
        for array in (
            *(net.lstm.weight_ih_l0, net.lstm.weight_hh_l0),
            *(net.lstm.bias_ih_l0, net.lstm.bias_hh_l0),
        ):
            array.copy_(weights["rnn"][at : at + array.numel()].view_as(array))
            at += array.numel()
    return net


# ---- what each does


def timed(step: Callable[[], Any], wait: Callable[[], Any], rows: int, steps: int) -> float:
    """Return rows a second, after steps that warm up."""
    for _ in range(FIRST):
        step()
    wait()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    wait()
    return rows * steps / (time.perf_counter() - began)


def run_diglot(name: str, steps: int) -> dict[str, Any]:
    import torch

    from diglot.engine import Optimiser, open_executor, pick_device

    case, inputs = CASES[name], data(name)
    graph, loss = graphs_of(name)
    device = pick_device("gpu", "torch")
    executor = open_executor(graph, device.mixing("bfloat16") if case.mixed else device)
    executor.prepare_training(loss, Optimiser("sgd", momentum=MOMENTUM))
    losses = []
    for _ in range(FIRST):
        executor.set_totals(np.zeros(1))
        executor.train_step(inputs, RATE, 1)
        losses.append(float(executor.totals()[0]) / case.batch)
    if not steps:
        return {"losses": losses}
    asked = {n: v for n, v in inputs.items() if n != "label"}
    wait = torch.cuda.synchronize
    return {
        "version": f"PyTorch {torch.__version__}",
        "threads": torch.get_num_threads(),
        "training": timed(lambda: executor.train_step(inputs, RATE, 1), wait, case.batch, steps),
        "scoring": timed(lambda: executor.forward(asked), wait, case.batch, steps),
    }


def run_recorded(**arguments: Any) -> dict[str, Any]:
    os.environ["DIGLOT_CUDA_GRAPHS"] = "1"  # in a process of its own
    return run_diglot(**arguments)


def run_pytorch(name: str, steps: int, compiled: bool) -> dict[str, Any]:
    import torch

    case, inputs = CASES[name], data(name)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    graph, _ = graphs_of(name)
    net = torch_module(name, graph).cuda().train()
    first, labels = inputs[next(iter(inputs))], inputs["label"]
    if name == "decoder":
        given = torch.from_numpy(first).long()
    else:
        net = net.to(memory_format=torch.channels_last)
        given = torch.from_numpy(first).permute(0, 3, 1, 2)  # which is channels last
    given, truth = given.pin_memory(), torch.from_numpy(labels).long().pin_memory()
    run = torch.compile(net) if compiled else net
    optimiser = torch.optim.SGD(net.parameters(), RATE, MOMENTUM, nesterov=True)
    numbers = torch.autocast("cuda", torch.bfloat16) if case.mixed else nullcontext()

    def step() -> torch.Tensor:
        x = given.cuda(non_blocking=True)  # as diglot's: each batch comes from memory
        asked = truth.cuda(non_blocking=True).flatten()
        with numbers:
            scores = run(x)
            loss = torch.nn.functional.cross_entropy(scores.flatten(0, -2), asked)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss

    losses = [float(step().detach()) for _ in range(FIRST)]
    if not steps:
        return {"losses": losses}
    wait = torch.cuda.synchronize
    training = timed(step, wait, case.batch, steps)
    net.eval()

    def score() -> np.ndarray:
        with torch.inference_mode(), numbers:
            return run(given.cuda(non_blocking=True)).float().cpu().numpy()

    return {
        "version": f"PyTorch {torch.__version__}",
        "threads": torch.get_num_threads(),
        "training": training,
        "scoring": timed(score, wait, case.batch, steps),
    }


def run_eager(**arguments: Any) -> dict[str, Any]:
    return run_pytorch(compiled=False, **arguments)


def run_compiled(**arguments: Any) -> dict[str, Any]:
    return run_pytorch(compiled=True, **arguments)


DIGLOT = "diglot on PyTorch"
CANDIDATES = [
    Candidate(DIGLOT, run_diglot, ("torch",)),
    Candidate("diglot, steps recorded", run_recorded, ("torch",)),
    Candidate("PyTorch eager", run_eager, ("torch",)),
    Candidate("torch.compile", run_compiled, ("torch",)),
]


def why_not() -> str:
    """Return why there is nothing to measure; "" where there is."""
    from diglot.engine import torch

    if not torch.is_installed():
        return f"PyTorch is not installed: {torch.HOW_TO_INSTALL}"
    return torch.gpu_problem(0)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("cases", nargs="*", default=list(CASES))
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--steps", type=int, default=30)
    given = asked.parse_args()
    if problem := why_not():
        raise SystemExit(f"Nothing is measured: {problem}")
    print(f"Training and scoring on a GPU, the same weights to begin with\n{machine()}")
    for name in given.cases:
        case = CASES[name]
        first = {c.name: in_its_own_process(c, name=name, steps=0)["losses"] for c in CANDIDATES}
        values = np.array(list(first.values()))
        apart = float(((values.max(0) - values.min(0)) / np.abs(values).max(0)).max())
        if apart > case.apart:
            raise SystemExit(f"{name}: losses of the first steps differ: {first}")
        runs = alternate(CANDIDATES, given.rounds, name=name, steps=given.steps)
        for what in ("training", "scoring"):
            rates = {c: [r[what] for r in answers] for c, answers in runs.items()}
            rows = [[c, spread(rate), ratios(rates[DIGLOT], rate)] for c, rate in rates.items()]
            title = f"{name}, {what}, batches of {case.batch}"
            print(f"\n{table([title, 'rows/s', 'diglot / it'], rows)}")
        print(f"losses of the first {FIRST} steps differ by at most {apart:.1g} of them")
        print(versions(runs), flush=True)


if __name__ == "__main__":
    run_script(main, CANDIDATES)
