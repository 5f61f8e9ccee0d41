"""Real images that come with scikit-learn and scikit-image, so that examples need no network."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from diglot.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_PATCH = 64


def example_images(name: str = "digits") -> pd.DataFrame:
    """Return a small set of real, labelled images.

    Parameters
    ----------
    name : {"digits", "faces", "textures"}
        - "digits": 1,797 handwritten digits, 8 x 8, values 0 to 16, ten classes (from
          scikit-learn; E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998).
        - "faces": 100 faces and 100 other patches of photographs, 25 x 25, values 0 to 1 (from
          scikit-image; Huang and others, "Learning to align from scratch", 2012).
        - "textures": 64 patches each of photographs of brick, grass and gravel, 64 x 64, 8-bit
          (from scikit-image; photographs in the public domain). Patches of one class are parts
          of one photograph: train on one ``half`` and test on the other, lest neighbours of
          training patches flatter the result.

    Returns
    -------
    pandas.DataFrame
        Column `image`, one array (height, width) in each row, and `label`, categorical. For
        "textures" also `half`, categorical: the side of the photograph, "left" or "right".

    Raises
    ------
    InputError
        If there is no such set.

    Examples
    --------
    >>> digits = example_images("digits")
    >>> len(digits), digits["image"][0].shape, digits["label"].cat.categories.size
    (1797, (8, 8), 10)
    """
    import pandas as pd

    sets = {"digits": _digits, "faces": _faces, "textures": _textures}
    if name not in sets:
        near = get_close_matches(str(name), sets, 1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InputError(
            f"There are no example images '{name}'; there are {', '.join(sets)}.{hint}"
        )
    images, labels, categories, *more = sets[name]()
    column = np.empty(len(images), object)
    for i, image in enumerate(images):
        column[i] = np.ascontiguousarray(image)
    return pd.DataFrame(
        {
            "image": pd.Series(column, dtype=object),
            "label": pd.Categorical(labels, categories=categories),
            **dict(more),
        }
    )


def _digits() -> tuple[np.ndarray, Any, Any]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images.astype(np.float32), data.target, np.arange(10)


def _faces() -> tuple[np.ndarray, Any, Any]:
    from skimage.data import lfw_subset

    images = lfw_subset()
    # Stored in this order, the faces first (see the documentation of lfw_subset).
    labels = np.array(["face"] * 100 + ["other"] * 100, dtype=object)
    return images.astype(np.float32), labels, _names("face", "other")


def _textures() -> tuple[np.ndarray, Any, Any, tuple[str, Any]]:
    import pandas as pd
    from skimage import data

    names = ("brick", "grass", "gravel")
    patches, sides = [], []
    for name in names:
        photograph = getattr(data, name)()
        rows, columns = (side // _PATCH for side in photograph.shape)
        cut = photograph[: rows * _PATCH, : columns * _PATCH]
        cut = cut.reshape(rows, _PATCH, columns, _PATCH).swapaxes(1, 2)
        patches.append(cut.reshape(-1, _PATCH, _PATCH))
        sides += [*(["left"] * (columns // 2)), *(["right"] * (columns - columns // 2))] * rows
    labels = np.repeat(np.array(names, dtype=object), [len(cut) for cut in patches])
    half = pd.Categorical(np.array(sides, dtype=object), categories=_names("left", "right"))
    return np.concatenate(patches), labels, _names(*names), ("half", half)


def _names(*names: str) -> Any:
    import pandas as pd

    # Object, not pandas' string type, so that classes are plain str whichever version runs.
    return pd.Index(names, dtype=object)
