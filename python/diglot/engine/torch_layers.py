"""MXNet's operators in PyTorch: dense layers, norms, recurrence, dropout, users' own operators."""

from __future__ import annotations

import math

import numpy as np

from diglot.engine.torch import load
from diglot.engine.torch_mode import Function, Maker, Mode, Tensor, c_float
from diglot.errors import InputError
from diglot.operators import Attrs
from diglot.own_operators import OwnOperator, own_operator, told_failure

torch = load()
F = torch.nn.functional


def _dense(attrs: Attrs, mode: Mode) -> Function:
    if attrs.flag("flatten", True):
        return lambda x, w, b=None: F.linear(x.flatten(1), w, b)
    return F.linear


def _embedding(attrs: Attrs, mode: Mode) -> Function:
    last = attrs.whole("input_dim") - 1
    return lambda places, w: F.embedding(places.long().clamp(0, last), w)


def _dropout(attrs: Attrs, mode: Mode) -> Function:
    share, always = float(attrs.get("p", 0.5)), attrs.get("mode") == "always"
    axes = attrs.get("axes") or ()
    axes = axes if isinstance(axes, tuple) else (axes,)

    def dropout(x: Tensor) -> Tensor:
        if share == 0 or not (mode.training or always):
            return x
        return dropped(x, share, mode, axes)

    return dropout


def dropped(x: Tensor, share: float, mode: Mode, axes: tuple[int, ...] = ()) -> Tensor:
    """Return a tensor of which a share is 0 and the rest larger; ``axes`` share the draws."""
    drawn = x.detach()
    if axes:
        drawn = x.new_empty([1 if i in axes else size for i, size in enumerate(x.shape)])
    kept = torch.empty_like(drawn).bernoulli_(1 - share, generator=mode.generator)
    return x * kept.div_(1 - share)


# ---- norms


def _batch_norm(attrs: Attrs, mode: Mode) -> Function:
    eps, old = float(attrs.get("eps", c_float(1e-3))), c_float(attrs.get("momentum", 0.9))
    fixed, frozen = attrs.flag("fix_gamma", True), attrs.flag("use_global_stats")
    axis = attrs.get("axis", 1)

    def batch_norm(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        gamma = None if fixed else gamma
        y = x if axis == 1 else x.movedim(axis, 1)
        count = y.numel() // y.shape[1]
        if mode.training and not frozen and count == 1:
            with torch.no_grad():
                mean.lerp_(y.flatten().to(mean.dtype), 1 - old)
                var.mul_(old)
            y = _of_one_number(y, gamma, beta)
        elif mode.training and not frozen:
            # Into arrays of their own: PyTorch's running variance is the unbiased one.
            seen_mean, seen_var = torch.zeros_like(mean), torch.zeros_like(var)
            y = F.batch_norm(y, seen_mean, seen_var, gamma, beta, True, 1.0, eps)
            with torch.no_grad():
                mean.mul_(old).add_(seen_mean, alpha=1 - old)
                var.mul_(old).add_(seen_var, alpha=(1 - old) * (count - 1) / count)
        else:
            y = F.batch_norm(y, mean, var, gamma, beta, False, 0.0, eps)
        return y if axis == 1 else y.movedim(1, axis)

    return batch_norm


def _of_one_number(x: Tensor, gamma: Tensor | None, beta: Tensor) -> Tensor:
    """Return what a norm over a single number gives, which PyTorch refuses and MXNet computes."""
    over = (1, -1, *(1,) * (x.dim() - 2))
    none = x - x  # what a mean of one leaves; NaN stays
    scaled = none if gamma is None else none * gamma.reshape(over)
    return (scaled + beta.reshape(over)).to(x.dtype)


def _layer_norm(attrs: Attrs, mode: Mode) -> Function:
    axis, eps = attrs.get("axis", -1), c_float(attrs.get("eps", 1e-5))

    def layer_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        y = x.movedim(axis, -1)
        return F.layer_norm(y, y.shape[-1:], gamma, beta, eps).movedim(-1, axis)

    return layer_norm


def _instance_norm(attrs: Attrs, mode: Mode) -> Function:
    eps = c_float(attrs.get("eps", 1e-3))

    def instance_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        if math.prod(x.shape[2:]) == 1:
            return _of_one_number(x, gamma, beta)
        return F.instance_norm(x, weight=gamma, bias=beta, eps=eps)

    return instance_norm


def _group_norm(attrs: Attrs, mode: Mode) -> Function:
    groups, eps = attrs.whole("num_groups", 1), c_float(attrs.get("eps", 1e-5))

    def group_norm(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        each = x.shape[1] // groups  # one scale a group, not one a channel
        scale, shift = gamma.repeat_interleave(each), beta.repeat_interleave(each)
        if each * math.prod(x.shape[2:]) == 1:
            return _of_one_number(x, scale, shift)
        return F.group_norm(x, groups, scale, shift, eps)

    return group_norm


def _l2_normalization(attrs: Attrs, mode: Mode) -> Function:
    kind = attrs.choice("mode", "instance", "instance", "channel", "spatial")
    eps = c_float(attrs.get("eps", 1e-10))

    def normalised(x: Tensor) -> Tensor:
        axes = {
            "instance": range(1, x.dim()),
            "channel": (1,),
            "spatial": range(2, x.dim()),
        }[kind]
        return x / torch.sqrt(x.square().sum(tuple(axes), keepdim=True) + eps)

    return normalised


# ---- recurrence

_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def _recurrence(attrs: Attrs, mode: Mode) -> Function:
    kind = attrs.choice("mode", "", *_GATES)
    hidden, layers = attrs.whole("state_size"), attrs.whole("num_layers")
    ways, share = 2 if attrs.flag("bidirectional") else 1, float(attrs.get("p", 0.0))
    outputs_states = attrs.flag("state_outputs")
    if attrs.get("lstm_state_clip_min") is not None:
        raise InputError("the PyTorch engine knows it without lstm_state_clip_min")
    compute = getattr(torch, kind)

    def weights_of(flat: Tensor, width: int) -> list[list[Tensor]]:
        """Return four arrays a layer and way: MXNet has all weights in front of all biases."""
        rows = _GATES[kind] * hidden
        widths = [width if layer == 0 else ways * hidden for layer in range(layers)]
        shapes = [(rows, side) for w in widths for _ in range(ways) for side in (w, hidden)]
        pieces = flat.split([math.prod(s) for s in shapes] + [rows] * len(shapes))
        weights = [piece.view(s) for piece, s in zip(pieces, shapes, strict=False)]
        biases = pieces[len(shapes) :]
        return [[*weights[i : i + 2], *biases[i : i + 2]] for i in range(0, len(weights), 2)]

    def run(x: Tensor, states: list[Tensor], weights: list[list[Tensor]]) -> tuple[Tensor, ...]:
        flat, count = [a for four in weights for a in four], len(weights) // ways
        # In mixed precision, what comes in may be shorter than the weights.
        x, *states = (array.to(flat[0].dtype) for array in (x, *states))
        given = tuple(states) if kind == "lstm" else states[0]
        # cuDNN has gradients in training mode only, which is the same without its dropout.
        learning = torch.is_grad_enabled()
        return compute(x, given, flat, True, count, 0.0, learning, ways == 2, False)

    def recurrence(x: Tensor, flat: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        weights = weights_of(flat, x.shape[2])
        if not (share and mode.training and layers > 1):
            found = run(x, list(states), weights)
            return found if outputs_states else found[:1]
        ends = []
        for layer in range(layers):  # our own draws between them, not those of a shared generator
            mine = slice(layer * ways, (layer + 1) * ways)
            x = dropped(x, share, mode) if layer else x
            x, *last = run(x, [s[mine].contiguous() for s in states], weights[mine])
            ends.append(last)
        joined = [torch.cat(parts) for parts in zip(*ends, strict=True)]
        return (x, *joined) if outputs_states else (x,)

    return recurrence


# ---- operators of one's own


class _Own(torch.autograd.Function):
    """Hands arrays to functions of NumPy."""

    @staticmethod
    def forward(ctx, operator, *inputs):
        ctx.operator = operator
        ctx.save_for_backward(*inputs)
        values = _tried(operator, lambda: operator.output(_arrays(inputs)))
        return _like(inputs[0], values)

    @staticmethod
    def backward(ctx, gradient):
        inputs, operator = ctx.saved_tensors, ctx.operator
        (array,) = _arrays([gradient])
        found = _tried(operator, lambda: operator.gradients(array, _arrays(inputs)))
        return None, *(_like(inputs[0], values) for values in found)


def _arrays(tensors) -> list[np.ndarray]:
    return [x.detach().cpu().numpy() for x in tensors]


def _like(tensor: Tensor, values) -> Tensor:
    array = np.array(values, np.float32)  # a copy: what comes back may be the input itself
    return torch.from_numpy(array).to(tensor.device, tensor.dtype)


def _tried(operator: OwnOperator, function: Function):
    try:
        return function()
    except Exception as failure:
        raise told_failure(operator.name, failure) from failure


def _own(attrs: Attrs, mode: Mode) -> Function:
    operator = own_operator(attrs.get("operator"))
    return lambda *inputs: _Own.apply(operator, *inputs)


MAKERS: dict[str, Maker] = {
    "FullyConnected": _dense,
    "Embedding": _embedding,
    "Dropout": _dropout,
    "BatchNorm": _batch_norm,
    "_contrib_SyncBatchNorm": _batch_norm,
    "LayerNorm": _layer_norm,
    "InstanceNorm": _instance_norm,
    "GroupNorm": _group_norm,
    "L2Normalization": _l2_normalization,
    "RNN": _recurrence,
    "Custom": _own,
}
