"""Captioning: training and beam search with diglot and with the same model in PyTorch, on the CPU.

Run it by ``.venv/bin/python benchmarks/captioning.py [images] [rounds] [words]``. The model is
ImageCaptioner's default (convnet, LSTM of 256 units, attention with 4 heads over a grid of 8 x 8)
on drawn shapes of 64 x 64 pixels, 5 captions an image, 32 images a step. PyTorch has nn.LSTM, the
same attention and the same weights; its beam search is ours written in PyTorch, batched over images
and beams, and must find the same captions. It is also run with one image at a time, as tutorials
do it. ``words`` adds so many words that no
caption has, so that the vocabulary has the size of a real one's. Each round runs both, one after
the other, each in a process of its own; compare the ratios.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from side_by_side import (
    Candidate,
    alternate,
    machine,
    present,
    ratios,
    run_script,
    spread,
    table,
    versions,
)

import diglot
from diglot.captioner.captioned import Groups, caption_lists, codes, gather
from diglot.captions.vocabulary import BEGIN, END, UNKNOWN

BATCH, BEAMS, EPOCHS, SCORED = 32, 5, 3, 512


def prepare(folder: Path, images: int, words: int) -> None:
    """Train a model whose captions end, as beam search takes its time by their length."""
    data = diglot.shapes(images, seed=1)
    captions = [list(mine) for mine in data["captions"]]
    more = [" ".join(f"word{i}" for i in range(k, min(k + 12, words))) for k in range(0, words, 12)]
    captions[0] += more
    model = diglot.ImageCaptioner(epochs=4, batch_size=BATCH, seed=1, verbose=False, max_length=22)
    model.fit(data[["image"]], captions)
    model.save(folder / "model.safetensors")


def examples(folder: str, images: int):
    """Return the model, prepared images, and the coded captions in groups of five."""
    model = diglot.load(Path(folder) / "model.safetensors")
    data = diglot.shapes(images, seed=1)
    spec = model.network_.input
    pixels = (np.stack(list(data["image"])) / np.float32(255) - spec.mean) / spec.std
    keys = [i.to_bytes(4, "big") for i in range(images)]
    captioned, _ = gather(keys, caption_lists(data["captions"], images))
    groups = Groups.of(codes(captioned, model.vocabulary_), 5)
    return model, pixels.astype(np.float32), groups


def run_diglot(folder: str, images: int, engine: str = "mxnet") -> dict[str, object]:
    from diglot.captioner.graphs import training_graph
    from diglot.captioner.task import LikelihoodTask, Recipe
    from diglot.engine import Optimiser, mxnet, open_executor, pick_device, torch

    model, pixels, groups = examples(folder, images)
    model.set_params(engine=engine)
    named, door = {"mxnet": ("MXNet", mxnet), "torch": ("PyTorch", torch)}[engine]
    executor = open_executor(model.network_, pick_device("cpu", engine))
    executor.prepare_training(
        training_graph(model.network_), Optimiser("adam", clip_norm=1.0, weight_decay=0.0)
    )
    task = LikelihoodTask(_Arrays(pixels), groups, Recipe(BATCH, 1), mixed=True)
    rates, losses = [], []
    for epoch in range(EPOCHS):
        executor.set_totals(np.zeros(1))
        began = time.perf_counter()
        for step, inputs in enumerate(task.batches(epoch, 0)):
            executor.train_step(inputs, 1e-4, step)
        losses.append(executor.totals()[0] / task.weight_of(task.steps, epoch))
        rates.append(groups.words.sum() / (time.perf_counter() - began))
    fresh = diglot.shapes(SCORED, seed=1, split="test")[["image"]]
    model.verbose = False
    model.predict(fresh, beams=BEAMS)  # warms up
    began = time.perf_counter()
    told = model.predict(fresh, beams=BEAMS)
    return {
        "version": f"{named} {door.version()}",
        "threads": door.threads(),
        "tokens": rates,
        "losses": losses,
        "captions": SCORED / (time.perf_counter() - began),
        "told": told.tolist(),
    }


class _Arrays:
    """A feed of prepared images."""

    name = "data"

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = pixels

    def batches(self, rows, epoch=0):
        return ((i, self._pixels[mine]) for i, mine in enumerate(rows))

    def seen(self, data: np.ndarray) -> np.ndarray:
        return data


def run_pytorch(folder: str, images: int) -> dict[str, object]:
    import torch

    from diglot.captioner.task import LikelihoodTask, Recipe

    model, pixels, groups = examples(folder, images)
    vocabulary = model.vocabulary_
    net = _network(model)
    pixels = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    task = LikelihoodTask(_Arrays(pixels), groups, Recipe(BATCH, 1), mixed=True)
    optimiser = torch.optim.Adam(net.parameters(), 1e-4)
    rates, losses = [], []
    before = {k: v.clone() for k, v in net.state_dict().items()}
    for epoch in range(EPOCHS):
        total = torch.zeros(())
        began = time.perf_counter()
        for inputs in task.batches(epoch, 0):
            tokens, target = (torch.from_numpy(inputs[n]).long() for n in ("tokens", "target"))
            optimiser.zero_grad()
            scores = net(inputs["data"], tokens)
            entropy = torch.nn.functional.cross_entropy(
                scores.flatten(0, 2), target.flatten(), reduction="none"
            )
            loss = (entropy * torch.from_numpy(inputs["weight"]).flatten()).sum()
            (loss / len(tokens)).backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            total += loss.detach()
        losses.append(total.item() / task.weight_of(task.steps, epoch))
        rates.append(groups.words.sum() / (time.perf_counter() - began))
    net.load_state_dict(before)
    net.eval()
    fresh = np.stack(list(diglot.shapes(SCORED, seed=1, split="test")["image"]))
    spec = model.network_.input

    def caption(images: np.ndarray, together: int = 64) -> list[str]:
        told = []
        for start in range(0, len(images), together):
            part = (images[start : start + together] / np.float32(255) - spec.mean) / spec.std
            part = torch.from_numpy(part.astype(np.float32).transpose(0, 3, 1, 2).copy())
            told += _beam_search(net, part, model.longest_ + 1)
        return [vocabulary.decode(ids) for ids in told]

    with torch.inference_mode():
        caption(fresh)  # warms up
        began = time.perf_counter()
        told = caption(fresh)
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        caption(fresh[:64], 1)
        alone = time.perf_counter() - began
    return {
        "version": f"PyTorch {torch.__version__}",
        "threads": torch.get_num_threads(),
        "tokens": rates,
        "losses": losses,
        "captions": SCORED / seconds,
        "alone": 64 / alone,
        "told": told,
    }


def _network(model):
    """Return the same model as a torch Module, with the same weights."""
    import torch
    from torch import nn

    decoder, weights = model.decoder_, model.network_.weights
    width, heads = decoder.hidden, decoder.heads

    class Captioner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers, channels = [], 3
            for number in range(1, 5):
                out = weights[f"conv{number}_weight"].shape[0]
                layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False)]
                layers += [nn.BatchNorm2d(out), nn.ReLU()]
                layers += [nn.MaxPool2d(2)] if number < 4 else []
                channels = out
            self.encoder = nn.Sequential(*layers)
            self.cells = nn.Linear(channels, width)
            self.place = nn.Parameter(torch.zeros(weights["cells_place"].shape))
            self.keys, self.queries = nn.Linear(width, width), nn.Linear(width, width)
            self.first_state, self.first_memory = nn.Linear(width, width), nn.Linear(width, width)
            self.words = nn.Embedding(decoder.words, decoder.embedding)
            self.rnn = nn.LSTM(decoder.embedding, width, batch_first=True)
            self.drop = nn.Dropout(decoder.dropout)
            self.output = nn.Linear(2 * width, width)
            self.scores = nn.Linear(width, decoder.words)

        def see(self, images):
            x = self.encoder(images).flatten(2).transpose(1, 2)
            x = torch.tanh(self.cells(x) + self.place)
            mean = x.mean(1)
            states = torch.tanh(self.first_state(mean)), torch.tanh(self.first_memory(mean))
            return self.split(self.keys(x)), self.split(x), states

        def split(self, x):
            return x.unflatten(-1, (heads, -1)).transpose(1, 2)

        def tell(self, tokens, keys, values, states):
            """Score what follows ``tokens`` (images, captions, length)."""
            n, captions, length = tokens.shape
            x = self.drop(self.words(tokens.flatten(0, 1)))
            x, states = self.rnn(x, states)
            x = x.reshape(n, captions * length, -1)
            fit = self.split(self.queries(x)) @ keys.transpose(-1, -2) * (width // heads) ** -0.5
            context = (torch.softmax(fit, -1) @ values).transpose(1, 2).flatten(2)
            x = torch.tanh(self.output(self.drop(torch.cat([x, context], -1))))
            return self.scores(x).view(n, captions, length, -1), states

        def forward(self, images, tokens):
            keys, values, states = self.see(images)
            states = [s.repeat_interleave(tokens.shape[1], 0)[None] for s in states]
            return self.tell(tokens, keys, values, states)[0]

    net = Captioner()
    ours = {
        "place": "cells_place",
        "words.weight": "words_weight",
        "rnn.weight_ih_l0": "rnn1_i2h_weight",
        "rnn.weight_hh_l0": "rnn1_h2h_weight",
        "rnn.bias_ih_l0": "rnn1_i2h_bias",
        "rnn.bias_hh_l0": "rnn1_h2h_bias",
    }
    for name, path in (
        *(("keys1", "keys"), ("queries1", "queries"), ("cells", "cells"), ("output", "output")),
        *(("first_state1", "first_state"), ("first_memory1", "first_memory")),
        ("scores", "scores"),
    ):
        ours |= {f"{path}.{part}": f"{name}_{part}" for part in ("weight", "bias")}
    norms = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean"}
    for number, place in enumerate((0, 4, 8, 12), 1):
        ours[f"encoder.{place}.weight"] = f"conv{number}_weight"
        for theirs, mine in {**norms, "running_var": "moving_var"}.items():
            ours[f"encoder.{place + 1}.{theirs}"] = f"bn{number}_{mine}"
    state = {name: torch.from_numpy(weights[mine].copy()) for name, mine in ours.items()}
    net.load_state_dict(state, strict=False)
    return net


def _beam_search(net, images, longest: int) -> list[list[int]]:
    """Search all images at once: finished hypotheses keep their place, images leave when done."""
    import torch

    def divisor(length: int) -> float:
        return (5 + length) / 6

    keys, values, states = net.see(images)
    count = len(images)
    states = [s.repeat_interleave(BEAMS, 0)[None] for s in states]
    scores = torch.full((count, BEAMS), -torch.inf)
    scores[:, 0] = 0
    said = torch.full((count, BEAMS, 1), BEGIN)
    open_, where = torch.ones(count, BEAMS, dtype=torch.bool), torch.arange(count)
    best_score = torch.full((count,), -torch.inf)
    best: list[list[int]] = [[] for _ in range(count)]
    for length in range(1, longest + 1):
        logits, states = net.tell(said[:, :, -1:], keys, values, states)
        log_p = torch.log_softmax(logits[:, :, 0], -1)
        log_p[:, :, : UNKNOWN + 1] = torch.where(
            torch.arange(UNKNOWN + 1) == END, log_p[:, :, : UNKNOWN + 1], -torch.inf
        )
        if length == 1:
            log_p[:, :, END] = -torch.inf
        # A closed place offers nothing: its hypothesis is kept below.
        total = (scores[:, :, None] + log_p).masked_fill(~open_[:, :, None], -torch.inf)
        found, place = total.flatten(1).topk(BEAMS)
        places = open_.sum(1)
        found[torch.arange(BEAMS) >= places[:, None]] = -torch.inf
        parent, word = place // log_p.shape[-1], place % log_p.shape[-1]
        said = said.gather(1, parent[:, :, None].expand(-1, -1, said.shape[2]))
        said = torch.cat([said, word[:, :, None]], 2)
        rows = (torch.arange(len(said))[:, None] * BEAMS + parent).flatten()
        states = [s[:, rows] for s in states]
        alive = found > -torch.inf
        ended = alive & (word == END)
        for i, j in ended.nonzero().tolist():
            value = found[i, j].item() / divisor(length)
            if value > best_score[where[i]]:
                best_score[where[i]] = value
                best[where[i]] = said[i, j, 1:-1].tolist()
        scores, open_ = found, alive & ~ended
        hope = scores.masked_fill(~open_, -torch.inf).max(1).values / divisor(longest)
        going = (hope > best_score[where]) & open_.any(1)
        if length == longest:
            for i in going.nonzero().flatten().tolist():
                if not best[where[i]]:
                    best[where[i]] = said[i, scores[i].argmax(), 1:].tolist()
        if not going.any():
            break
        if (~going).sum() * 4 >= len(going):
            keep = (torch.arange(len(going))[:, None] * BEAMS + torch.arange(BEAMS))[going]
            keys, values, said = keys[going], values[going], said[going]
            states = [s[:, keep.flatten()] for s in states]
            scores, open_, where = scores[going], open_[going], where[going]
    return best


def run_diglot_on_pytorch(**arguments: object) -> dict[str, object]:
    return run_diglot(engine="torch", **arguments)


CANDIDATES = [
    Candidate("diglot", run_diglot, ("mxnet",)),
    Candidate("diglot on PyTorch", run_diglot_on_pytorch, ("torch",)),
    Candidate("PyTorch", run_pytorch, ("torch",)),
]


def main(images: int = 1000, rounds: int = 3, words: int = 0) -> None:
    candidates, skipped = present(CANDIDATES)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), images, words)
        vocabulary = len(diglot.load(Path(folder) / "model.safetensors").vocabulary_)
        runs = alternate(candidates, rounds, folder=folder, images=images)

    print(f"convnet + LSTM 256 + attention, {images} images, {vocabulary} words in all")
    print(f"{rounds} rounds, medians (lowest to highest); beam search with {BEAMS} beams")
    print(f"{machine()}\n{versions(runs)}\n")
    # The first epoch also warms up.
    tokens = {n: [np.median(r["tokens"][1:]) for r in answers] for n, answers in runs.items()}
    captions = {n: [r["captions"] for r in answers] for n, answers in runs.items()}
    losses = {n: answers[0]["losses"][-1] for n, answers in runs.items()}
    rows = [
        [name, spread(tokens[name]), spread(captions[name]), f"{losses[name]:.4f}"] for name in runs
    ]
    print(table(["", "tokens/s", "captions/s", "last loss"], rows))
    *all_ours, theirs = runs
    for ours in all_ours if theirs == CANDIDATES[-1].name else ():
        pairs = zip(runs[ours][0]["told"], runs[theirs][0]["told"], strict=True)
        same = f"{np.mean([a == b for a, b in pairs]):.1%} of {SCORED}"
        print(f"\nthe same captions, {ours} and {theirs}: {same}")
        for what, rates in (("training", tokens), ("beam search", captions)):
            print(f"{what}: {ours} / {theirs} {ratios(rates[ours], rates[theirs])}")
        alone = [r["alone"] for r in runs[theirs]]
        ratio = ratios(captions[ours], alone, 1)
        print(f"{theirs}, one image at a time: {spread(alone)} captions/s, ratio {ratio}")
    print("\n".join(skipped))


if __name__ == "__main__":
    run_script(lambda: main(*map(int, sys.argv[1:4])), CANDIDATES)
