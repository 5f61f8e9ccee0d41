"""What the catalogue knows of each network: one card, with what its published weights expect."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from diglot.graph import Graph, InputSpec
from diglot.networks.alexnet import alexnet
from diglot.networks.convnet import convnet
from diglot.networks.convnext import convnext
from diglot.networks.densenet import densenet
from diglot.networks.efficientnet import efficientnet
from diglot.networks.googlenet import googlenet
from diglot.networks.inception_v3 import inception_v3
from diglot.networks.lenet import lenet
from diglot.networks.mlp import mlp
from diglot.networks.mobilenet_v2 import mobilenet_v2
from diglot.networks.mobilenet_v3 import mobilenet_v3
from diglot.networks.resnet import resnet
from diglot.networks.resnet_small import resnet_small
from diglot.networks.squeezenet import squeezenet
from diglot.networks.vgg import vgg
from diglot.networks.vit import vit

_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
# The Inception networks were trained on pixels from -1 to 1. Torchvision's weights of these two
# are no exception: torchvision takes ImageNet's mean and std, and undoes them inside the network.
_CENTRED = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
# Caffe's: pixels from 0 to 255, less a mean, blue first (here red, as everywhere in diglot).
_BVLC = {"mean": (123 / 255, 117 / 255, 104 / 255), "std": (1 / 255, 1 / 255, 1 / 255)}


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

_ALEXNET = "Krizhevsky (2014), arXiv:1404.5997"
_GOOGLENET = "Szegedy et al. (2015), doi:10.1109/CVPR.2015.7298594"
_INCEPTION = "Szegedy, Vanhoucke, Ioffe, Shlens and Wojna (2016), doi:10.1109/CVPR.2016.308"
_SQUEEZENET = "Iandola et al. (2016), arXiv:1602.07360"
_DENSENET = "Huang, Liu, van der Maaten and Weinberger (2017), doi:10.1109/CVPR.2017.243"
_RESNEXT = "Xie, Girshick, Dollar, Tu and He (2017), doi:10.1109/CVPR.2017.634"
_WIDE_RESNET = "Zagoruyko and Komodakis (2016), arXiv:1605.07146"
_MOBILENET_V3 = "Howard et al. (2019), doi:10.1109/ICCV.2019.00140"
_EFFICIENTNET = "Tan and Le (2019), arXiv:1905.11946"
_CONVNEXT = "Liu et al. (2022), doi:10.1109/CVPR52688.2022.01167"
_VIT = "Dosovitskiy et al. (2021), arXiv:2010.11929"


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
_RESNET50 = {"depths": (3, 4, 6, 3), "bottleneck": True}
_DENSENET_FORMS = {
    121: {"depths": (6, 12, 24, 16)},
    169: {"depths": (6, 12, 32, 32)},
    201: {"depths": (6, 12, 48, 32)},
}
_MOBILENET_V3_SMALL = {
    "widths": (16, 24, 40, 48, 96),
    "depths": (1, 2, 3, 2, 3),
    "strides": (2, 2, 2, 1, 2),
    "kernels": (3, 3, 5, 5, 5),
    "squeezes": (True, False, True, True, True),
    "swishes": (False, False, True, True, True),
    "inner": (16, 72, 88, 96, 240, 240, 120, 144, 288, 576, 576),
    "hidden": 1024,
}
# Size in pixels, the part of the image that is kept, and what makes it wider and deeper than B0.
_EFFICIENTNET_FORMS = [
    (224, 0.875, {}),
    (240, 0.882, {"depths": (2, 3, 3, 4, 4, 5, 2)}),
    (
        260,
        0.89,
        {
            "widths": (16, 24, 48, 88, 120, 208, 352),
            "depths": (2, 3, 3, 4, 4, 5, 2),
            "last": 1408,
            "dropout_rate": 0.3,
        },
    ),
    (
        300,
        0.904,
        {
            "stem": 40,
            "widths": (24, 32, 48, 96, 136, 232, 384),
            "depths": (2, 3, 3, 5, 5, 6, 2),
            "last": 1536,
            "dropout_rate": 0.3,
        },
    ),
]

CARDS: dict[str, Card] = {
    entry.name: entry
    for entry in [
        Card("mlp", "mlp", mlp, (28, 28), 1, 10, _MLP),
        Card("lenet", "lenet", lenet, (28, 28), 1, 10, _LENET),
        Card("convnet", "convnet", convnet, (64, 64), 3, 10, _RESNET),
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
        _photographs("alexnet", alexnet, _ALEXNET),
        replace(_photographs("googlenet", googlenet, _GOOGLENET), **_CENTRED),
        replace(
            _photographs("googlenet_bvlc", googlenet, _GOOGLENET, form="bvlc", dropout_rate=0.4),
            **_BVLC,
        ),
        replace(
            _photographs("inception_v3", inception_v3, _INCEPTION), size=(299, 299), **_CENTRED
        ),
        _photographs("squeezenet1_1", squeezenet, _SQUEEZENET),
        *(
            _photographs(f"densenet{n}", densenet, _DENSENET, **form)
            for n, form in _DENSENET_FORMS.items()
        ),
        _photographs("resnext50_32x4d", resnet, _RESNEXT, **_RESNET50, groups=32, base_width=4),
        _photographs("wide_resnet50_2", resnet, _WIDE_RESNET, **_RESNET50, base_width=128),
        _photographs("mobilenet_v3_large", mobilenet_v3, _MOBILENET_V3),
        _photographs("mobilenet_v3_small", mobilenet_v3, _MOBILENET_V3, **_MOBILENET_V3_SMALL),
        *(
            replace(
                _photographs(f"efficientnet_b{n}", efficientnet, _EFFICIENTNET, **form),
                size=(size, size),
                interpolation="bicubic",
                crop_fraction=kept,
            )
            for n, (size, kept, form) in enumerate(_EFFICIENTNET_FORMS)
        ),
        *(
            replace(
                _photographs(f"convnext_{form}", convnext, _CONVNEXT, depths=depths),
                interpolation="bicubic",
            )
            for form, depths in [("tiny", (3, 3, 9, 3)), ("small", (3, 3, 27, 3))]
        ),
        *(  # timm's weights, which most use, were trained on pixels from -1 to 1
            replace(
                _photographs(f"vit_{form}_16", vit, _VIT, width=width, heads=heads),
                interpolation="bicubic",
                crop_fraction=0.9,
                **_CENTRED,
            )
            for form, width, heads in [("s", 384, 6), ("b", 768, 12)]
        ),
    ]
}
