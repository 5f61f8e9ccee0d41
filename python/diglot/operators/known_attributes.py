"""What MXNet's operators may be told: each attribute's name, kind, and whether it must be there.

MXNet's C++ gets no attribute that was not held against this table, whoever wrote the file. The
table follows MXNet 1.9.1, which the tests hold it against.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from diglot.errors import ModelFileError

# "?" stands for kinds that may also be None, "!" for what must be there; words stand for
# themselves. Operators that are not named take no attributes.
_ANY_TYPE = "bfloat16|float16|float32|float64|int32|int64|int8|uint8"
_WINDOWS = (
    "kernel=shape! stride=shape dilate=shape pad=shape num_filter=uint! num_group=uint "
    "workspace=uint no_bias=bool cudnn_tune=fastest|limited_workspace|off? cudnn_off=bool "
    "layout=NCDHW|NCHW|NCW|NDHWC|NHWC?"
)
_NORM = "eps=float momentum=float fix_gamma=bool use_global_stats=bool output_mean_var=bool"
_SCALAR = "scalar=float is_int=bool"
_REDUCTION = "axis=shape? keepdims=bool exclude=bool"
_SOFTMAX = "axis=int temperature=float? dtype=float16|float32|float64? use_length=bool?"
_PRODUCT = "transpose_a=bool transpose_b=bool forward_stype=csr|default|row_sparse?"

_TABLE = {
    "Activation": "act_type=relu|sigmoid|softrelu|softsign|tanh!",
    "BatchNorm": f"{_NORM} axis=int cudnn_off=bool min_calib_range=float? max_calib_range=float?",
    "Cast": f"dtype=bool|{_ANY_TYPE}!",
    "Concat": "num_args=int! dim=int",
    "Convolution": _WINDOWS,
    "Deconvolution": f"{_WINDOWS} adj=shape target_shape=shape",
    "Dropout": "p=float mode=always|training axes=shape cudnn_off=bool?",
    "Embedding": f"input_dim=int! output_dim=int! dtype={_ANY_TYPE} sparse_grad=bool",
    "FullyConnected": "num_hidden=int! no_bias=bool flatten=bool",
    "GroupNorm": "num_groups=int eps=float output_mean_var=bool",
    "InstanceNorm": "eps=float",
    "L2Normalization": "eps=float mode=channel|instance|spatial",
    "LRN": "alpha=float beta=float knorm=float nsize=uint!",
    "LayerNorm": "axis=int eps=float output_mean_var=bool",
    "LeakyReLU": "act_type=elu|gelu|leaky|prelu|rrelu|selu slope=float lower_bound=float "
    "upper_bound=float",
    "MakeLoss": "grad_scale=float valid_thresh=float normalization=batch|null|valid",
    "Pad": "mode=constant|edge|reflect! pad_width=shape! constant_value=float",
    "Pooling": "kernel=shape pool_type=avg|lp|max|sum global_pool=bool cudnn_off=bool "
    "pooling_convention=full|same|valid stride=shape pad=shape p_value=int? "
    "count_include_pad=bool? layout=NCDHW|NCHW|NCW|NDHWC|NHWC|NWC?",
    "RNN": "state_size=uint! num_layers=uint! bidirectional=bool "
    "mode=gru|lstm|rnn_relu|rnn_tanh! p=float state_outputs=bool projection_size=int? "
    "lstm_state_clip_min=float? lstm_state_clip_max=float? lstm_state_clip_nan=bool "
    "use_sequence_length=bool",
    "Reshape": "shape=shape reverse=bool target_shape=shape keep_highest=bool",
    "SliceChannel": "num_outputs=int! axis=int squeeze_axis=bool",
    "SoftmaxActivation": "mode=channel|instance",
    "SwapAxis": "dim1=int dim2=int",
    "UpSampling": "scale=int! num_filter=int sample_type=bilinear|nearest! "
    "multi_input_mode=concat|sum num_args=int! workspace=uint",
    "_contrib_AdaptiveAvgPooling2D": "output_size=shape",
    "_contrib_BilinearResize2D": "height=int width=int scale_height=float? scale_width=float? "
    "mode=like|odd_scale|size|to_even_down|to_even_up|to_odd_down|to_odd_up align_corners=bool",
    "_contrib_SyncBatchNorm": f"{_NORM} ndev=int key=text!",
    "_split_v2": "indices=shape! axis=int squeeze_axis=bool sections=int",
    "add_n": "num_args=int",
    "amp_cast": f"dtype={_ANY_TYPE}!",
    "argmax": "axis=int? keepdims=bool",
    "argmin": "axis=int? keepdims=bool",
    "batch_dot": _PRODUCT,
    "broadcast_axis": "axis=shape size=shape",
    "broadcast_like": "lhs_axes=shape? rhs_axes=shape?",
    "broadcast_to": "shape=shape",
    "clip": "a_min=float! a_max=float!",
    "depth_to_space": "block_size=int!",
    "dot": _PRODUCT,
    "expand_dims": "axis=int!",
    "hard_sigmoid": "alpha=float beta=float",
    "log_softmax": _SOFTMAX,
    "norm": "ord=int axis=shape? out_dtype=float16|float32|float64|int32|int64|int8? keepdims=bool",
    "one_hot": f"depth=int! on_value=float off_value=float dtype={_ANY_TYPE}",
    "pick": "axis=int? keepdims=bool mode=clip|wrap",
    "repeat": "repeats=int! axis=int?",
    "reshape_like": "lhs_begin=int? lhs_end=int? rhs_begin=int? rhs_end=int?",
    "reverse": "axis=shape!",
    "slice": "begin=shape! end=shape! step=shape",
    "slice_axis": "axis=int! begin=int! end=int?!",
    "slice_like": "axes=shape",
    "smooth_l1": "scalar=float",
    "softmax": _SOFTMAX,
    "softmin": _SOFTMAX,
    "space_to_depth": "block_size=int!",
    "squeeze": "axis=shape?",
    "stack": "axis=int num_args=int!",
    "tile": "reps=shape!",
    "transpose": "axes=shape",
}
_TABLE |= dict.fromkeys(("max", "mean", "min", "nanprod", "nansum", "prod", "sum"), _REDUCTION)
_SIDES = ("div", "equal", "greater", "greater_equal", "lesser", "lesser_equal", "maximum")
_SIDES += ("minimum", "minus", "mod", "mul", "not_equal", "plus", "power", "rdiv", "rminus")
_SIDES += ("rmod", "rpower")
_TABLE |= {f"_{side}_scalar": _SCALAR for side in _SIDES}
_ALIASES = {
    "ElementWiseSum": "add_n",
    "broadcast_axes": "broadcast_axis",
    "cast": "Cast",
    "concat": "Concat",
    "crop": "slice",
    "flip": "reverse",
    "max_axis": "max",
    "min_axis": "min",
    "pad": "Pad",
    "reshape": "Reshape",
    "split": "SliceChannel",
    "sum_axis": "sum",
    "swapaxes": "SwapAxis",
}
_TABLE |= {alias: _TABLE[op] for alias, op in _ALIASES.items()}

_FREE = {"Custom"}  # what is passed on to a function of the user's own, as text
_HIDDEN = ("ctx_group", "lr_mult", "wd_mult", "force_mirroring", "mirror_stage")  # of old files
_LONGEST = 2000  # characters: a list of a few hundred sections
_NUMBER = r"[-+]?\d{1,10}"
_PATTERNS = {
    "int": re.compile(_NUMBER),
    "uint": re.compile(r"\d{1,10}"),
    "bool": re.compile(r"(?i:true|false)|0|1"),
    "float": re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?|[-+]?inf|nan"),
    "shape": re.compile(rf"[(\[]\s*((({_NUMBER}L?|None)\s*,\s*)*({_NUMBER}L?|None)\s*,?)?\s*[)\]]"),
    "text": re.compile(r"[ -~]*"),
}
_LARGEST_FLOAT, _SMALLEST_FLOAT = 3.4028235e38, 1.1754943e-38


def _kinds(text: str) -> dict[str, str]:
    return dict(entry.split("=") for entry in text.split())


ATTRIBUTES = {op: _kinds(text) for op, text in _TABLE.items()}
"""For each operator its attributes and their kinds."""


def check_attributes(op: str, attrs: Mapping[str, str]) -> None:
    """Refuse an operator's attribute that MXNet would not know or could not read.

    Parameters
    ----------
    op : str
        An operator by MXNet's own name of it.
    attrs : mapping of str to str
        As they stand in a file.

    Raises
    ------
    ModelFileError
        The message names the attribute.

    Examples
    --------
    >>> check_attributes("FullyConnected", {"num_hidden": "10", "no_bias": "True"})
    >>> check_attributes("FullyConnected", {"num_hidden": "many"})
    Traceback (most recent call last):
    ...
    diglot.errors.ModelFileError: its num_hidden is 'many', not int
    """
    if op in _FREE:
        return
    known = ATTRIBUTES.get(op, {})
    for key, value in attrs.items():
        if key.startswith("__") or key.endswith(_HIDDEN):
            continue
        if key not in known:
            raise ModelFileError(f"it has an attribute {key[:100]!r}, which MXNet does not know")
        kind = known[key].removesuffix("!")
        if not _fits(value, kind):
            raise ModelFileError(f"its {key} is {value[:100]!r}, not {kind}")
    for key, kind in known.items():
        if kind.endswith("!") and key not in attrs:
            raise ModelFileError(f"it lacks {key}")


def _fits(value: str, kind: str) -> bool:
    plain = kind.removesuffix("?")
    if value == "None" and kind.endswith("?"):
        return True
    if plain not in _PATTERNS:
        return value in plain.split("|")
    # A single number is a shape of one side.
    if plain == "shape" and _PATTERNS["int"].fullmatch(value):
        plain = "int"
    if len(value) > _LONGEST or not _PATTERNS[plain].fullmatch(value.strip()):
        return False
    if plain == "float":
        size = abs(float(value))
        written = any(digit in value for digit in "0123456789")  # not as inf or nan
        if not written:
            return not kind.endswith("?")  # which MXNet reads in another way
        return size == 0 or _SMALLEST_FLOAT <= size <= _LARGEST_FLOAT
    if plain in ("int", "uint", "shape"):
        return all(abs(int(n)) < 2**31 for n in re.findall(_NUMBER, value))
    return True
