"""GoogLeNet: torchvision's branches by number, Caffe's (BVLC's) by what they are."""

from __future__ import annotations

from diglot.weights.names.tables import Layout, renamed

_BRANCHES = {
    r"branch1": "1x1",
    r"branch2\.0": "3x3_reduce",
    r"branch2\.1": "3x3",
    r"branch3\.0": "5x5_reduce",
    r"branch3\.1": "5x5",
    r"branch4\.1": "pool_proj",
}
_TORCHVISION = renamed(
    [
        (r"conv(\d)\.conv", r"conv\1"),
        (r"conv(\d)\.bn", r"conv\1_bn"),
        *(
            (rf"inception(\d\w)\.{theirs}\.{kind}", rf"inception\1_{ours}{ending}")
            for theirs, ours in _BRANCHES.items()
            for kind, ending in [("conv", ""), ("bn", "_bn")]
        ),
        ("fc", "head"),
    ]
)

_CAFFE = renamed(
    [
        ("conv1/7x7_s2", "conv1"),
        ("conv2/3x3_reduce", "conv2"),
        ("conv2/3x3", "conv3"),
        (r"inception_(\d\w)/(\w+)", r"inception\1_\2"),
        (r"loss3/classifier", "head"),
    ]
)

LAYOUTS: dict[str, Layout] = {"torchvision": _TORCHVISION, "caffe": _CAFFE}
