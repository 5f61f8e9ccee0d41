"""What is known of an operator, and what many operators share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from diglot.errors import ModelFileError
from diglot.operators.attrs import Attrs, Shape


@dataclass(frozen=True)
class Slot:
    """A parameter that an operator takes: its name's ending, shape, and role."""

    suffix: str
    shape: Shape
    kind: str  # "weight", "bias", "scale", "shift", "mean", "variance"

    @property
    def auxiliary(self) -> bool:
        """Whether MXNet keeps it as a statistic instead of learning it."""
        return self.kind in ("mean", "variance")


@dataclass(frozen=True)
class Operator:
    """The rules of one operator.

    ``shapes(attrs, inputs)`` gives the outputs' shapes from the data inputs' shapes,
    ``slots(attrs, inputs)`` the parameters it takes after them, ``macs`` the multiply-adds of
    one entry of its output's first axis.
    ``data_inputs`` is how many inputs are data (None: all), ``takes`` how many of these there must
    be (None: as many as its attribute ``num_args`` says, or as its own rule).
    """

    shapes: Callable[[Attrs, Sequence[Shape]], list[Shape]]
    slots: Callable[[Attrs, Sequence[Shape]], list[Slot]]
    macs: Callable[[Attrs, Sequence[Shape], Shape], int]
    data_inputs: int | None = None
    takes: int | None = None


def _no_slots(attrs: Attrs, inputs: Sequence[Shape]) -> list[Slot]:
    return []


def _no_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return 0


def same(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    """Return the shape of the first input."""
    return [inputs[0]]


def rule(
    shapes: Callable = same,
    slots: Callable = _no_slots,
    macs: Callable = _no_macs,
    data: int | None = None,
    takes: int | None = 1,
) -> Operator:
    """Return an operator's rules; what is not given is that of most."""
    return Operator(shapes, slots, macs, data, takes)


def each(names: str, rule: Operator) -> dict[str, Operator]:
    """Return the same rules under several names."""
    return dict.fromkeys(names.split(), rule)


def with_bias(attrs: Attrs, weight: Shape, width: int, no_bias: bool = False) -> list[Slot]:
    """Return a weight, and its bias unless the operator is told to have none."""
    slots = [Slot("weight", weight, "weight"), Slot("bias", (width,), "bias")]
    return slots[:1] if attrs.flag("no_bias", no_bias) else slots


def check_count(attrs: Attrs, inputs: Sequence[Shape]) -> None:
    """Refuse an operator of any number of inputs that has others than it says."""
    count = attrs.whole("num_args")
    if count != len(inputs):
        raise ModelFileError(f"its num_args is {count}, and it has {len(inputs)} inputs")


def equal(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    """Return the shape that all inputs have."""
    if any(shape != inputs[0] for shape in inputs):
        told = " and ".join(str(shape[1:]) for shape in inputs)
        raise ModelFileError(f"the shapes {told} differ where they must be equal")
    return [inputs[0]]


def equal_in_number(attrs: Attrs, inputs: Sequence[Shape]) -> list[Shape]:
    """Return the shape that all inputs have, of which there are as many as it says."""
    check_count(attrs, inputs)
    return equal(attrs, inputs)
