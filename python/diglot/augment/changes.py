"""What may happen to a training image: settings, or a function of the user's."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from diglot.augment.checks import is_number
from diglot.augment.draws import uniforms
from diglot.augment.geometry import matrix_of, shifted, warp
from diglot.errors import InputError
from diglot.seeds import stream

# Each random choice has its own fixed place, so that switching one on leaves the others as they
# were.
_FLIP_X, _FLIP_Y, _CROP_Y, _CROP_X, _ROTATE, _SCALE, _SHIFT_Y, _SHIFT_X = range(8)
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(8, 12)
_ERASE, _ERASE_AREA, _ERASE_SHAPE, _ERASE_Y, _ERASE_X = range(12, 17)
_CHOICES = 17

_FLIPS = ("none", "horizontal", "vertical", "both")
_LUMA = np.array([0.299, 0.587, 0.114])
# From RGB to luminance and the two colour axes of NTSC television; grays lie at colour (0, 0).
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_FROM_YIQ = np.linalg.inv(_YIQ)


@dataclass(frozen=True)
class Augment:
    """Random changes for training images; nothing changes by default.

    Moves (flip, crop, rotate, scale, shift) are made in one resampling, bilinear and about the
    image's centre, so that nothing blurs twice; flips and crops alone move whole pixels and do
    not resample. Colours come after, erasing last.

    Parameters
    ----------
    flip : {False, "horizontal", "vertical", "both"}
        Mirror every second image, on average; "both" decides on each direction by itself.
    crop : float
        Pad each side by this part of the size, then cut the size out at a random place.
    rotate : float
        Turn by up to so many degrees, either way.
    scale : (float, float)
        Enlarge by a factor from this range; below 1 makes smaller. Equal on a logarithmic scale.
    shift : float
        Move by up to this part of the size in each direction, also by parts of a pixel.
    brightness, contrast, saturation : float
        Multiply by a factor from 1 - x to 1 + x; contrast about the mean luminance, saturation
        about each pixel's. Saturation and hue leave images alone that have not three channels.
    hue : float
        Turn colours by up to this part of the colour circle, at most 0.5. The circle is that of
        YIQ, which keeps luminance and grays (P. Haeberli, "Matrix operations for image
        processing", 1993).
    erase : float
        The probability of covering a random rectangle, 2 % to 33 % of the area, sides up to 10:3,
        with the image's mean colour (Zhong and others, "Random erasing data augmentation", AAAI
        2020).
    fill : {"edge", "reflect"} or float
        What lies outside an image: its border repeated, the image mirrored, or a value.

    Raises
    ------
    InputError
        If a setting is out of range.

    Notes
    -----
    Colour changes keep values within 0 to 1, or within the image's own range where that is
    wider.

    Examples
    --------
    >>> from diglot.augment import row_keys
    >>> batch = np.arange(12, dtype="float32").reshape(1, 3, 4, 1)
    >>> changed = Augment(flip="horizontal", rotate=10).apply(batch, row_keys(1, 0, [0]))
    >>> changed.shape
    (1, 3, 4, 1)
    """

    flip: str | bool = False
    crop: float = 0.0
    rotate: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    erase: float = 0.0
    fill: str | float = "edge"

    def __post_init__(self) -> None:
        if self.flip in (None, "none"):
            object.__setattr__(self, "flip", False)
        if self.flip is not False and self.flip not in _FLIPS:
            raise InputError(
                f"augment: flip must be False, 'horizontal', 'vertical' or 'both', not "
                f"{self.flip!r}."
            )
        limits = {
            "crop": 0.5,
            "rotate": 180,
            "shift": 1,
            "brightness": 1,
            "contrast": 1,
            "saturation": 1,
            "hue": 0.5,
            "erase": 1,
        }
        for name, largest in limits.items():
            value = getattr(self, name)
            if not is_number(value) or not 0 <= value <= largest:
                raise InputError(
                    f"augment: {name} must be a number from 0 to {largest}, not {value!r}."
                )
            object.__setattr__(self, name, float(value))
        object.__setattr__(self, "scale", _range(self.scale))
        if isinstance(self.fill, str):
            if self.fill not in ("edge", "reflect"):
                raise InputError(
                    f"augment: fill must be 'edge', 'reflect' or a number, not {self.fill!r}."
                )
        elif not is_number(self.fill):
            raise InputError(f"augment: fill must be 'edge', 'reflect' or a number: {self.fill!r}.")
        else:
            object.__setattr__(self, "fill", float(self.fill))

    @property
    def changes_nothing(self) -> bool:
        """Whether every image stays as it is."""
        return dataclasses.replace(self, fill="edge") == Augment()

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values for JSON; `augment` reads them back."""
        return {**dataclasses.asdict(self), "scale": list(self.scale)}

    def apply(self, batch: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Return the batch changed at random.

        Parameters
        ----------
        batch : ndarray of shape (b, height, width, channels), float32
            Values before normalisation, usually 0 to 1.
        keys : ndarray of uint64, shape (b,)
            Decides what happens to each image; see `row_keys`.

        Returns
        -------
        ndarray of the same shape, float32
            A new array.
        """
        batch = np.asarray(batch, np.float32)
        if len(keys) != len(batch):
            raise InputError(f"augment: {len(batch)} images but {len(keys)} keys.")
        draws = uniforms(keys, _CHOICES)
        out = np.empty(batch.shape, np.float32)
        # One image at a time stays in the processor's cache, and cannot depend on its neighbours.
        for image, target, draw in zip(batch, out, draws, strict=True):
            self._move(image, target, draw)
            self._colour(target, draw)
            self._cover(target, draw)
        return out

    # ------------------------------------------------------------------ moves

    def _move(self, image: np.ndarray, target: np.ndarray, draw: np.ndarray) -> None:
        height, width = image.shape[:2]
        flip_x = self.flip in ("horizontal", "both") and draw[_FLIP_X] < 0.5
        flip_y = self.flip in ("vertical", "both") and draw[_FLIP_Y] < 0.5
        move_y = _offset(self.crop, height, draw[_CROP_Y])
        move_x = _offset(self.crop, width, draw[_CROP_X])
        if not self.rotate and self.scale == (1.0, 1.0) and not self.shift:
            shifted(image, target, move_y, move_x, flip_y, flip_x, self.fill)
            return
        angle = math.radians(self.rotate * (2 * draw[_ROTATE] - 1))
        low, high = math.log(self.scale[0]), math.log(self.scale[1])
        zoom = math.exp(low + (high - low) * draw[_SCALE])
        move_y += self.shift * height * (2 * draw[_SHIFT_Y] - 1)
        move_x += self.shift * width * (2 * draw[_SHIFT_X] - 1)
        matrix = matrix_of(height, width, angle, zoom, move_y, move_x, flip_y, flip_x)
        warp(image, matrix, self.fill, target)

    # ------------------------------------------------------------------ colours

    def _colour(self, image: np.ndarray, draw: np.ndarray) -> None:
        bright = 1 + self.brightness * (2 * draw[_BRIGHTNESS] - 1)
        contrast = 1 + self.contrast * (2 * draw[_CONTRAST] - 1)
        rgb = image.shape[2] == 3
        saturation = 1 + self.saturation * (2 * draw[_SATURATION] - 1) if rgb else 1.0
        turn = 2 * math.pi * self.hue * (2 * draw[_HUE] - 1) if rgb else 0.0
        if bright == contrast == saturation == 1 and not turn:
            return
        low, high = min(0.0, float(image.min())), max(1.0, float(image.max()))
        means = image.mean(axis=(0, 1), dtype=np.float64)
        pivot = float(means @ _LUMA) if rgb else float(means.mean())
        gain, offset = bright * contrast, (1 - contrast) * bright * pivot
        if saturation == 1 and not turn:
            image *= np.float32(gain)
            image += np.float32(offset)
        else:
            # Everything is linear, so that one matrix and one offset do it all. Neither
            # saturation nor hue changes grays, so the offset, which is gray, can come last.
            matrix = saturation * np.eye(3) + (1 - saturation) * np.tile(_LUMA, (3, 1))
            cos, sin = math.cos(turn), math.sin(turn)
            matrix = (
                _FROM_YIQ @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ _YIQ @ matrix
            )
            matrix = (gain * matrix).astype(np.float32)
            red, green, blue = (np.ascontiguousarray(image[:, :, k]) for k in range(3))
            for k in range(3):
                # Not by a matrix product, whose rounding may depend on the number of threads.
                mixed = matrix[k, 0] * red
                mixed += matrix[k, 1] * green
                mixed += matrix[k, 2] * blue
                mixed += np.float32(offset)
                image[:, :, k] = mixed
        np.clip(image, np.float32(low), np.float32(high), out=image)

    # ------------------------------------------------------------------ erasing

    def _cover(self, image: np.ndarray, draw: np.ndarray) -> None:
        if not draw[_ERASE] < self.erase:
            return
        height, width = image.shape[:2]
        area = (0.02 + (1 / 3 - 0.02) * draw[_ERASE_AREA]) * height * width
        shape = math.exp(math.log(10 / 3) * (2 * draw[_ERASE_SHAPE] - 1))
        down = min(height, max(1, round(math.sqrt(area * shape))))
        across = min(width, max(1, round(math.sqrt(area / shape))))
        top = int(draw[_ERASE_Y] * (height - down + 1))
        left = int(draw[_ERASE_X] * (width - across + 1))
        mean = image.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
        image[top : top + down, left : left + across] = mean


@dataclass(frozen=True)
class FunctionAugment:
    """Random changes that a function of the user's makes.

    Parameters
    ----------
    function : callable, optional
        ``function(image, random)``: of an image (height, width, channels), float32, before
        normalisation, and a `numpy.random.Generator` that depends on the run's seed, the image's
        row and the epoch alone. It returns an image of the same shape. Without a function, as in a
        model that was loaded, nothing can be changed.
    name : str, optional
        What a model file calls it, for it cannot hold the function itself; by default the
        function's own name.

    Notes
    -----
    It is called in one thread, image by image.

    Examples
    --------
    >>> from diglot.augment import row_keys
    >>> dark = FunctionAugment(lambda image, random: image * random.uniform(0.5, 1), "dark")
    >>> dark.apply(np.ones((2, 3, 4, 1)), row_keys(1, 0, [0, 1])).shape
    (2, 3, 4, 1)
    """

    function: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", getattr(self.function, "__name__", "function"))

    @property
    def changes_nothing(self) -> bool:
        """Whether every image stays as it is: nobody knows."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """Return the name for JSON; `augment` makes of it changes that cannot be made any more."""
        return {"function": self.name}

    def apply(self, batch: np.ndarray, keys: np.ndarray) -> np.ndarray:
        """Return the batch changed, as `Augment.apply` does.

        Raises
        ------
        InputError
            If the function is lost, or gives back another shape or numbers that are not finite.
        """
        if self.function is None:
            raise InputError(
                f"augment: the model was trained with the function {self.name!r}, which its file "
                "cannot hold: give augment again, to set_params() in Python or update() in R, or "
                "None (NULL in R) to train on without"
            )
        batch = np.asarray(batch, np.float32)
        out = np.empty(batch.shape, np.float32)
        for image, target, key in zip(batch, out, keys, strict=True):
            changed = np.asarray(self.function(image, stream(int(key), "augment")))
            if changed.shape != image.shape or changed.dtype.kind not in "biuf":
                raise InputError(
                    f"augment: {self.name} must return an image of the shape {image.shape}, not "
                    f"{changed.shape} of {changed.dtype}"
                )
            if not np.isfinite(changed).all():
                raise InputError(f"augment: {self.name} returned pixels that are not finite")
            target[...] = changed
        return out


def _range(value: Any) -> tuple[float, float]:
    pair = (value, value) if is_number(value) else value
    try:
        low, high = pair
        good = is_number(low) and is_number(high) and 0 < low <= high
    except (TypeError, ValueError):
        good = False
    if not good:
        raise InputError(
            f"augment: scale must be two numbers such as (0.9, 1.1), the smaller first, both above "
            f"0, not {value!r}."
        )
    return float(low), float(high)


def _offset(part: float, size: int, draw: float) -> float:
    most = round(part * size)
    return math.floor(draw * (2 * most + 1)) - most


_PRESETS = {
    "none": Augment(),
    "light": Augment(rotate=10, scale=(0.9, 1.1), shift=0.05),
    "standard": Augment(
        flip="horizontal", crop=0.125, brightness=0.2, contrast=0.2, saturation=0.2, fill="reflect"
    ),
    "strong": Augment(
        flip="horizontal",
        crop=0.125,
        rotate=15,
        scale=(0.8, 1.25),
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.05,
        erase=0.25,
        fill="reflect",
    ),
}


def augment(value: Any) -> Augment | FunctionAugment | None:
    """Return the random changes that `value` asks for.

    Parameters
    ----------
    value : Augment, dict, str, bool, callable or None
        Settings, or the name of a set of them: "light" (small turns, shifts and changes of size:
        for digits, letters and whatever must not be mirrored), "standard" (mirrored, cropped,
        colours changed a little: for photographs), "strong" (more of all, and erasing), "none".
        True is "standard". A function is what `FunctionAugment` takes.

    Returns
    -------
    Augment, FunctionAugment or None
        None where nothing is to change.

    Raises
    ------
    InputError
        If the name or a setting is unknown, or out of range.

    Examples
    --------
    >>> augment("light").rotate
    10.0
    >>> augment({"flip": "horizontal"}).flip
    'horizontal'
    >>> augment("none") is None
    True
    """
    if value is None or value is False:
        return None
    if value is True:
        value = "standard"
    if isinstance(value, str):
        if value not in _PRESETS:
            raise InputError(
                f"augment: there is no '{value}'; there are {', '.join(_PRESETS)}."
                + _hint(value, _PRESETS)
            )
        value = _PRESETS[value]
    elif isinstance(value, Mapping) and set(value) == {"function"}:  # of a model file
        value = FunctionAugment(None, str(value["function"]))
    elif isinstance(value, Mapping):
        known = [field.name for field in dataclasses.fields(Augment)]
        for name in value:
            if name not in known:
                raise InputError(
                    f"augment: there is no setting '{name}'; there are {', '.join(known)}."
                    + _hint(str(name), known)
                )
        value = Augment(**value)
    elif callable(value):
        value = FunctionAugment(value)
    elif not isinstance(value, (Augment, FunctionAugment)):
        raise InputError(
            f"augment must be a name ({', '.join(_PRESETS)}), a dict of settings, an Augment or a "
            f"function, not {value!r}."
        )
    return None if value.changes_nothing else value


def _hint(name: str, known: Any) -> str:
    near = get_close_matches(name, list(known), 1)
    return f" Did you mean '{near[0]}'?" if near else ""
