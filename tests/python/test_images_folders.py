"""Folders of images."""

from __future__ import annotations

import pandas as pd
import pytest

from diglot.errors import InputError
from diglot.images import as_images, find_images, read_images


@pytest.fixture
def make(tmp_path):
    def build(*names):
        for name in names:
            path = tmp_path / name
            if name.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"")
        return tmp_path

    return build


def test_labels_are_the_folders_right_below(make):
    root = make(
        "zebra/b.png", "zebra/A.JPG", "Äffchen/x.tiff", "cat/deep/er/1.jpeg", "cat/2.webp",
        "cat/notes.txt", "cat/.hidden.png", ".git/x.png", "__MACOSX/cat/2.png", "cat/Thumbs.db",
    )  # fmt: skip
    table = read_images(root)
    assert [path[len(str(root)) + 1 :] for path in table["image"]] == [
        "cat/2.webp", "cat/deep/er/1.jpeg", "zebra/A.JPG", "zebra/b.png", "Äffchen/x.tiff",
    ]  # fmt: skip
    assert table["label"].tolist() == ["cat", "cat", "zebra", "zebra", "Äffchen"]
    assert table["label"].cat.categories.tolist() == ["cat", "zebra", "Äffchen"]
    assert isinstance(table["label"].dtype, pd.CategoricalDtype)
    assert not table["label"].cat.ordered
    assert len(as_images(table)) == 5
    assert len(read_images(str(root), recursive=False)) == 4
    only = read_images(root / "cat", extensions=["webp"])
    assert list(only.columns) == ["image"] and len(only) == 1
    assert read_images(root / "zebra", extensions=".JPG")["image"].tolist() == [
        str(root / "zebra" / "A.JPG")
    ]


def test_images_without_class_folders_have_no_label(make):
    root = make("b.png", "a.png", "results/")
    assert find_images(root) == [(str(root / "a.png"), None), (str(root / "b.png"), None)]
    assert list(read_images(root).columns) == ["image"]


def test_links_into_circles_end(make):
    root = make("cat/1.png")
    (root / "cat" / "again").symlink_to(root / "cat", target_is_directory=True)
    (root / "dog").symlink_to(root / "cat", target_is_directory=True)
    assert read_images(root)["label"].tolist() == ["cat", "dog"]


def test_folders_that_cannot_be_used(make, tmp_path):
    with pytest.raises(InputError, match="no folder '.*nowhere'"):
        read_images(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no images"):
        read_images(tmp_path)
    make("a/1.png")
    with pytest.raises(InputError, match="is a file"):
        read_images(tmp_path / "a" / "1.png")
    make("b/notes.txt", "c/")
    with pytest.raises(InputError, match="'b', 'c' in .* hold no images"):
        read_images(tmp_path)
    make("b/1.png", "c/1.png", "stray.png")
    with pytest.raises(InputError, match=r"stray\.png' lies beside the class folders"):
        read_images(tmp_path)
    for wrong in ([], [3], ["."]):
        with pytest.raises(InputError, match="extensions"):
            read_images(tmp_path, extensions=wrong)
