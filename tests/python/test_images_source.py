"""as_images: every form that users give, and every way it can be wrong."""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import sparse

from diglot.errors import ImageError, InputError
from diglot.images import as_images

RANDOM = np.random.default_rng(0)
CUBE = RANDOM.integers(0, 255, (4, 5, 7), dtype=np.uint8)


@pytest.fixture
def paths(tmp_path):
    found = []
    for i, image in enumerate(CUBE):
        path = tmp_path / f"{i}.png"
        Image.fromarray(image).save(path)
        found.append(str(path))
    return found


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_arrays_are_used_as_they_are(dtype):
    x = CUBE.astype(dtype)
    images = as_images(x)
    assert len(images) == 4 and not images.is_files
    assert images[2].shape == (5, 7, 1) and images[2].dtype == dtype
    assert np.shares_memory(images[2], x)
    np.testing.assert_array_equal(images[2][:, :, 0], x[2])
    assert images.sizes().tolist() == [[5, 7]] * 4
    assert images.channels().tolist() == [1] * 4
    four = as_images(x.reshape(2, 2, 5, 7).transpose(0, 2, 3, 1))
    assert four.channels().tolist() == [2, 2]
    np.testing.assert_array_equal(four[1][:, :, 0], x[2])


@pytest.mark.parametrize(
    "dtype", ["float64", "int64", "int32", "uint32", "float16", "bool", object]
)
def test_other_numbers_become_float32_unscaled(dtype):
    x = CUBE.astype(dtype)
    images = as_images(x)
    assert images[1].dtype == np.float32
    np.testing.assert_array_equal(images[1][:, :, 0], x[1].astype(np.float32))


def test_r_arrays_are_fortran_ordered_and_read_only():
    x = np.asfortranarray(CUBE.astype(np.float64))
    x.flags.writeable = False
    images = as_images(x)
    assert images[3].flags.c_contiguous
    np.testing.assert_array_equal(images[3][:, :, 0], CUBE[3])
    swapped = CUBE.astype(">u2")
    np.testing.assert_array_equal(as_images(swapped)[0][:, :, 0], CUBE[0])


def test_rows_of_numbers():
    x = np.arange(32.0).reshape(2, 16)
    images = as_images(x)
    assert images.sizes().tolist() == [[4, 4]] * 2
    np.testing.assert_array_equal(images[1][:, :, 0], np.arange(16, 32).reshape(4, 4))
    assert as_images(np.zeros((3, 10))).sizes().tolist() == [[1, 10]] * 3
    assert as_images(x.tolist()).sizes().tolist() == [[4, 4]] * 2
    assert as_images(list(x)).sizes().tolist() == [[4, 4]] * 2
    table = pd.DataFrame(x, columns=[f"pixel{i}" for i in range(16)])
    np.testing.assert_array_equal(as_images(table)[1], images[1])
    table["pixel3"] = table["pixel3"].astype("Int64")
    np.testing.assert_array_equal(as_images(table)[1], images[1])


def test_lists_of_arrays():
    same = as_images(list(CUBE))
    np.testing.assert_array_equal(same[2][:, :, 0], CUBE[2])
    mixed = as_images([CUBE[0], CUBE[1][:3].astype(float), np.dstack([CUBE[2]] * 3)])
    assert mixed.sizes().tolist() == [[5, 7], [3, 7], [5, 7]]
    assert mixed.channels().tolist() == [1, 1, 3]
    assert [str(mixed[i].dtype) for i in range(3)] == ["uint8", "float32", "uint8"]
    assert as_images(CUBE.tolist()).sizes().tolist() == [[5, 7]] * 4
    column = np.empty(4, object)
    column[:] = list(CUBE)
    np.testing.assert_array_equal(as_images(column)[3][:, :, 0], CUBE[3])
    pillow = as_images([Image.fromarray(CUBE[0]), Image.fromarray(CUBE[1][:2])])
    np.testing.assert_array_equal(pillow[1][:, :, 0], CUBE[1][:2])


def test_paths_in_every_container(paths):
    forms = [
        paths,
        tuple(paths),
        [pathlib.Path(path) for path in paths],
        pd.Series(paths),
        pd.Series(paths, dtype="category"),
        pd.Index(paths),
        np.array(paths),
        np.array(paths, dtype=object)[:, None],
        pd.DataFrame({"image": paths, "label": [1, 2, 3, 4]}),
        pd.DataFrame({"path": paths}),
    ]
    for form in forms:
        images = as_images(form)
        assert images.is_files and len(images) == 4
        assert images.name(1) == paths[1]
        np.testing.assert_array_equal(images[1][:, :, 0], CUBE[1])
        assert images.sizes().tolist() == [[5, 7]] * 4
        assert images.channels().tolist() == [1] * 4
    assert len(as_images(paths[0])) == 1
    assert len(as_images(pathlib.Path(paths[0]))) == 1
    table = pd.DataFrame({"photo": paths, "label": [1, 2, 3, 4]})
    assert as_images(table, column="photo").name(0) == paths[0]
    many = as_images(paths * 40)
    assert many.sizes().tolist() == [[5, 7]] * 160


def test_data_frame_of_arrays_keeps_its_row_names_out():
    table = pd.DataFrame({"image": list(CUBE)}, index=[9, 8, 7, 6])
    images = as_images(table)
    np.testing.assert_array_equal(images[0][:, :, 0], CUBE[0])
    assert images.name(0) == "row 1 of column 'image'"


def test_take_keeps_names_and_images(paths):
    for x in (CUBE, list(CUBE[:3]) + [CUBE[3][:2]], paths):
        images = as_images(x)
        part = images.take([3, 1]).take([1])
        assert len(part) == 1
        np.testing.assert_array_equal(part[0], images[1])
        assert part.name(0) == images.name(1)
        assert part.sizes().tolist() == images.sizes()[[1]].tolist()
    assert as_images(part) is part


def test_missing_files(paths):
    images = as_images([*paths, "nowhere.png"])
    assert images.missing.tolist() == [False] * 4 + [True]
    with pytest.raises(ImageError, match=r"nowhere\.png"):
        images.sizes()
    with pytest.raises(ImageError, match=r"nowhere\.png"):
        as_images([*(paths * 40), "nowhere.png"]).channels()


@pytest.mark.parametrize("gap", [None, np.nan, "", "  ", pd.NA, pd.NaT])
def test_a_missing_path_is_named_by_its_row(gap):
    for form in (["a.png", gap], pd.DataFrame({"image": pd.Series(["a.png", gap], dtype=object)})):
        with pytest.raises(InputError, match=r"missing.*row 2 of"):
            as_images(form)
    with pytest.raises(InputError, match=r"rows 1, 3 of"):
        as_images([gap, "a.png", gap])
    if not isinstance(gap, str):
        with pytest.raises(InputError, match="row 2"):
            as_images([CUBE[0], gap])


@pytest.mark.parametrize(
    ("value", "word"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "inf"), (1e39, "float32")]
)
def test_values_that_are_not_finite(value, word):
    x = CUBE.astype(float)
    x[2, 1, 3] = value
    for form in (x, list(x), x.reshape(4, 35), [*x, CUBE[0][:2]]):
        with pytest.raises(InputError, match=rf"Row 3 of .*{word}"):
            as_images(form)


def test_the_row_is_right_also_in_a_later_block(monkeypatch):
    # Large arrays are looked through in blocks; here a block is one row.
    monkeypatch.setattr(sys.modules["diglot.images.source"], "_BLOCK_BYTES", 1)
    x = CUBE.astype(float)
    x[2, 0, 0] = np.nan
    with pytest.raises(InputError, match="Row 3 of the array"):
        as_images(x)


@pytest.mark.parametrize(
    ("x", "kind", "message"),
    [
        (None, InputError, "None"),
        (5, InputError, "cannot be a int"),
        (np.float64(5), InputError, "single number"),
        (np.zeros(5), ValueError, "Reshape your data"),
        ([1.0, 2.0], ValueError, "Reshape your data"),
        (np.zeros((1, 1, 1, 1, 1)), InputError, "5 dimensions"),
        (np.zeros((0, 3)), ValueError, r"0 sample\(s\)"),
        (np.zeros((12, 0)), ValueError, r"0 feature\(s\) \(shape=\(12, 0\)\) while a minimum of 1"),
        (np.zeros((2, 0, 3)), InputError, r"0 feature\(s\)"),
        ([], InputError, r"0 sample\(s\)"),
        (pd.DataFrame({"image": []}), InputError, r"0 sample\(s\)"),
        (np.zeros((2, 4), complex), ValueError, "Complex data not supported"),
        ([CUBE[0] * 1j], ValueError, "Complex data not supported"),
        (sparse.csr_matrix(np.eye(3)), TypeError, "[Ss]parse"),
        (sparse.csr_array(np.eye(3)), TypeError, "[Ss]parse"),
        (np.array([["a", "b"], ["c", "d"]]), InputError, "no numbers"),
        (
            np.array([[{"foo": "bar"}, 1.0]], object),
            TypeError,
            "argument must be .* string.* number",
        ),
        (np.array([["x", 1.0]], object)[:, ::-1], InputError, "no number"),
        (np.zeros((2, 4), "datetime64[s]"), InputError, "no numbers"),
        (["a.png", CUBE[0]], InputError, "Row 2 .* no path"),
        ([CUBE[0], "a.png"], InputError, "Row 2 .* is a path"),
        ([CUBE[0], CUBE[None]], InputError, r"Row 2 .*shape \(1, 4, 5, 7\)"),
        ([CUBE[0], CUBE[0, 0]], InputError, r"Row 2 .*shape \(7,\)"),
        ([CUBE[0], np.zeros((0, 3))], InputError, "Row 2"),
        ([[1, 2], [3]], InputError, "different lengths"),
        (pd.DataFrame({"a": ["x"], "b": [1]}), InputError, "no column 'image'.*'a', 'b'"),
        (pd.DataFrame([["x", "y"]], columns=["image", "image"]), InputError, "several columns"),
        (b"raw", InputError, "cannot be a bytes"),
        (["a\0.png"], InputError, "row 1 .*NUL"),
    ],
)
def test_what_cannot_be_images(x, kind, message):
    with pytest.raises(kind, match=message) as caught:
        as_images(x)
    assert isinstance(caught.value, InputError)


def test_a_named_column_must_be_there():
    with pytest.raises(InputError, match="no column 'photo'.*'image'"):
        as_images(pd.DataFrame({"image": ["a.png"]}), column="photo")


def test_no_images_where_that_is_fine():
    for x in (np.zeros((0, 5, 7)), np.zeros((0, 5, 7, 3)), np.zeros((0, 64)), [], pd.Series([])):
        images = as_images(x, allow_empty=True)
        assert len(images) == 0 and images.sizes().shape == (0, 2)
        assert images.channels().shape == (0,)
    some = as_images(CUBE)
    assert len(as_images(some.take([]), allow_empty=True)) == 0
    with pytest.raises(InputError, match="0 sample"):
        as_images(some.take([]))
