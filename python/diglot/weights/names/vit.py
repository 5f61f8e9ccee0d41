"""The vision transformer in torchvision, timm and Hugging Face's transformers.

DeiT's weights have these names, too, where it was trained without a distillation token.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from diglot.weights.names.tables import Arrays, Layout, renamed


def _with_free(names: Mapping[str, str], layout: Layout) -> Layout:
    """Return ``layout`` with names for parameters that are no layer's, given whole."""

    def rename(arrays: Arrays) -> dict[str, np.ndarray]:
        found = {names[name]: array for name, array in arrays.items() if name in names}
        return found | layout({n: array for n, array in arrays.items() if n not in names})

    return rename


_TIMM = _with_free(
    {"cls_token": "class_token", "pos_embed": "positions"},
    renamed(
        [
            (r"patch_embed\.proj", "patches"),
            (r"blocks\.(\d+)\.norm([12])", r"block\1_norm\2"),
            (r"blocks\.(\d+)\.attn\.(qkv|proj)", r"block\1_\2"),
            (r"blocks\.(\d+)\.mlp\.fc([12])", r"block\1_fc\2"),
            # norm and head have our names
        ]
    ),
)

_LAYER = r"encoder\.layers\.encoder_layer_(\d+)"
_TORCHVISION = _with_free(
    {"class_token": "class_token", "encoder.pos_embedding": "positions"},
    renamed(
        [
            ("conv_proj", "patches"),
            (rf"{_LAYER}\.ln_([12])", r"block\1_norm\2"),
            (rf"{_LAYER}\.self_attention\.out_proj", r"block\1_proj"),
            (rf"{_LAYER}\.self_attention", r"block\1_qkv"),  # .in_proj_weight, .in_proj_bias
            (rf"{_LAYER}\.mlp\.(?:0|linear_1)", r"block\1_fc1"),
            (rf"{_LAYER}\.mlp\.(?:3|linear_2)", r"block\1_fc2"),
            (r"encoder\.ln", "norm"),
            (r"heads\.head", "head"),
        ]
    ),
)


def _torchvision(arrays: Arrays) -> dict[str, np.ndarray]:
    found = _TORCHVISION(arrays)
    return {name.replace(".in_proj_", "."): array for name, array in found.items()}


# The names in files; transformers 5 has shorter ones in memory, and a few files have those.
_BLOCK = r"vit\.(?:encoder\.layer|layers)\.(\d+)"
_TRANSFORMERS = _with_free(
    {
        "vit.embeddings.cls_token": "class_token",
        "vit.embeddings.position_embeddings": "positions",
    },
    renamed(
        [
            (r"vit\.embeddings\.patch_embeddings\.projection", "patches"),
            (rf"{_BLOCK}\.layernorm_before", r"block\1_norm1"),
            (rf"{_BLOCK}\.layernorm_after", r"block\1_norm2"),
            (rf"{_BLOCK}\.attention\.(?:attention\.query|q_proj)", r"block\1_query"),
            (rf"{_BLOCK}\.attention\.(?:attention\.key|k_proj)", r"block\1_key"),
            (rf"{_BLOCK}\.attention\.(?:attention\.value|v_proj)", r"block\1_value"),
            (rf"{_BLOCK}\.attention\.(?:output\.dense|o_proj)", r"block\1_proj"),
            (rf"{_BLOCK}\.(?:intermediate\.dense|mlp\.fc1)", r"block\1_fc1"),
            (rf"{_BLOCK}\.(?:output\.dense|mlp\.fc2)", r"block\1_fc2"),
            (r"vit\.layernorm", "norm"),
            ("classifier", "head"),
        ]
    ),
)


def _transformers(arrays: Arrays) -> dict[str, np.ndarray]:
    return _joined(_TRANSFORMERS(arrays))


def _joined(arrays: Arrays) -> dict[str, np.ndarray]:
    """Join each block's query, key and value where all three are there and fit together."""
    found = dict(arrays)
    for block, ending in [n.split("_query.") for n in arrays if n.count("_query.") == 1]:
        names = [f"{block}_{role}.{ending}" for role in ("query", "key", "value")]
        parts = [found[name] for name in names if name in found]
        if len(parts) == 3 and parts[0].ndim and len({part.shape[1:] for part in parts}) == 1:
            found[f"{block}_qkv.{ending}"] = np.concatenate([found.pop(name) for name in names])
    return found


LAYOUTS: dict[str, Layout] = {
    "torchvision": _torchvision,
    "timm": _TIMM,
    "transformers": _transformers,
}

# What the network must be built with for a library's weights.
SETTINGS = {"transformers": {"eps": 1e-12}}
