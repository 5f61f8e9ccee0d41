"""What a network's input must look like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from diglot.errors import InputError, ModelFileError
from diglot.operators import Shape


@dataclass(frozen=True)
class InputSpec:
    """What a network's input must look like, and how an image is brought there.

    Attributes
    ----------
    height, width, channels : int
        The size in pixels.
    mean, std : tuple of float
        Per channel, in units after integers were scaled to [0, 1]; pixels become
        ``(pixel - mean) / std``.
    resize : {"squash", "crop"}
        Whether an image of another size is resized as a whole, or its shorter side is resized
        and the centre cropped.
    crop_fraction : float
        With ``resize="crop"``: the part of the resized shorter side that is kept.
    interpolation : {"bilinear", "bicubic", "nearest"}
        Antialiased as Pillow does it.
    convert_colour : bool
        Whether colour images may be turned grey for a network with one channel.

    Examples
    --------
    >>> InputSpec(28, 28, 1).shape
    (1, 28, 28)
    """

    height: int
    width: int
    channels: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    resize: str = "squash"
    crop_fraction: float = 0.875
    interpolation: str = "bilinear"
    convert_colour: bool = False

    def __post_init__(self) -> None:
        for side in ("height", "width", "channels"):
            value = getattr(self, side)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= 65536:
                raise InputError(f"an input's {side} must be a whole number from 1, not {value!r}")
        if self.resize not in ("squash", "crop"):
            raise InputError(f'resize must be "squash" or "crop", not {self.resize!r}')
        if self.interpolation not in ("bilinear", "bicubic", "nearest"):
            raise InputError(
                'interpolation must be "bilinear", "bicubic" or "nearest", '
                f"not {self.interpolation!r}"
            )
        for name, default in (("mean", 0.0), ("std", 1.0)):
            values = tuple(float(v) for v in getattr(self, name)) or (default,) * self.channels
            if len(values) != self.channels or not all(math.isfinite(v) for v in values):
                raise InputError(f"{name} must be {self.channels} finite numbers, not {values}")
            object.__setattr__(self, name, values)
        if not all(v > 0 for v in self.std):
            raise InputError(f"std must be positive, not {self.std}")

    @property
    def shape(self) -> Shape:
        """Channels, height and width, as the engine sees an image."""
        return (self.channels, self.height, self.width)

    def with_channels(self, channels: int) -> InputSpec:
        """Return the specification for another number of channels.

        One channel has the average of the means and spreads, more repeat them in turn.
        """
        if channels == self.channels:
            return self
        if channels == 1:
            mean, std = (np.mean(self.mean).item(),), (np.mean(self.std).item(),)
        else:
            turn = [i % self.channels for i in range(channels)]
            mean = tuple(self.mean[i] for i in turn)
            std = tuple(self.std[i] for i in turn)
        return replace(self, channels=channels, mean=mean, std=std)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> InputSpec:
        """Read what ``dataclasses.asdict`` wrote, from a file that may be damaged."""
        try:
            known = {**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])}
            return cls(**known)
        except (TypeError, LookupError, ValueError, ArithmeticError, AttributeError) as error:
            raise ModelFileError(f"the input's description is damaged: {error}") from error
