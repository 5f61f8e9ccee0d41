"""The benchmarks' frame: who takes part, in which order, and what is told of it."""

from __future__ import annotations

import doctest
import importlib
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

SCRIPT = """
import os, sys
from side_by_side import Candidate, alternate, present, run_script

def run(path, add):
    with open(path, "a") as file:
        print(add, os.getpid(), file=file)
    return {"got": add}

def fail():
    raise ValueError("no answer")

ONE = Candidate("one", run)
TWO = Candidate("two", run, ("json",), "PEER_PYTHON")
BAD = Candidate("bad", fail)
LOST = Candidate("lost", run, ("no_such_module",))

def main():
    there, skipped = present([ONE, TWO, LOST])
    print([c.name for c in there], skipped)
    if sys.argv[2:]:
        alternate([BAD], 1)
    print(alternate(there, 3, {"two": {"add": 5}}, path=sys.argv[1], add=4))

run_script(main, [ONE, TWO, LOST, BAD])
"""


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch):
    """Import a file of benchmarks/, which is no package."""
    monkeypatch.syspath_prepend(BENCHMARKS)

    def load(name: str) -> ModuleType:
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return load


def run_example(folder: Path, *more: str, python: str = sys.executable):
    script = folder / "example.py"
    script.write_text(SCRIPT, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS), "PEER_PYTHON": python}
    command = [sys.executable, str(script), str(folder / "log"), *more]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_candidates_take_turns_each_in_its_own_process(tmp_path):
    done = run_example(tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "['one', 'two'] ['lost skipped: no_such_module cannot be imported']"
    assert second == str({"one": [{"got": 4}] * 3, "two": [{"got": 5}] * 3})
    turns = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert [turn[0] for turn in turns] == ["4", "5", "5", "4", "4", "5"]
    assert len({turn[1] for turn in turns}) == 6


def test_a_candidate_without_its_python_is_named(tmp_path):
    done = run_example(tmp_path, python=str(tmp_path / "none"))
    assert "['one']" in done.stdout
    assert "two skipped: json cannot be imported" in done.stdout


def test_a_candidate_that_fails_ends_the_benchmark(tmp_path):
    done = run_example(tmp_path, "bad")
    assert done.returncode == 1
    assert "no answer" in done.stderr and "bad failed; its message is above" in done.stderr
    assert not (tmp_path / "log").exists()


def test_ratios_are_taken_within_rounds(bench):
    # Twice the load in the second round: each round's ratio is 2, that of the medians is not.
    told = bench("side_by_side").ratios([20, 10, 18], [10, 5, 9])
    assert told == "2.00 (2.00 to 2.00)"


@pytest.mark.parametrize("name", ["side_by_side", "run_all", "training"])
def test_examples_of_the_frame(bench, name):
    found = doctest.testmod(bench(name))
    assert found.attempted and not found.failed


def test_a_new_table_leaves_the_rest_of_the_page(bench):
    everything = bench("run_all")
    page = "# Title\n"
    for part in everything.PARTS:
        page = everything.with_block(page, part, f"table of {part.name}")
    changed = everything.with_block(page, everything.PARTS[1], "two\nlines")
    assert changed == page.replace(f"table of {everything.PARTS[1].name}", "two\nlines")
    assert everything.block(everything.PARTS[0], "x", date(2026, 5, 4), "v").count("`" * 3) == 2


def test_every_part_has_a_script_and_says_so_where_it_has_none(bench):
    everything = bench("run_all")
    names = [part.name for part in everything.PARTS]
    assert len(set(names)) == len(names)
    for part in everything.PARTS:
        assert part.command.split()[0] == part.quick.split()[0]
    lost = everything.Part("lost", "Lost", "nowhere.py 1", "nowhere.py")
    assert lost.missing == "there is no benchmarks/nowhere.py"


def test_what_needs_a_gpu_is_left_out_by_name_where_there_is_none(bench, monkeypatch):
    from diglot.engine import torch

    everything = bench("run_all")
    (part,) = [part for part in everything.PARTS if part.needs_gpu]
    bench("gpu")
    monkeypatch.setattr(torch, "is_installed", lambda: True)
    monkeypatch.setattr(torch, "gpu_problem", lambda index: "PyTorch sees no GPU")
    assert part.missing == "PyTorch sees no GPU"
    monkeypatch.setattr(torch, "gpu_problem", lambda index: "")
    assert part.missing == ""
    monkeypatch.setattr(torch, "is_installed", lambda: False)
    assert "pip install" in part.missing


def test_textures_are_jpeg_files_of_their_size(bench, tmp_path):
    from PIL import Image

    textures = bench("textures")
    textures.draw_textures(tmp_path, 4, 1, size=(30, 50), classes=2)
    paths, labels = textures.listed(tmp_path)
    assert labels == ["a", "a", "b", "b"]
    with Image.open(paths[0]) as image:
        assert (image.format, image.size) == ("JPEG", (50, 30))


@pytest.mark.parametrize("name", ["lenet", "resnet18", "resnet50", "mobilenet_v2"])
def test_torch_networks_answer_as_ours_with_the_same_weights(bench, name):
    torch = pytest.importorskip("torch")
    import diglot
    from diglot.builder import initial_weights
    from diglot.weighted import Network

    networks = bench("torch_networks")
    side, channels = (28, 1) if name == "lenet" else (64, 3)
    graph = diglot.network(name, size=side, channels=channels, classes=5)
    ours = Network.of(graph.with_weights(initial_weights(graph, 1)))
    rng = np.random.default_rng(2)
    # Statistics as after training: all of them at 0 and 1 would hide a pair in the wrong place.
    moved = {
        n: (w * rng.uniform(0.8, 1.2, w.shape) + rng.uniform(0, 0.05, w.shape)).astype(np.float32)
        for n, w in ours.weights.items()
    }
    ours = Network.of(graph.with_weights(moved))
    net = networks.torch_network(name, 5).eval()
    weights = networks.weights_for_torch(ours, name)
    lacking = net.load_state_dict({n: torch.tensor(w) for n, w in weights.items()}, strict=False)
    assert all(n.endswith("num_batches_tracked") for n in lacking.missing_keys)
    assert not lacking.unexpected_keys
    x = rng.normal(0, 1, (3, side, side, channels)).astype(np.float32)
    with torch.inference_mode():
        theirs = net(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    np.testing.assert_allclose(ours.logits(x), theirs, rtol=1e-3, atol=1e-4)
