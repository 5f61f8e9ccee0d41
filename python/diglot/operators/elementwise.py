"""Operators that compute each number by itself, or from those in its place."""

from __future__ import annotations

from collections.abc import Sequence

from diglot.errors import ModelFileError
from diglot.operators.attrs import Attrs, Shape
from diglot.operators.rules import Operator, each, equal, equal_in_number, rule


def _dropout(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    share = attrs.get("p", 0.5)
    if not isinstance(share, (int, float)) or not 0 <= share <= 1:
        raise ModelFileError(f"its p is {share!r}, which is no share")
    axes = attrs.get("axes", ())
    if not set(axes if isinstance(axes, tuple) else (axes,)) <= set(range(len(inputs[0]))):
        raise ModelFileError(f"its axes are {axes}")
    return [inputs[0]]


def _softmax(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    """Lengths, one for each row, may come after the data."""
    x, *lengths = inputs
    axis = attrs.axis("axis", -1, len(x))
    if lengths != [x[:axis] + x[axis + 1 :]] * attrs.flag("use_length"):
        raise ModelFileError(f"its lengths are {lengths}, and use_length is what asks for them")
    return [x]


def _broadcast(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    a, b = inputs
    if len(a) != len(b) or any(m != n and 1 not in (m, n) for m, n in zip(a, b, strict=True)):
        raise ModelFileError(f"the shapes {a[1:]} and {b[1:]} cannot be combined")
    return [tuple(max(m, n) for m, n in zip(a, b, strict=True))]


def _where(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    return equal(attrs, inputs[1:])


ELEMENTWISE: dict[str, Operator] = {
    # one input, the same shape out
    **each(
        "Activation SoftmaxActivation LRN L2Normalization "
        "clip relu sigmoid hard_sigmoid tanh softsign erf smooth_l1 _contrib_div_sqrt_dim "
        "exp expm1 log log2 log10 log1p sqrt rsqrt cbrt square reciprocal abs sign negative "
        "sin cos tan arctan sinh cosh floor ceil round rint fix trunc logical_not "
        "identity _copy BlockGrad stop_gradient make_loss MakeLoss Cast cast amp_cast reverse "
        "flip zeros_like ones_like "
        "_plus_scalar _minus_scalar _rminus_scalar _mul_scalar _div_scalar _rdiv_scalar "
        "_mod_scalar _rmod_scalar _power_scalar _rpower_scalar _maximum_scalar _minimum_scalar "
        "_equal_scalar _not_equal_scalar _greater_scalar _greater_equal_scalar _lesser_scalar "
        "_lesser_equal_scalar",
        rule(),
    ),
    "Dropout": rule(_dropout),
    **each("softmax softmin log_softmax", rule(_softmax, takes=None)),
    # several inputs
    **each(
        "elemwise_add elemwise_sub elemwise_mul elemwise_div _Plus _plus _add _Minus _minus _sub "
        "_Mul _mul _Div _div _grad_add _power _Power _maximum _Maximum _minimum _Minimum _hypot "
        "_mod _equal _not_equal _greater _greater_equal _lesser _lesser_equal",
        rule(equal, takes=2),
    ),
    **each("add_n ElementWiseSum", rule(equal_in_number, takes=None)),
    **each(
        "broadcast_add broadcast_plus broadcast_sub broadcast_minus broadcast_mul broadcast_div "
        "broadcast_mod broadcast_power broadcast_maximum broadcast_minimum broadcast_hypot "
        "broadcast_equal broadcast_not_equal broadcast_greater broadcast_greater_equal "
        "broadcast_lesser broadcast_lesser_equal",
        rule(_broadcast, takes=2),
    ),
    "where": rule(_where, takes=3),
}
