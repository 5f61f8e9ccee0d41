"""What the catalogue knows of each network: one card, with what its published weights expect."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from diglot.graph import Graph, InputSpec
from diglot.networks.lenet import lenet
from diglot.networks.mlp import mlp
from diglot.networks.mobilenet_v2 import mobilenet_v2
from diglot.networks.resnet import resnet
from diglot.networks.resnet_small import resnet_small
from diglot.networks.vgg import vgg

_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@dataclass(frozen=True)
class Card:
    """What the catalogue knows of one network.

    Attributes
    ----------
    name, family : str
        What it is called, and the family that it belongs to.
    build : callable
        ``(spec, classes, **settings) -> Graph``, the family's function.
    size : tuple of int
        Height and width of the images in the paper.
    channels, classes : int
        Of the paper's images.
    source : str
        The paper.
    settings : mapping
        What makes it this member of the family; the caller may override each.
    mean, std : tuple of float
        Per channel, on the scale [0, 1]: what the published weights expect.
    interpolation : str
        How their images were resized: see :class:`diglot.graph.InputSpec`.
    crop_fraction : float
        The part of the resized image that they were tested on.

    Examples
    --------
    >>> CARDS["lenet"].size
    (28, 28)
    """

    name: str
    family: str
    build: Callable[..., Graph]
    size: tuple[int, int]
    channels: int
    classes: int
    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    interpolation: str = "bilinear"
    crop_fraction: float = 0.875

    @property
    def allowed(self) -> dict[str, Any]:
        """The settings that the network takes, with their defaults."""
        signature = inspect.signature(self.build).parameters.values()
        own = {p.name: p.default for p in signature if p.kind is p.KEYWORD_ONLY}
        return {**own, **self.settings}

    @property
    def spec(self) -> InputSpec:
        """The paper's input."""
        return InputSpec(*self.size, self.channels)


_LENET = "LeCun, Bottou, Bengio and Haffner (1998), doi:10.1109/5.726791"
_MLP = "Rumelhart, Hinton and Williams (1986), doi:10.1038/323533a0"
_VGG = "Simonyan and Zisserman (2015), arXiv:1409.1556"
_RESNET = "He, Zhang, Ren and Sun (2016), doi:10.1109/CVPR.2016.90"
_MOBILENET = "Sandler, Howard, Zhu, Zhmoginov and Chen (2018), doi:10.1109/CVPR.2018.00474"


def _photographs(name: str, build: Callable[..., Graph], source: str, **settings: Any) -> Card:
    """Describe a network for ImageNet's photographs."""
    family = build.__name__
    return Card(name, family, build, (224, 224), 3, 1000, source, settings, **_IMAGENET)


def _small(depth: int) -> Card:
    """Describe a network for CIFAR-10's small pictures."""
    name, settings = f"resnet{6 * depth + 2}", {"depth": depth}
    return Card(name, "resnet_small", resnet_small, (32, 32), 3, 10, _RESNET, settings)


_VGG_DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_RESNET_FORMS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}

CARDS: dict[str, Card] = {
    entry.name: entry
    for entry in [
        Card("mlp", "mlp", mlp, (28, 28), 1, 10, _MLP),
        Card("lenet", "lenet", lenet, (28, 28), 1, 10, _LENET),
        *(_small(depth) for depth in (3, 5, 7, 9, 18)),
        *(
            _photographs(f"resnet{n}", resnet, _RESNET, depths=depths, bottleneck=bottleneck)
            for n, (depths, bottleneck) in _RESNET_FORMS.items()
        ),
        *(
            _photographs(f"vgg{n}{ending}", vgg, _VGG, depths=depths, batch_norm=bool(ending))
            for ending in ("", "_bn")
            for n, depths in _VGG_DEPTHS.items()
        ),
        _photographs("mobilenet_v2", mobilenet_v2, _MOBILENET),
    ]
}
