"""The small set of helpers in which every network of the catalogue is written."""

from __future__ import annotations

from collections.abc import Sequence

from diglot.builder import Builder, Tensor
from diglot.errors import InputError
from diglot.own_operators import OP_TYPE

_ACTIVATIONS = ("relu", "relu6", "sigmoid", "softrelu", "softsign", "tanh")


def conv(
    b: Builder,
    x: Tensor,
    channels: int,
    kernel: int | tuple[int, int] = 3,
    *,
    name: str,
    stride: int = 1,
    pad: int | None = None,
    groups: int = 1,
    bias: bool = True,
    init: str = "he",
) -> Tensor:
    """Add a convolution, a square or (height, width); without ``pad`` stride 1 keeps the size."""
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    return b.add(
        "Convolution",
        x,
        name=name,
        init=init,
        kernel=kernel,
        stride=(stride, stride),
        pad=(kernel[0] // 2, kernel[1] // 2) if pad is None else (pad, pad),
        num_filter=channels,
        num_group=groups,
        no_bias=not bias,
    )


def norm(b: Builder, x: Tensor, *, name: str, eps: float = 1e-5, momentum: float = 0.9) -> Tensor:
    """Add batch normalisation over the channels, with a learned scale and shift."""
    return b.add("BatchNorm", x, name=name, eps=eps, momentum=momentum, fix_gamma=False)


def act(b: Builder, x: Tensor, kind: str = "relu", *, name: str) -> Tensor:
    """Add an activation: relu, relu6, sigmoid, softrelu, softsign or tanh."""
    if kind not in _ACTIVATIONS:
        raise InputError(f"an activation must be one of {', '.join(_ACTIVATIONS)}, not {kind!r}")
    if kind == "relu6":
        return b.add("clip", x, name=name, a_min=0.0, a_max=6.0)
    return b.add("Activation", x, name=name, act_type=kind)


def pool(
    b: Builder,
    x: Tensor,
    kind: str = "max",
    kernel: int = 2,
    *,
    name: str,
    stride: int | None = None,
    pad: int = 0,
    ceil: bool = False,
    count_pad: bool = False,
) -> Tensor:
    """Add max or average pooling.

    With ``ceil`` a last window that has only a part of the image counts, too. Padding counts in an
    average, as zeros, only with ``count_pad``.
    """
    stride = kernel if stride is None else stride
    # MXNet's "full" convention rounds up without a look at where the last window starts. Caffe and
    # PyTorch drop it where it would start outside the image; that can only be with padding or
    # gaps between windows, so elsewhere the three agree. Averages over part of a window differ.
    if ceil and (kind != "max" or pad or stride > kernel):
        raise InputError("ceil goes with max pooling whose windows meet, without padding")
    return b.add(
        "Pooling",
        x,
        name=name,
        pool_type=kind,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        pad=(pad, pad),
        count_include_pad=count_pad,
        **({"pooling_convention": "full"} if ceil else {}),
    )


def global_pool(b: Builder, x: Tensor, *, name: str) -> Tensor:
    """Average each channel over the whole image, and return a vector an image."""
    x = b.add("Pooling", x, name=name, pool_type="avg", global_pool=True, kernel=(1, 1))
    return flatten(b, x, name=f"{name}_flat")


def adaptive_pool(b: Builder, x: Tensor, grid: int, *, name: str) -> Tensor:
    """Average each channel to ``grid`` x ``grid`` cells, whatever the image's size."""
    return b.add("_contrib_AdaptiveAvgPooling2D", x, name=name, output_size=(grid, grid))


def flatten(b: Builder, x: Tensor, *, name: str) -> Tensor:
    """Turn an image's channels, rows and columns into one vector."""
    return b.add("Flatten", x, name=name)


def dense(b: Builder, x: Tensor, units: int, *, name: str, init: str = "xavier") -> Tensor:
    """Add a fully connected layer."""
    return b.add("FullyConnected", x, name=name, init=init, num_hidden=units)


def dropout(b: Builder, x: Tensor, rate: float, *, name: str) -> Tensor:
    """Zero a share of the numbers in training; nothing where the rate is 0."""
    if not 0 <= rate < 1:
        raise InputError(f"a dropout rate must be from 0 to below 1, not {rate}")
    return b.add("Dropout", x, name=name, p=rate) if rate else x


def add(b: Builder, x: Tensor, y: Tensor, *, name: str) -> Tensor:
    """Add two outputs of the same shape."""
    return b.add("elemwise_add", x, y, name=name)


def concat(b: Builder, *xs: Tensor, name: str) -> Tensor:
    """Join the channels of outputs of the same height and width."""
    return b.add("Concat", *xs, name=name, dim=1, num_args=len(xs))


def local_response_norm(
    b: Builder, x: Tensor, *, name: str, size: int = 5, alpha: float = 1e-4, beta: float = 0.75
) -> Tensor:
    """Divide by ``(1 + alpha * mean)**beta``: the mean square of the ``size`` channels around.

    As in Caffe: Krizhevsky, Sutskever and Hinton (2012) have a sum there, and a 2 for the 1.
    """
    return b.add("LRN", x, name=name, nsize=size, alpha=alpha, beta=beta, knorm=1.0)


def same_length(**settings: Sequence[int]) -> None:
    """Refuse settings that must have one entry a stage, and are empty or differ in length."""
    for name, values in settings.items():
        if not len(values):
            raise InputError(f"{name} must have at least one entry, one a stage")
    if len({len(values) for values in settings.values()}) > 1:
        told = " and ".join(f"{name} ({len(values)})" for name, values in settings.items())
        raise InputError(f"{told} must have the same number of entries, one a stage")


def own(b: Builder, operator: str, *xs: Tensor, name: str) -> Tensor:
    """Add an operator of your own, which `diglot.register_operator` has made known."""
    return b.add("Custom", *xs, name=name, op_type=OP_TYPE, operator=operator, inputs=len(xs))


def silu(b: Builder, x: Tensor, *, name: str) -> Tensor:
    """Add x * sigmoid(x), which is also called swish."""
    gate = b.add("Activation", x, name=f"{name}_gate", act_type="sigmoid")
    return b.add("elemwise_mul", x, gate, name=name)


def hard_sigmoid(b: Builder, x: Tensor, *, name: str) -> Tensor:
    """Add a straight line from 0 at -3 to 1 at 3, flat outside."""
    return b.add("hard_sigmoid", x, name=name, alpha=1 / 6, beta=0.5)


def hard_swish(b: Builder, x: Tensor, *, name: str) -> Tensor:
    """Add x times its hard sigmoid."""
    return b.add("elemwise_mul", x, hard_sigmoid(b, x, name=f"{name}_gate"), name=name)


def gelu(b: Builder, x: Tensor, *, name: str) -> Tensor:
    """Add x times the normal distribution function of x, exact and not by tanh."""
    return b.add("LeakyReLU", x, name=name, act_type="gelu")


def layer_norm(b: Builder, x: Tensor, *, name: str, eps: float) -> Tensor:
    """Add layer normalisation over the last axis, with a learned scale and shift."""
    return b.add("LayerNorm", x, name=name, axis=-1, eps=eps)


def last_dense(b: Builder, x: Tensor, units: int, *, name: str, init: str) -> Tensor:
    """Add a fully connected layer over the last axis, the same at every place of the others."""
    return b.add("FullyConnected", x, name=name, init=init, num_hidden=units, flatten=False)
