"""The readers of foreign files, each with sound files to damage; run as a process of its own.

``hostile.py FOLDER COUNT SEED READER...`` reads so many damaged files by each reader, watches
what it does, and prints what it saw as JSON. The file that is being read lies in FOLDER, so that
one that ends the process is not lost.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import diglot
from diglot import (
    DBN,
    RBM,
    HogClassifier,
    ImageCaptioner,
    ImageClassifier,
    ImageRegressor,
    ImageTagger,
    network,
    storage,
)
from diglot.builder import initial_weights
from diglot.captions.files import read_captions
from diglot.errors import DiglotError, ImageError, InputError, ModelFileError
from diglot.images.decode import read_header, read_picture
from diglot.images.idx import read_idx_array
from diglot.images.packed import read_list
from diglot.training.checkpoints import read_checkpoint
from diglot.weights.caffe import read_caffe
from diglot.weights.caffe.caffemodel import read_caffemodel
from diglot.weights.hub import _read_json
from diglot.weights.hub_card import describe
from diglot.weights.mxnet_params import read_mxnet, read_params
from diglot.weights.onnx import read_onnx
from diglot.weights.safetensors_file import read_safetensors
from mutations import (
    Damage,
    damage_bytes,
    damage_header,
    damage_json,
    damage_message,
    damage_model,
    damage_text,
    damage_tree,
    pick,
    safetensors_bytes,
)

FIXTURES = Path(__file__).parents[1] / "fixtures"
RANDOM = np.random.default_rng(2)
IMAGES = RANDOM.integers(0, 256, (24, 9, 8, 3), np.uint8)
LABELS = np.array(["ant", "bee", "cat"] * 8)

SLOWEST = 2.0  # seconds of one core
ROOM = 24 * 2**20  # what a reader may need beside twice the file: tables, messages


@dataclass
class Reader:
    """A reader, the files that it reads, which of them is damaged and how."""

    files: dict[str, bytes]
    target: str
    damages: tuple[Damage, ...]
    read: Callable[[Path], Any]
    run: Callable[[Any], Any] | None = None  # what must not crash with what was read
    errors: tuple[type[Exception], ...] = (ModelFileError,)


# ------------------------------------------------------------------ sound files


def write_models(folder: Path) -> None:
    """Fit one small model of each kind, and write its file."""
    settings = {"epochs": 1, "seed": 1, "verbose": False}
    net = network("convnet", classes=3, size=(9, 8), channels=3, widths=(4,))
    frame = {"image": list(IMAGES), "age": np.arange(24.0), "sex": ["f", "m"] * 12}
    table = diglot_frame(frame)
    fits = {
        "classifier": ImageClassifier(net, **settings).fit(IMAGES, LABELS),
        "covariates": ImageClassifier("mlp", covariates=["age", "sex"], **settings).fit(
            table, LABELS
        ),
        "regressor": ImageRegressor("mlp", **settings).fit(IMAGES, np.arange(24.0)),
        "tagger": ImageTagger("mlp", **settings).fit(IMAGES, [["a"], ["a", "b"], ["b"]] * 8),
        "captioner": ImageCaptioner(
            "convnet", hidden=8, embedding=6, heads=2, **settings
        ).fit(IMAGES, [["red on blue", "a red one"], ["blue on red"]] * 12),
        "hog": HogClassifier(C=0.1).fit(np.tile(IMAGES, (1, 3, 3, 1)), LABELS),
        "rbm": RBM(6, **settings).fit(IMAGES[..., 0]),
        "dbn": DBN((6, 4), **settings).fit(IMAGES[..., 0]),
    }  # fmt: skip
    fits["classifier"].calibrate(IMAGES, LABELS).conformalize(IMAGES, LABELS)
    for name, model in fits.items():
        model.save(folder / f"{name}.safetensors")
    checkpoint = {"checkpoint": folder, "checkpoint_every": 1, **settings}
    ImageClassifier(net, **checkpoint).fit(IMAGES, LABELS)
    graph = network("lenet", classes=3, size=(20, 18), channels=1)
    graph = graph.with_weights(initial_weights(graph, 1))
    (folder / "mine-symbol.json").write_text(graph.to_json())
    (folder / "mine-0000.params").write_bytes(params_bytes(graph.weights))
    from PIL import Image

    for ending in ("png", "jpg", "gif", "bmp", "webp", "tiff"):
        Image.fromarray(np.tile(IMAGES[0], (3, 4, 1))).save(folder / f"image.{ending}")
    Image.fromarray(RANDOM.integers(0, 2**16, (9, 8)).astype(np.uint16)).save(folder / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(IMAGES[0]).save(folder / "turned.jpg", exif=exif)


def diglot_frame(columns: dict[str, Any]):
    import pandas as pd

    return pd.DataFrame(columns)


def params_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """Write MXNet's .params as its source code describes it."""
    import struct

    parts = [struct.pack("<QQQ", 0x112, 0, len(arrays))]
    for a in arrays.values():
        head = struct.pack(f"<Iii{a.ndim}qiii", 0xF993FAC9, 0, a.ndim, *a.shape, 1, 0, 0)
        parts += [head, np.ascontiguousarray(a, "<f4").tobytes()]
    names = [f"arg:{name}".encode() for name in arrays]
    parts.append(struct.pack("<Q", len(names)))
    parts += [struct.pack("<Q", len(n)) + n for n in names]
    return b"".join(parts)


def _predicted(model: Any) -> None:
    if isinstance(model, (RBM, DBN)):
        model.transform(IMAGES[:2, ..., 0])
    elif isinstance(model, HogClassifier):
        model.predict(np.tile(IMAGES[:2], (1, 3, 3, 1)))
    elif getattr(model, "design_", None) is not None:
        columns = {"image": list(IMAGES[:2]), "age": [1.0, 2.0], "sex": ["f", "m"]}
        model.predict(diglot_frame(columns))
    else:
        model.predict(IMAGES[:2])


def _scored(graph: Any) -> None:
    from diglot.engine import open_executor

    spec = graph.input
    shape = (1, spec.height, spec.width, spec.channels)
    if np.prod(shape, dtype=float) < 1e6:
        open_executor(graph, "cpu").forward({"data": np.zeros(shape, np.float32)})


def _own(name: str, folder: Path) -> Reader:
    file = f"{name}.safetensors"
    return Reader(
        {file: (folder / file).read_bytes()},
        file,
        (damage_model, damage_model, damage_model, damage_header, damage_bytes),
        lambda place: diglot.load(place / file),
        _predicted,
    )


def _checkpoint(folder: Path) -> Reader:
    file = "checkpoint.safetensors"
    run = storage.read_file(folder / file)[1]["run"]
    return Reader(
        {file: (folder / file).read_bytes()},
        file,
        (damage_model, damage_header, damage_bytes),
        lambda place: read_checkpoint(place / file, run),
        None,
        (ModelFileError, InputError),  # the latter says that it is another fit's
    )


def _resumed(folder: Path) -> Reader:
    """Return a reader that goes on with a checkpoint by a fit."""
    net = network("convnet", classes=3, size=(9, 8), channels=3, widths=(4,))
    file = "checkpoint.safetensors"

    def resume(place: Path) -> Any:
        model = ImageClassifier(net, resume=place / file, epochs=1, seed=1, verbose=False)
        return model.fit(IMAGES, LABELS)

    return Reader(
        {file: (folder / file).read_bytes()},
        file,
        (damage_model, damage_model, damage_header, damage_bytes),
        resume,
        _predicted,
        (ModelFileError, InputError),  # the latter says that it is another fit's
    )


def _foreign(fixture: str, name: str, settings: dict[str, Any]) -> Reader:
    """Return a reader of weights by the names of timm or torchvision."""
    file = "w.safetensors"
    path = FIXTURES / "torch" / f"a_{fixture}.safetensors"
    tensors, _ = storage.read_file(path, require_metadata=False)
    weights = {n: a for n, a in tensors.items() if not n.startswith("__")}
    return Reader(
        {file: safetensors_bytes(weights, {"format": "pt"})},
        file,
        (damage_header, damage_header, damage_bytes),
        lambda place: diglot.pretrained(name, weights=place / file, **settings),
        None,
        (ModelFileError, InputError),
    )


def readers(folder: Path) -> dict[str, Callable[[], Reader]]:
    """Return every reader by name; making one reads the sound files."""
    own = ("classifier", "covariates", "regressor", "tagger", "captioner", "hog", "rbm", "dbn")
    found: dict[str, Callable[[], Reader]] = {
        name: lambda name=name: _own(name, folder) for name in own
    }

    def fixture(name: str) -> bytes:
        return (FIXTURES / name).read_bytes()

    def safetensors() -> Reader:
        tensors = {
            "a": np.ones((3, 4), "f4"),
            "b": np.zeros(5, "f2"),
            "c": np.arange(6, dtype="i8"),
        }
        return Reader(
            {"w.safetensors": safetensors_bytes(tensors, {"format": "pt"})},
            "w.safetensors",
            (damage_header, damage_header, damage_bytes),
            lambda place: read_safetensors(place / "w.safetensors"),
        )

    def shards() -> Reader:
        one = safetensors_bytes({"a": np.ones(3, "f4")}, {})
        two = safetensors_bytes({"b": np.ones(2, "f4")}, {})
        index = {"metadata": {}, "weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}
        name = "w.safetensors.index.json"
        return Reader(
            {"1.safetensors": one, "2.safetensors": two, name: json.dumps(index).encode()},
            name,
            (damage_json, damage_bytes),
            lambda place: read_safetensors(place / name),
        )

    def params() -> Reader:
        data = params_bytes({"a": np.ones((2, 3)), "b": np.ones(4)})
        return Reader(
            {"m.params": data},
            "m.params",
            (damage_bytes,),
            lambda place: read_params(place / "m.params"),
        )

    def symbol() -> Reader:
        files = {n: (folder / n).read_bytes() for n in ("mine-symbol.json", "mine-0000.params")}
        return Reader(
            files,
            "mine-symbol.json",
            (damage_json, damage_json, damage_bytes),
            lambda place: read_mxnet(*(place / n for n in files), size=(20, 18), channels=1),
            _scored,
            (ModelFileError, InputError),
        )

    def caffemodel(of: str) -> Reader:
        files = {n: fixture(f"caffe/{of}{n[1:]}") for n in ("m.prototxt", "m.caffemodel")}
        return Reader(
            files,
            "m.caffemodel",
            (damage_message, damage_message, damage_bytes),
            lambda place: [read_caffemodel(place / "m.caffemodel"), _caffe(place)][1],
            _scored,
            (ModelFileError, InputError),
        )

    def _caffe(place: Path) -> Any:
        return read_caffe(place / "m.prototxt", place / "m.caffemodel")

    def prototxt(of: str) -> Reader:
        files = {n: fixture(f"caffe/{of}{n[1:]}") for n in ("m.prototxt", "m.caffemodel")}
        return Reader(
            files,
            "m.prototxt",
            (damage_text, damage_text, damage_bytes),
            _caffe,
            _scored,
            (ModelFileError, InputError),
        )

    def onnx(of: str) -> Reader:
        return Reader(
            {"m.onnx": fixture(f"onnx/{of}.onnx")},
            "m.onnx",
            (damage_message, damage_message, damage_bytes),
            lambda place: read_onnx(place / "m.onnx", size=(20, 16)),
            _scored,
            (ModelFileError, InputError),
        )

    def zoo(file: str, name: str, damage: Damage) -> Reader:
        data = (folder / file).read_bytes() if (folder / file).exists() else fixture(file)
        plain = Path(file).name
        return Reader(
            {plain: data},
            plain,
            (damage, damage_bytes),
            lambda place: diglot.pretrained(name, weights=place / plain),
            None,
            (ModelFileError, InputError),
        )

    def card() -> Reader:
        config = {
            "architecture": "resnet50", "num_classes": 3, "label_names": ["a", "b", "c"],
            "pretrained_cfg": {
                "input_size": [3, 224, 224], "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2],
                "interpolation": "bicubic", "crop_pct": 0.95, "crop_mode": "center",
                "license": "mit", "num_classes": 3, "label_names": ["a", "b", "c"],
            },
        }  # fmt: skip
        return Reader(
            {"config.json": json.dumps(config).encode()},
            "config.json",
            (damage_json, damage_bytes),
            lambda place: describe(_read_json(place / "config.json")),
        )

    def image(file: str) -> Reader:
        def read(place: Path) -> None:
            header = read_header(str(place / file))
            # a bomb that the header tells of is refused, as is what is too large to be one
            if header.height * header.width < 10**6:
                read_picture(str(place / file))

        return Reader(
            {file: (folder / file).read_bytes()}, file, (damage_bytes,), read, None, (ImageError,)
        )

    def idx() -> Reader:
        data = bytes([0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6]) + bytes(range(120))
        return Reader(
            {"a-idx3-ubyte": data},
            "a-idx3-ubyte",
            (damage_bytes,),
            lambda place: read_idx_array(place / "a-idx3-ubyte"),
            None,
            (DiglotError,),
        )

    def packing_list() -> Reader:
        head = {"diglot": "packed images", "version": 1, "identity": "0" * 16, "bytes": 900}
        lines = [head | {"images": 2, "stored": None}]
        lines += [["a.png", 0, 100, 90, 5, [4, 5, 3, "uint8"]], ["b.png", 100, 80, 70, 5, None]]
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()

        def damage(data: bytes, rng: np.random.Generator) -> bytes:
            parts = damage_tree([json.loads(x) for x in data.decode().splitlines()], rng)
            lines = parts if isinstance(parts, list) else [parts]
            return "".join(json.dumps(line) + "\n" for line in lines).encode()

        return Reader(
            {"p.jsonl": data},
            "p.jsonl",
            (damage, damage_bytes),
            lambda place: read_list((place / "p.jsonl").read_bytes()),
            None,
            (ValueError,),  # which its caller turns into words about the file
        )

    def captions() -> Reader:
        told = {
            "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(3)],
            "annotations": [{"id": i, "image_id": i % 3, "caption": f"text {i}"} for i in range(6)],
        }
        return Reader(
            {"c.json": json.dumps(told).encode()},
            "c.json",
            (damage_json, damage_bytes),
            lambda place: read_captions(place / "c.json"),
            None,
            (DiglotError,),
        )

    found |= {
        "checkpoint": lambda: _checkpoint(folder),
        "resumed": lambda: _resumed(folder),
        "timm": lambda: _foreign("mobilenet_v2_timm", "mobilenet_v2", {"width": 0.1, "last": 24}),
        "torchvision": lambda: _foreign(
            "resnet_bottleneck_torchvision",
            "resnet50",
            {"stem": 6, "widths": (4, 6, 8, 10), "depths": (2, 1, 1, 1)},
        ),
        "safetensors": safetensors,
        "shards": shards,
        "params": params,
        "symbol": symbol,
        "caffemodel": lambda: caffemodel("googlenet"),
        "caffemodel_v1": lambda: caffemodel("vgg_v1"),
        "prototxt": lambda: prototxt("lenet"),
        "prototxt_resnet": lambda: prototxt("resnet"),
        "onnx": lambda: onnx("densenet"),
        "onnx_vit": lambda: onnx("convnext17"),
        "onnx_se": lambda: onnx("se"),
        "pretrained_own": lambda: zoo("classifier.safetensors", "convnet", damage_model),
        "hub_card": card,
        "captions": captions,
        "idx": idx,
        "packed": packing_list,
    }
    for file in ("image.png", "image.jpg", "image.gif", "image.bmp", "image.webp", "image.tiff"):
        found[file] = lambda file=file: image(file)
    found |= {"deep.png": lambda: image("deep.png"), "turned.jpg": lambda: image("turned.jpg")}
    return found


# ------------------------------------------------------------------ watching


FORBIDDEN = (
    "subprocess.Popen",
    "os.",
    "shutil.",
    "socket.",
    "pickle.",
    "ctypes.dlopen",
    "exec",
    "webbrowser.",
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
SYSTEM = ("/proc/", "/sys/fs/cgroup/")  # how much memory there is
HARMLESS = ("os.listdir", "os.scandir", "os.putenv", "os.unsetenv")
BUILT = ("exec",)  # dataclasses, named tuples: code of this program, not of the file


@dataclass
class Watch:
    """What a reader does beside reading, by Python's audit events, while it is on."""

    on: bool = False
    place: str = ""
    seen: list[str] = field(default_factory=list)

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, mode, flags = given
            if isinstance(path, int):
                return
            text = os.fsdecode(path)
            inside = os.path.realpath(text).startswith(self.place + os.sep)
            # Of os.open() there are only the flags, of what C opens perhaps only the mode.
            writes = set(mode or "") & set("wxa+") or (isinstance(flags, int) and flags & WRITING)
            code = text.endswith((".py", ".pyc", ".so")) or text.startswith(SYSTEM)
            if writes or not (inside or code):
                self.seen.append(f"open {text!r} {mode or flags}")
        elif event.startswith(FORBIDDEN) and event not in (*HARMLESS, *BUILT):
            self.seen.append(f"{event} {given!r}"[:200])


class SlowError(BaseException):
    """Raised into a reader that takes far too long."""


def _too_slow(*_: Any) -> None:
    raise SlowError


def watched(name: str, reader: Reader, folder: Path, count: int, seed: int, watch: Watch) -> dict:
    """Read so many damaged files; return counts and faults."""
    place = folder / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for file, data in reader.files.items():
        (place / file).write_bytes(data)
    if reader.run:  # the sound file works, and everything is imported that it needs
        reader.run(reader.read(place))
    else:
        reader.read(place)
    told = {"reader": name, "tried": 0, "refused": 0, "ran": 0, "failed_running": 0}
    told |= {"slowest": 0.0, "most_memory": 0, "slowest_run": 0.0}
    faults: list[list[str]] = []
    watch.place = os.path.realpath(place)
    target, data = place / reader.target, reader.files[reader.target]
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        damaged = pick(rng, reader.damages)(data, rng)
        target.unlink(missing_ok=True)
        target.write_bytes(damaged)
        result, fault = _once(reader, place, len(damaged), told, watch, number % 10 == 0)
        told["tried"] += 1
        if result is not None and reader.run and not fault:
            fault = _ran(reader, result, told)
        if fault:
            kept = folder / f"{name}-{seed}-{number}"
            shutil.copy(target, kept)
            faults.append([str(kept), fault])
            if len(faults) >= 40:
                break
        if sorted(os.listdir(place)) != sorted(reader.files):
            faults.append([str(number), f"files appeared: {os.listdir(place)}"])
            break
    shutil.rmtree(place)
    return told | {"faults": faults}


def _once(
    reader: Reader, place: Path, size: int, told: dict, watch: Watch, count_memory: bool
) -> tuple[Any, str]:
    result, fault = None, ""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if count_memory:
        tracemalloc.start()
    watch.seen.clear()
    signal.setitimer(signal.ITIMER_VIRTUAL, 5 * SLOWEST * (5 if count_memory else 1))
    signal.setitimer(signal.ITIMER_REAL, 30 * SLOWEST)  # what waits takes no time of a core
    start = time.process_time()
    try:
        watch.on = True
        result = reader.read(place)
    except reader.errors as error:
        told["refused"] += 1
        if not str(error):
            fault = "an error without words"
    except SlowError:
        fault = "it does not end"
    except BaseException as error:
        fault = f"{type(error).__name__}: {error}"[:500] + _where(error)
    finally:
        watch.on = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    seconds = time.process_time() - start
    if count_memory:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        told["most_memory"] = max(told["most_memory"], peak)
        if peak > 2 * size + ROOM:
            fault = fault or f"{peak} bytes of memory for {size}"
    else:
        told["slowest"] = max(told["slowest"], seconds)
        if seconds > SLOWEST:
            fault = fault or f"{seconds:.1f} seconds"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if grown > 2 * size + 2 * ROOM:
        fault = fault or f"the process grew by {grown} bytes for {size}"
    if watch.seen:
        fault = fault or f"it did more than read: {watch.seen[:3]}"
    return result, fault


def _ran(reader: Reader, result: Any, told: dict) -> str:
    start = time.process_time()
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 60)
        reader.run(result)
        told["ran"] += 1
    except (DiglotError, MemoryError) as error:
        told["failed_running"] += 1
        if os.environ.get("DIGLOT_TELL"):
            sys.stderr.write(f"FAILED {type(error).__name__}: {error}\n")
    except SlowError:
        return "running it does not end"
    except BaseException as error:
        return f"running it: {type(error).__name__}: {error}"[:500] + _where(error)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    told["slowest_run"] = max(told["slowest_run"], time.process_time() - start)
    return ""


def _where(error: BaseException) -> str:
    trace, last = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if "diglot" in code.co_filename:
            last = f" [{Path(code.co_filename).name}:{trace.tb_lineno}]"
        trace = trace.tb_next
    return last


def main() -> None:
    warnings.simplefilter("ignore")
    told_to, sys.stdout = sys.stdout, sys.stderr  # MXNet's Python prints
    folder, count, seed, *names = sys.argv[1:]
    signal.signal(signal.SIGVTALRM, _too_slow)
    signal.signal(signal.SIGALRM, _too_slow)
    limit = 12 * 2**30  # a reader that asks for more gets a MemoryError, not this machine's memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    watch = Watch()
    sys.addaudithook(watch)
    found = readers(Path(folder))
    for name in names:
        place = Path(folder) / "reading"
        place.mkdir(exist_ok=True)
        told = watched(name, found[name](), place, int(count), int(seed), watch)
        print(json.dumps(told), file=told_to, flush=True)


if __name__ == "__main__":
    main()
