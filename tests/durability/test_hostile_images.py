"""A folder of images as nobody would wish for: each is read as it is, or reported by its name."""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from diglot import (
    ImageClassifier,
    load,
    network,
    predict_files,
    pretrained,
    read_captions,
    read_idx,
    read_images,
)
from diglot.errors import DiglotError, ImageError
from diglot.images.decode import decode
from soak import alone

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")

GRADIENT = (np.arange(10)[:, None, None] * 20 + np.arange(12)[None, :, None] + [0, 20, 40]).astype(
    np.uint8
)


@pytest.fixture(scope="module")
def model():
    images = np.random.default_rng(1).integers(0, 256, (12, 16, 16, 3), np.uint8)
    return ImageClassifier("lenet", epochs=1, seed=1, verbose=False).fit(images, ["a", "b"] * 6)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *chunks, depth=8, colour=2):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks) + chunk(b"IEND", b"")


def pixels(data):
    return chunk(b"IDAT", zlib.compress(data))


BOMBS = {
    "wide.png": png(2**31 - 1, 2**31 - 1, pixels(b"\0")),
    "high.png": png(60_000, 60_000, pixels(b"\0" * 1000)),
    "empty.png": png(0, 10, pixels(b"")),
    "none.png": png(10, 10),
    "text.png": png(10, 10, chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 300_000_000, 9))),
    "profile.png": png(10, 10, chunk(b"iCCP", b"a\0\0" + zlib.compress(b"\0" * 300_000_000, 9))),
    "huge.gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b",;",
    "huge.bmp": b"BM"
    + struct.pack("<IIIIiiHHIIiiII", 58, 0, 54, 40, 2**30, 2**30, 1, 24, *[0] * 6),
    "negative.bmp": b"BM"
    + struct.pack("<IIIIiiHHIIiiII", 58, 0, 54, 40, -5, -(2**31), 1, 24, *[0] * 6),
    "huge.tif": b"II*\0\x08\0\0\0\x03\0"
    + struct.pack("<HHII", 256, 4, 1, 2**31)
    + struct.pack("<HHII", 257, 4, 1, 2**31)
    + struct.pack("<HHII", 273, 4, 1, 8)
    + b"\0" * 4,
    "round.tif": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    "huge.webp": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xffVP8 \0\0\0\0",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_and_cost_little(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BOMBS[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageError, match=name):
        decode(str(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.parametrize("kind", [b"tEXt", b"iCCP", b"eXIf"])
def test_a_chunk_that_claims_four_gigabytes_gets_no_memory(tmp_path, kind):
    data = png(10, 10, pixels(b"\0" * 310))
    (tmp_path / "a.png").write_bytes(data[:33] + b"\xff\xff\xff\xf0" + kind + data[41:])
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match=r"a\.png"):
            decode(str(tmp_path / "a.png"))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def write_odd(folder):
    """Write images that are odd but sound; return what each holds, or None for any answer."""
    plain, wanted = Image.fromarray(GRADIENT), {}

    def save(name, image=plain, expected=GRADIENT, **options):
        image.save(folder / name, **options)
        wanted[name] = expected

    save("1x1.png", Image.new("RGB", (1, 1), (1, 2, 3)), np.array([[[1, 2, 3]]]))
    long = np.tile(np.arange(250, dtype=np.uint8), 400)
    save("100000x1.png", Image.fromarray(long[None]), long[None, :, None])
    save("1x100000.png", Image.fromarray(long[:, None]), long[:, None, None])
    frames = [Image.fromarray(np.roll(GRADIENT, i, 0)) for i in range(1, 300)]
    save("animated.webp", save_all=True, append_images=frames, lossless=True)
    save("animated.png", save_all=True, append_images=frames)
    save("animated.gif", save_all=True, append_images=frames, expected=None)
    save("pages.tif", save_all=True, append_images=frames)
    save("cmyk.jpg", plain.convert("CMYK"), None)
    save("cmyk.tif", plain.convert("CMYK"), GRADIENT)
    deep = np.arange(120, dtype=np.uint16).reshape(10, 12) * 500
    save("deep.png", Image.fromarray(deep), deep[:, :, None])
    save("exif.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xff" * 50, expected=None)
    save("loop.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\x08\0\0\0", expected=None)
    save("is a png.jpg", format="PNG")
    save("größe 層 \U0001f600.png")
    save("x" * 251 + ".png")
    save("new\nline.png")
    text = PngImagePlugin.PngInfo()
    text.add_text("a", "\0" * 100_000, zip=True)
    save("text.png", pnginfo=text)
    return wanted


def write_bad(folder):
    """Write what is no image, in all ways; return the names."""
    sound = folder / "cut.png"
    Image.fromarray(GRADIENT).save(sound)
    sound.write_bytes(sound.read_bytes()[:-40])
    (folder / "zero bytes.png").write_bytes(b"")
    (folder / "text is no image.png").write_text("P3 1 1 255")
    (folder / "folder.png").mkdir()
    (folder / "circle.png").symlink_to(folder / "circle.png")
    (folder / "nowhere.png").symlink_to(folder / "is not there")
    os.mkfifo(folder / "pipe.png")
    names = ["cut.png", "zero bytes.png", "text is no image.png", "folder.png", "circle.png"]
    names += ["nowhere.png", "pipe.png", "y" * 300 + ".png"]
    return names


def test_odd_images_are_what_they_are(tmp_path):
    for name, expected in write_odd(tmp_path).items():
        found = decode(str(tmp_path / name))
        if expected is not None:
            np.testing.assert_array_equal(found, expected, err_msg=name)
        else:
            assert found.shape == GRADIENT.shape, name


def test_a_model_answers_for_odd_images_and_names_bad_ones(model, tmp_path):
    odd, bad = list(write_odd(tmp_path)), write_bad(tmp_path)
    sound = [str(tmp_path / name) for name in odd]
    alone = [model.predict_proba([path])[0] for path in sound]
    np.testing.assert_allclose(model.predict_proba(sound), alone, atol=1e-6)
    assert np.isfinite(alone).all()
    for name in bad:
        with pytest.raises(ImageError) as caught:
            model.predict([sound[0], str(tmp_path / name)])
        assert name in str(caught.value)


FORBIDDEN = """
import os, sys
from diglot import ImageClassifier, predict_files
from diglot.errors import DiglotError
from diglot.captions.files import read_captions
from diglot.images import read_images
from diglot.images.decode import decode, read_header
from diglot.images.idx import read_idx_array
from diglot.models import load
readers = (decode, read_header, read_idx_array, read_captions, load)
for read in readers:  # while all of Python's own files may be read
    try:
        read(sys.argv[1] + "/open/a.png")
    except DiglotError:
        pass
read_images(sys.argv[1] + "/open")
if not os.geteuid():
    os.setgid(65534)
    os.setuid(65534)
folder = sys.argv[1]
path = folder + "/forbidden.png"
try:
    open(path)
    sys.exit("it is not forbidden")
except PermissionError:
    pass
for read in readers:
    try:
        read(path)
    except DiglotError as error:
        print(type(error).__name__, "forbidden.png" in str(error), "permi" in str(error).lower())
try:
    read_images(folder + "/closed")
except DiglotError as error:
    print(type(error).__name__, "closed" in str(error), "permi" in str(error))
"""


def test_what_may_not_be_read_is_told_of():
    """By a process that is not root, which may read everything."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        Image.fromarray(GRADIENT).save(folder / "forbidden.png")
        (folder / "forbidden.png").chmod(0)
        (folder / "closed").mkdir(mode=0)
        (folder / "open").mkdir()
        Image.fromarray(GRADIENT).save(folder / "open" / "a.png")
        command = [sys.executable, "-c", FORBIDDEN, place]
        done = subprocess.run(command, env=alone(), capture_output=True, text=True, check=False)
        (folder / "closed").chmod(0o755)
    assert done.stdout.splitlines() == [
        "ImageError True True",
        "ImageError True True",
        "ImageError True True",
        "InputError True True",
        "ModelFileError True True",
        "InputError True True",
    ], done.stderr


def test_names_that_are_no_utf_8(model, tmp_path):
    """As they come from other systems: they work, and are told of without breaking the telling."""
    folder = os.fsencode(tmp_path)
    for label in (b"caf\xe9", b"th\xe9"):
        os.mkdir(folder + b"/" + label)
        for number in range(3):
            with open(folder + b"/" + label + b"/\xff%d.png" % number, "wb") as file:
                Image.fromarray(np.roll(GRADIENT, number, 0)).save(file, "PNG")
    with open(folder + b"/caf\xe9/bad\xe9.png", "wb") as file:
        file.write(b"no image")
    table = read_images(tmp_path)
    bad = next(path for path in table["image"] if "bad" in path)
    with pytest.raises(ImageError) as caught:
        model.predict(table["image"])
    assert bad in str(caught.value)
    table = table[table["image"] != bad].reset_index(drop=True)
    fit = ImageClassifier("mlp", size=8, epochs=1, seed=1, verbose=False)
    fit.fit(table["image"], table["label"])
    assert fit.classes_.tolist() == ["caf\udce9", "th\udce9"]
    path = fit.save(os.fsdecode(folder + b"/m\xe9.safetensors"))
    again = load(path)
    assert again.classes_.tolist() == fit.classes_.tolist()
    assert again.predict(table["image"]).tolist() == fit.predict(table["image"]).tolist()


def test_paths_with_a_nul_are_refused_by_class(model):
    """No file has such a name: everything that takes a path says so."""
    path = "a\0b"
    for use in (
        lambda: load(path),
        lambda: model.save(path),
        lambda: read_images(path),
        lambda: read_captions(path),
        lambda: read_idx(path),
        lambda: model.predict([path]),
        lambda: predict_files(model, path),
        lambda: predict_files(model, ["a.png"], output=f"{path}.csv"),
        lambda: pretrained("mlp", weights=f"{path}.params"),
        lambda: network(f"{path}.json", classes=2),
        lambda: ImageClassifier(f"{path}.json").fit(np.zeros((4, 8, 8)), [0, 1, 0, 1]),
    ):
        with pytest.raises(DiglotError):
            use()


def test_a_run_over_all_of_them_reports_the_bad_ones(model, tmp_path):
    odd, bad = write_odd(tmp_path), write_bad(tmp_path)
    paths = [str(tmp_path / name) for name in [*odd, *bad]]
    with pytest.warns(UserWarning):
        found = predict_files(model, paths, on_error="report", verbose=False)
    assert found.table["file"].tolist() == [str(tmp_path / name) for name in odd]
    assert sorted(found.failures["file"]) == sorted(str(tmp_path / name) for name in bad)
