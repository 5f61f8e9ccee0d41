"""A folder of images as nobody would wish for: each is read as it is, or reported by its name."""

from __future__ import annotations

import os
import resource
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from diglot import ImageClassifier, predict_files
from diglot.errors import ImageError
from diglot.images.decode import decode

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
    if os.geteuid():
        (folder / "forbidden.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        (folder / "forbidden.png").chmod(0)
        names.append("forbidden.png")
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


def test_a_run_over_all_of_them_reports_the_bad_ones(model, tmp_path):
    odd, bad = write_odd(tmp_path), write_bad(tmp_path)
    paths = [str(tmp_path / name) for name in [*odd, *bad]]
    with pytest.warns(UserWarning):
        found = predict_files(model, paths, on_error="report", verbose=False)
    assert found.table["file"].tolist() == [str(tmp_path / name) for name in odd]
    assert sorted(found.failures["file"]) == sorted(str(tmp_path / name) for name in bad)
