"""MXNet's operators in PyTorch: what is computed number by number, and along one axis."""

from __future__ import annotations

import math

from diglot.engine.torch import load
from diglot.engine.torch_mode import Function, Maker, Mode, Tensor, c_float, plain
from diglot.errors import InputError
from diglot.operators import Attrs

torch = load()
F = torch.nn.functional

# ---- of one number

_UNARY: dict[str, Function] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softsign": F.softsign,
    "erf": torch.erf,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "log2": torch.log2,
    "log10": torch.log10,
    "log1p": torch.log1p,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "cbrt": lambda x: torch.sign(x) * torch.abs(x).pow(1 / 3),
    "square": torch.square,
    "reciprocal": torch.reciprocal,
    "abs": torch.abs,
    "sign": torch.sign,
    "negative": torch.neg,
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": torch.tan,
    "arctan": torch.atan,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "floor": torch.floor,
    "ceil": torch.ceil,
    # Halves go away from zero in round, and down in rint.
    "round": lambda x: torch.sign(x) * torch.floor(torch.abs(x) + 0.5),
    "rint": lambda x: torch.ceil(x - 0.5),
    "fix": torch.trunc,
    "trunc": torch.trunc,
    "logical_not": lambda x: (x == 0).to(x.dtype),
    "identity": lambda x: x,
    "_copy": lambda x: x,
    "BlockGrad": lambda x: x.detach(),
    "stop_gradient": lambda x: x.detach(),
    "zeros_like": torch.zeros_like,
    "ones_like": torch.ones_like,
    "_contrib_div_sqrt_dim": lambda x: x / math.sqrt(x.shape[-1]),
}

_ACTIVATIONS: dict[str, Function] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    # Above 50, log(1 + exp(x)) is x in double precision, too.
    "softrelu": lambda x: F.softplus(x, threshold=50.0),
    "softsign": F.softsign,
    "log_sigmoid": F.logsigmoid,
    "mish": F.mish,
}


def _activation(attrs: Attrs, mode: Mode) -> Function:
    return _ACTIVATIONS[attrs.choice("act_type", "", *_ACTIVATIONS)]


def _leaky(attrs: Attrs, mode: Mode) -> Function:
    kind = attrs.choice("act_type", "leaky", "leaky", "prelu", "elu", "selu", "gelu", "rrelu")
    slope = c_float(attrs.get("slope", 0.25))
    low, high = (
        c_float(attrs.get(name, value))
        for name, value in (("lower_bound", 0.125), ("upper_bound", 0.334))
    )

    def prelu(x: Tensor, gamma: Tensor) -> Tensor:
        if gamma.dim() != x.dim():
            gamma = gamma.reshape(1, -1, *(1,) * (x.dim() - 2))
        return torch.where(x > 0, x, x * gamma)

    def rrelu(x: Tensor) -> Tensor:
        if not mode.training:
            return torch.where(x > 0, x, x * ((low + high) / 2))
        drawn = torch.empty_like(x).uniform_(low, high, generator=mode.generator)
        return torch.where(x > 0, x, x * drawn)

    return {
        "leaky": lambda x: F.leaky_relu(x, slope),
        "prelu": prelu,
        "elu": lambda x: torch.where(x > 0, x, slope * torch.expm1(x.clamp(max=0))),
        "selu": F.selu,
        "gelu": F.gelu,
        "rrelu": rrelu,
    }[kind]


def _hard_sigmoid(attrs: Attrs, mode: Mode) -> Function:
    alpha, beta = c_float(attrs.get("alpha", 0.2)), c_float(attrs.get("beta", 0.5))
    return lambda x: (alpha * x + beta).clamp(0, 1)


def _smooth_l1(attrs: Attrs, mode: Mode) -> Function:
    squared = float(attrs.get("scalar", 1.0)) ** 2

    def smooth_l1(x: Tensor) -> Tensor:
        size = torch.abs(x)
        return torch.where(size < 1 / squared, 0.5 * squared * x * x, size - 0.5 / squared)

    return smooth_l1


def _clip(attrs: Attrs, mode: Mode) -> Function:
    low, high = c_float(attrs["a_min"]), c_float(attrs["a_max"])
    return lambda x: x.clamp(low, high)


_DTYPES = {
    "float16": torch.float16,
    "float32": torch.float32,
    "float64": torch.float64,
    "uint8": torch.uint8,
    "int8": torch.int8,
    "int32": torch.int32,
    "int64": torch.int64,
}


def _cast(attrs: Attrs, mode: Mode) -> Function:
    dtype = _DTYPES[attrs.choice("dtype", "", *_DTYPES)]
    return lambda x: x.to(dtype)


class _Loss(torch.autograd.Function):
    """Gives its input, and a gradient that asks for no other."""

    @staticmethod
    def forward(ctx, x, weigh):
        ctx.weigh = weigh
        ctx.save_for_backward(x)
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return ctx.weigh(x).expand_as(x).clone(), None


def _make_loss(attrs: Attrs, mode: Mode) -> Function:
    scale = c_float(attrs.get("grad_scale", 1.0))
    least = c_float(attrs.get("valid_thresh", 0.0))
    over = attrs.choice("normalization", "null", "null", "batch", "valid")

    def weigh(x: Tensor) -> Tensor:
        count = x.new_ones(())
        if over == "batch":
            count = count * x.shape[0]
        elif over == "valid":
            count = (x > least).sum().clamp(min=1).to(x.dtype)
        return scale / count

    return lambda x: _Loss.apply(x, weigh)


# ---- of two numbers


def _compared(compare: Function) -> Function:
    return lambda x, y: compare(x, y).to(x.dtype)


_BINARY: dict[str, Function] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "mod": torch.remainder,
    "power": torch.pow,
    "hypot": torch.hypot,
    # Where both are equal, the first has the whole gradient.
    "maximum": lambda x, y: torch.where(x >= y, x, y),
    "minimum": lambda x, y: torch.where(x <= y, x, y),
    "equal": _compared(torch.eq),
    "not_equal": _compared(torch.ne),
    "greater": _compared(torch.gt),
    "greater_equal": _compared(torch.ge),
    "lesser": _compared(torch.lt),
    "lesser_equal": _compared(torch.le),
}
_OTHER_NAMES = {"plus": "add", "minus": "sub"}
_CAPITALS = ("Plus", "Minus", "Mul", "Div", "Power", "Maximum", "Minimum")


def _binary() -> dict[str, Maker]:
    """Return the operators of two inputs, under each of MXNet's names for them."""
    words = {**_BINARY, **{other: _BINARY[name] for other, name in _OTHER_NAMES.items()}}
    table = {f"broadcast_{word}": function for word, function in words.items()}
    table |= {f"elemwise_{word}": words[word] for word in ("add", "sub", "mul", "div")}
    table |= {f"_{word}": function for word, function in words.items()}
    table |= {f"_{word}": words[word.lower()] for word in _CAPITALS}
    table["_grad_add"] = table["_add"]
    return {name: plain(function) for name, function in table.items()}


_SCALAR: dict[str, Function] = {
    "plus": lambda x, s: x + s,
    "minus": lambda x, s: x - s,
    "rminus": lambda x, s: s - x,
    "mul": lambda x, s: x * s,
    "div": lambda x, s: x / s,
    "rdiv": lambda x, s: s / x,
    "mod": torch.remainder,
    "rmod": lambda x, s: torch.remainder(torch.full_like(x, s), x),
    "power": torch.pow,
    "rpower": lambda x, s: torch.pow(s, x),
    "maximum": lambda x, s: torch.where(x >= s, x, s),
    "minimum": lambda x, s: torch.where(x <= s, x, s),
    "equal": _compared(torch.eq),
    "not_equal": _compared(torch.ne),
    "greater": _compared(torch.gt),
    "greater_equal": _compared(torch.ge),
    "lesser": _compared(torch.lt),
    "lesser_equal": _compared(torch.le),
}


def _with_scalar(function: Function) -> Maker:
    def make(attrs: Attrs, mode: Mode) -> Function:
        scalar = float(attrs["scalar"])
        return lambda x: function(x, scalar)

    return make


def _sum_of_all(*tensors: Tensor) -> Tensor:
    return sum(tensors[1:], tensors[0])


# ---- along one axis


def _softmax(attrs: Attrs, mode: Mode) -> Function:
    return _over_axis(attrs, F.softmax, 1.0)


def _softmin(attrs: Attrs, mode: Mode) -> Function:
    return _over_axis(attrs, F.softmax, -1.0)


def _log_softmax(attrs: Attrs, mode: Mode) -> Function:
    return _over_axis(attrs, F.log_softmax, 1.0)


def _over_axis(attrs: Attrs, function: Function, sign: float) -> Function:
    if attrs.flag("use_length"):
        raise InputError("the PyTorch engine knows it without use_length")
    axis, by = int(attrs.get("axis", -1)), sign / float(attrs.get("temperature") or 1.0)
    return lambda x: function(x if by == 1.0 else x * by, axis)


def _softmax_activation(attrs: Attrs, mode: Mode) -> Function:
    axis = {"instance": -1, "channel": 1}[attrs.choice("mode", "instance", "instance", "channel")]
    return lambda x: F.softmax(x, axis)


MAKERS: dict[str, Maker] = {
    **{name: plain(function) for name, function in _UNARY.items()},
    **_binary(),
    **{f"_{name}_scalar": _with_scalar(function) for name, function in _SCALAR.items()},
    "Activation": _activation,
    "LeakyReLU": _leaky,
    "hard_sigmoid": _hard_sigmoid,
    "smooth_l1": _smooth_l1,
    "clip": _clip,
    **dict.fromkeys(("Cast", "cast", "amp_cast"), _cast),
    **dict.fromkeys(("make_loss", "MakeLoss"), _make_loss),
    **dict.fromkeys(("add_n", "ElementWiseSum"), plain(_sum_of_all)),
    "softmax": _softmax,
    "softmin": _softmin,
    "log_softmax": _log_softmax,
    "SoftmaxActivation": _softmax_activation,
}
