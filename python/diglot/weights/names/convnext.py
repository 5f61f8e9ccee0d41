"""ConvNeXt in torchvision, timm and Hugging Face's transformers."""

from __future__ import annotations

import numpy as np

from diglot.weights.names.tables import Arrays, Layout, renamed

_SCALES = (".gamma", ".layer_scale", ".layer_scale_parameter")  # a number a channel, at a block
_STAGES = range(1, 5)


def _scaled(layout: Layout) -> Layout:
    """Return ``layout`` with the blocks' scales and dense layers in our shapes."""

    def shaped(arrays: Arrays) -> dict[str, np.ndarray]:
        found = {}
        for name, array in layout(arrays).items():
            block, dot, ending = name.rpartition(".")
            if name.startswith("stage") and dot + ending in _SCALES:
                found[f"{block}_scale"] = array.reshape(1, 1, 1, -1)
            elif block.endswith(("_expand", "_project")) and array.shape[2:] == (1, 1):
                found[name] = array[:, :, 0, 0]  # timm may have a 1x1 convolution there
            else:
                found[name] = array
        return found

    return shaped


def _stages(block: str, parts: dict[str, str]) -> list[tuple[str, str]]:
    """Write one rule a stage and part; stages are counted from 0 and our names' from 1."""
    rules = []
    for stage in _STAGES:
        path = block.format(index=stage - 1, place=2 * stage - 1)
        rules += [(path + theirs, rf"stage{stage}_\1{ours}") for theirs, ours in parts.items()]
    return rules


def _downsamples(path: str) -> list[tuple[str, str]]:
    rules = []
    for stage in _STAGES[1:]:
        start = path.format(index=stage - 1, place=2 * stage - 2)
        rules += [
            (rf"{start}\.0", f"stage{stage}_downsample_norm"),
            (rf"{start}\.1", f"stage{stage}_downsample"),
        ]
    return rules


_TORCHVISION = renamed(
    [
        (r"features\.0\.0", "stem"),
        (r"features\.0\.1", "stem_norm"),
        *_downsamples(r"features\.{place}"),
        *_stages(
            r"features\.{place}\.(\d+)",
            {
                r"\.block\.0": "_depthwise",
                r"\.block\.2": "_norm",
                r"\.block\.3": "_expand",
                r"\.block\.5": "_project",
                "": "",  # of the scale, which is no layer's
            },
        ),
        (r"classifier\.0", "norm"),
        (r"classifier\.2", "head"),
    ]
)

_TIMM = renamed(
    [
        (r"stem\.0", "stem"),
        (r"stem\.1", "stem_norm"),
        *_downsamples(r"stages\.{index}\.downsample"),
        *_stages(
            r"stages\.{index}\.blocks\.(\d+)",
            {
                r"\.conv_dw": "_depthwise",
                r"\.norm": "_norm",
                r"\.mlp\.fc1": "_expand",
                r"\.mlp\.fc2": "_project",
                "": "",
            },
        ),
        (r"head\.norm", "norm"),
        (r"head\.fc", "head"),
    ]
)

_TRANSFORMERS = renamed(
    [
        (r"convnext\.embeddings\.patch_embeddings", "stem"),
        (r"convnext\.embeddings\.layernorm", "stem_norm"),
        *_downsamples(r"convnext\.encoder\.stages\.{index}\.downsampling_layer"),
        *_stages(
            r"convnext\.encoder\.stages\.{index}\.layers\.(\d+)",
            {
                r"\.dwconv": "_depthwise",
                r"\.layernorm": "_norm",
                r"\.pwconv1": "_expand",
                r"\.pwconv2": "_project",
                "": "",
            },
        ),
        (r"convnext\.layernorm", "norm"),
        (r"classifier", "head"),
    ]
)

LAYOUTS: dict[str, Layout] = {
    "torchvision": _scaled(_TORCHVISION),
    "timm": _scaled(_TIMM),
    "transformers": _scaled(_TRANSFORMERS),
}

# What the network must be built with for a library's weights.
SETTINGS = {"transformers": {"eps": 1e-12}}
