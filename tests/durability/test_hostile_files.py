"""Damaged and hostile files: each is read, or refused in words, soon and without harm."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import pytest

import hostile
import mutations
from diglot import ImageClassifier, load, network, pretrained, storage
from diglot.errors import ImageError, InputError, ModelFileError
from diglot.images.decode import decode
from diglot.weights.caffe import read_caffe
from soak import ROOT, SOAK, alone, rounds

HERE = Path(__file__).parent
FOUND = HERE / "found"  # files that once got past a reader


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Write one sound file of each kind."""
    folder = tmp_path_factory.mktemp("sound")
    hostile.write_models(folder)
    return folder


def run(folder, names, count, seed):
    """Read damaged files in a process of its own; return what it saw, or how it ended."""
    command = [sys.executable, str(HERE / "hostile.py"), str(folder), str(count), str(seed), *names]
    done = subprocess.run(command, env=alone(), capture_output=True, text=True, check=False)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode:
        fault = f"the process ended with {done.returncode}: {done.stderr[-1500:]}"
        name = names[len(told)]
        told.append({"reader": name, "tried": count, "faults": [[str(folder / "reading"), fault]]})
    return told


def all_of(folder, names, count):
    """Share the readers out to two processes; print what they saw, and return the faults."""
    halves = [names[0::2], names[1::2]] if count <= 2000 else [[name] for name in names]
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(run, folder, half, count, seed) for seed, half in enumerate(halves)]
        told = []
        for job in as_completed(jobs):  # in the long form, hours lie between them
            told += job.result()
            for entry in job.result():
                print(
                    "  ".join(f"{key} {_short(value)}" for key, value in entry.items()), flush=True
                )
    assert {entry["reader"] for entry in told} == set(names)
    return [f"{path}: {fault}" for entry in told for path, fault in entry["faults"]]


def _short(value):
    return f"{value:.3g}" if isinstance(value, float) else value


def test_damaged_files_of_models_and_weights(sound):
    """Only ModelFileError, soon, in little memory, without a look at any other file."""
    names = [name for name in hostile.readers(sound) if "." not in name]
    assert all_of(sound, names, rounds(120, 10_000)) == []


def test_damaged_images(sound):
    """Only ImageError, soon, in little memory, without a look at any other file."""
    names = [name for name in hostile.readers(sound) if "." in name]
    assert all_of(sound, names, rounds(120, 10_000)) == []


# ------------------------------------------------------------------ the watch itself


READS = {
    "open": "open('mine', 'rb')",
    "os.open": "os.open('mine', os.O_RDONLY | os.O_CLOEXEC)",
    "the door": "opened('mine')",
    "a folder": "os.listdir('.')",
    "the system": "open('/proc/self/status')",
    "a descriptor": "open(os.open('mine', os.O_RDONLY), 'rb')",
}
HARM = {
    "open": "open('new', 'w')",
    "open of code": "open('new.py', 'w')",
    "open to add": "open('mine', 'ab')",
    "open to change": "open('mine', 'r+b')",
    "another file": "open('../other', 'rb')",
    "os.open": "os.open('mine', os.O_WRONLY)",
    "os.open for both": "os.open('mine', os.O_RDWR)",
    "os.open of a new file": "os.open('new', os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)",
    "os.open that empties": "os.open('mine', os.O_RDONLY | os.O_TRUNC)",
    "os.open of another file": "os.open('../other', os.O_RDONLY)",
    "os.open of code": "os.open('new.py', os.O_WRONLY | os.O_CREAT)",
    "an opener": "open('mine', 'rb', opener=lambda n, _: os.open(n, os.O_RDONLY | os.O_CREAT))",
    "a path": "pathlib.Path('new').write_bytes(b'')",
    "a model": "write_bytes('new', b'')",
    "a process": "subprocess.run(['true'])",
    "a connection": "socket.socket().connect_ex(('127.0.0.1', 9))",
    "removing": "os.unlink('mine')",
    "a folder": "os.mkdir('new')",
}
WATCHING = """
import json, os, pathlib, socket, subprocess, sys
import hostile
from diglot.files import opened, write_bytes
watch = hostile.Watch(place=os.getcwd())
sys.addaudithook(watch)
for does in json.loads(sys.argv[1]):
    action = eval("lambda: " + does)  # of this test
    pathlib.Path("mine").write_bytes(b"")
    watch.seen.clear()
    watch.on = True
    action()
    watch.on = False
    print(len(watch.seen))
    for name in ("new", "new.py"):
        if os.path.isdir(name):
            os.rmdir(name)
        elif os.path.exists(name):
            os.unlink(name)
"""


def test_the_watch_sees_what_a_reader_must_not_do(tmp_path):
    """Reading within the folder is not seen; writing and looking elsewhere are, by any call."""
    (tmp_path / "other").touch()
    (tmp_path / "place").mkdir()
    environment = alone()
    environment["PYTHONPATH"] += f":{HERE}"
    actions = json.dumps([*READS.values(), *HARM.values()])
    done = subprocess.run(
        [sys.executable, "-c", WATCHING, actions],
        env=environment, cwd=tmp_path / "place", capture_output=True, text=True, check=True,
    )  # fmt: skip
    seen = [line != "0" for line in done.stdout.splitlines()]
    told = dict(zip([*READS, *(f"harm: {name}" for name in HARM)], seen, strict=True))
    assert told == dict.fromkeys(READS, False) | {f"harm: {name}": True for name in HARM}


# ------------------------------------------------------------------ made by hand


MEMORY = """
import json, resource, sys
import numpy as np
import hostile
import mutations
from diglot.weights.safetensors_file import read_safetensors
from diglot.weights.mxnet_params import read_params
read = {"load": hostile.diglot.load, "params": read_params}.get(sys.argv[1], read_safetensors)
read(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read(sys.argv[3])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def grows(kind, small, large):
    """Return how many bytes a process grows by that reads a large file after a small one."""
    command = [sys.executable, "-c", MEMORY, kind, str(small), str(large)]
    environment = alone()
    environment["PYTHONPATH"] += f":{HERE}"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024


def test_a_large_file_needs_no_more_than_twice_its_size(tmp_path):
    kinds = ("load", "params", "float16", *(("float32", "float64") if SOAK else ()))
    for hidden, name in ((8, "small"), (40_000, "large")):
        net = network("mlp", classes=2, size=16, channels=1, hidden=(hidden,))
        model = ImageClassifier(net, epochs=1, seed=1, verbose=False)
        model.fit(np.zeros((4, 16, 16)), [0, 1, 0, 1]).save(tmp_path / f"{name}.load")
        weights = dict(model.network_.weights)
        (tmp_path / f"{name}.params").write_bytes(hostile.params_bytes(weights))
        for dtype in kinds[2:]:
            arrays = {n: w.astype(dtype) for n, w in weights.items()}
            storage.write_file(tmp_path / f"{name}.{dtype}", arrays, {})
    for kind in kinds:
        small, large = tmp_path / f"small.{kind}", tmp_path / f"large.{kind}"
        size = large.stat().st_size * (2 if kind == "float16" else 1)  # it is read as float32
        assert size > 40e6
        assert grows(kind, small, large) < 2 * size + 16e6, kind


@pytest.mark.parametrize("part", ["[],", "{},", '{"a":0},', "[[[[0]]]],"])
def test_text_that_would_fill_the_memory_is_refused(sound, tmp_path, part):
    """As much as 20 times its size: in the header, in the metadata, in the network."""
    many = "[" + part * 600_000 + "0]"
    tensors, meta = storage.read_file(sound / "regressor.safetensors")
    graph = {**meta["graph"], "symbol": many}
    texts = [f'{{"format": 1, "kind": "regressor", "x": {many}}}']
    texts += [json.dumps({**meta, "graph": graph})]
    files = [mutations.safetensors_bytes(tensors, {"diglot": text}) for text in texts]
    header = f'{{"__metadata__": {{}}, "x": {many}}}'.encode()
    files.append(struct.pack("<Q", len(header)) + header)
    for data in files:
        (tmp_path / "m.safetensors").write_bytes(data)
        tracemalloc.start()
        try:
            with pytest.raises(ModelFileError):
                load(tmp_path / "m.safetensors")
            assert tracemalloc.get_traced_memory()[1] < 4 * len(data)
        finally:
            tracemalloc.stop()


def test_weights_of_other_types_are_no_model(sound, tmp_path):
    """A file of small numbers would take four or eight times its size as floats."""
    tensors, meta = storage.read_file(sound / "regressor.safetensors")
    for dtype in ("uint8", "bool", "float16", "int64"):
        arrays = {n: a.astype(dtype) for n, a in tensors.items()}
        path = storage.write_file(tmp_path / "m.safetensors", arrays, meta)
        for read in (load, lambda p: pretrained(weights=p)):
            with pytest.raises(ModelFileError, match=f"of type {dtype}.* float32"):
                read(path)


@pytest.mark.parametrize(
    "bottoms",
    [("a", "a"), ("b", "a"), ("data", "c")],
    ids=["itself", "each other", "what is not there"],
)
def test_a_prototxt_that_goes_round_in_a_circle(tmp_path, bottoms):
    text = 'input: "data" input_shape { dim: 1 dim: 1 dim: 8 dim: 8 }\n'
    for name, bottom in zip("ab", bottoms, strict=True):
        text += (
            f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}" '
            "inner_product_param { num_output: 2 } }\n"
        )
    (tmp_path / "m.prototxt").write_text(text)
    with pytest.raises(ModelFileError, match="m.prototxt"):
        read_caffe(tmp_path / "m.prototxt")


def test_special_files_are_refused_and_do_not_wait(tmp_path):
    """A pipe, a device, a loop of links, a name of 255 bytes, a folder, an empty file."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    places = [tmp_path / name for name in ("pipe", "loop", "empty", "folder", "é" * 127, "x" * 300)]
    for place in [*places, Path("/dev/zero"), Path("a\0b")]:
        for read in (load, storage.read_metadata):
            with pytest.raises(ModelFileError):
                read(place)
        for ending in (".safetensors", ".params", ".onnx", ".caffemodel"):
            linked = tmp_path / f"linked{ending}"
            linked.unlink(missing_ok=True)
            if "\0" not in str(place):
                linked.symlink_to(place)
                with pytest.raises((ModelFileError, InputError)):  # it lacks the structure's file
                    pretrained("mlp", weights=linked)
        with pytest.raises(ImageError):
            decode(str(place))


def test_names_of_any_length_and_script_are_read(sound, tmp_path):
    for stem in ("größe 層 \U0001f600", "x" * 243, "new\nline", "-rf", "~tilde", "$HOME `id`"):
        path = tmp_path / f"{stem}.safetensors"
        path.write_bytes((sound / "regressor.safetensors").read_bytes())
        model = load(path)
        assert model.save(path) == path
        assert load(path).fingerprint() == model.fingerprint()


@pytest.mark.parametrize("path", sorted(FOUND.glob("*")), ids=lambda path: path.name)
def test_what_was_once_found_stays_mended(path, tmp_path, sound):
    """Files of ``found/`` are named ``<reader>-<what it did>``."""
    reader = hostile.readers(sound)[path.name.split("-")[0]]()
    for file, data in reader.files.items():
        (tmp_path / file).write_bytes(data)
    (tmp_path / reader.target).write_bytes(path.read_bytes())
    try:
        found = reader.read(tmp_path)
    except reader.errors:
        return
    if reader.run:
        reader.run(found)


# ------------------------------------------------------------------ what is never used


NEVER = {
    "pickle": r"^\s*(import|from) (pickle|cPickle|dill|cloudpickle|shelve|marshal)\b",
    "others' pickles": r"allow_pickle\s*=\s*True|joblib\.(load|dump)|\.to_pickle|read_pickle",
    "eval": r"(?<![\w.])(eval|exec|compile)\(",
    "yaml's objects": r"yaml\.(load|unsafe_load|full_load)\(",
    "a shell": r"shell\s*=\s*True|os\.system\(|os\.popen\(|getoutput\(",
    "__import__ of a name": r"__import__\(",
    "a predictable temporary file": r"tempfile\.mktemp\(",
    "torch.load": r"^[^'\"#`]*torch\.load\(",
    "parsers that expand entities": r"xml\.etree|xml\.sax|minidom",
}


def test_nothing_that_runs_what_a_file_says():
    files = sorted((ROOT / "python").rglob("*.py"))
    assert len(files) > 200
    found = [
        f"{file.relative_to(ROOT)}:{number}: {what}: {line.strip()}"
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), 1)
        for what, pattern in NEVER.items()
        if re.search(pattern, line)
    ]
    assert found == []


def test_r_runs_nothing_that_a_file_says():
    pattern = r"(?<![\w.])(parse|system|shell|source|sys\.source|py_run_\w+|py_eval|readRDS|load)\("
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in sorted((ROOT / "R").glob("*.R"))
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if re.search(pattern, line) and not line.lstrip().startswith("#")
    ]
    assert found == []
