"""What a restricted Boltzmann machine computes, as graphs that share its three parameters.

With visible units v, hidden units h, weights W (hidden, visible) and biases a, b, its energy is
E(v, h) = U(v) - b'h - h'Wv, where U(v) = -a'v for binary and |v - a|^2 / 2 for Gaussian units.
Summed over h, that leaves the free energy F(v) = U(v) - sum log(1 + exp(b + Wv)), and
p(v) = exp(-F(v)) / Z (Smolensky, 1986; Welling, Rosen-Zvi and Hinton, 2004).

Pixels are counted row by row, channels last: the columns of W lie as pixels in an array.
"""

from __future__ import annotations

import math

from diglot.builder import Builder, Tensor
from diglot.graph import Graph, InputSpec

VISIBLE = ("binary", "gaussian")
PARAMETERS = ("weight", "hidden_bias", "visible_bias")
_LARGEST_BLOCK = 1 << 24  # numbers that pseudo-likelihood computes with at a time, for 16 images


class _Machine:
    """Writes the parts of the graphs below, all on the same parameters."""

    def __init__(self, b: Builder, pixels: int, n_hidden: int, visible: str) -> None:
        self.b, self.pixels, self.n_hidden, self.visible = b, pixels, n_hidden, visible
        self.weight = b.parameter("weight", (n_hidden, pixels), init="normal 0.01")
        self.hidden_bias = b.parameter("hidden_bias", (n_hidden,), kind="bias")
        self.visible_bias = b.parameter("visible_bias", (1, pixels), kind="bias")

    def pixels_of_data(self) -> Tensor:
        """Return the image as one vector."""
        return flat_image(self.b)

    def drive(self, v: Tensor, name: str) -> Tensor:
        """Return b + Wv."""
        shared = {"weight": self.weight, "bias": self.hidden_bias}
        return self.b.add(
            "FullyConnected", v, name=f"{name}_drive", shared=shared, num_hidden=self.n_hidden
        )

    def hidden(self, v: Tensor, name: str) -> Tensor:
        """Return the probability that each hidden unit is on."""
        return self.b.add("Activation", self.drive(v, name), name=name, act_type="sigmoid")

    def mean(self, h: Tensor, name: str) -> Tensor:
        """Return the mean of each visible unit, given the hidden ones."""
        back = self.b.add("dot", h, self.weight, name=f"{name}_back")
        driven = self.b.add("broadcast_add", back, self.visible_bias, name=f"{name}_driven")
        if self.visible == "gaussian":
            return driven
        return self.b.add("Activation", driven, name=name, act_type="sigmoid")

    def free_energy(self, v: Tensor, name: str) -> Tensor:
        """Return F(v), one number a row."""
        b = self.b
        soft = b.add("Activation", self.drive(v, name), name=f"{name}_soft", act_type="softrelu")
        soft = b.add("sum", soft, name=f"{name}_of_hidden", axis=1, keepdims=True)
        if self.visible == "gaussian":
            off = b.add("broadcast_sub", v, self.visible_bias, name=f"{name}_off")
            off = b.add("square", off, name=f"{name}_squares")
            own = b.add("sum", off, name=f"{name}_own", axis=1, keepdims=True)
            own = b.add("_mul_scalar", own, name=f"{name}_half", scalar=0.5)
        else:
            shared = {"weight": self.visible_bias}
            own = b.add(
                *("FullyConnected", v),
                name=f"{name}_own",
                shared=shared,
                num_hidden=1,
                no_bias=True,
            )
            own = b.add("negative", own, name=f"{name}_minus")
        return b.add("elemwise_sub", own, soft, name=name)

    def reconstruction(self, v: Tensor) -> Tensor:
        """Return the pixels that the hidden units' probabilities stand for."""
        return self.mean(self.hidden(v, "told"), "reconstruction")

    def error(self, v: Tensor, told: Tensor) -> Tensor:
        """Return the mean squared difference of pixels from what is told of them."""
        missed = self.b.add("elemwise_sub", v, told, name="missed")
        missed = self.b.add("square", missed, name="missed_squares")
        return self.b.add("mean", missed, name="reconstruction_error", axis=1, keepdims=True)


def flat_image(b: Builder) -> Tensor:
    """Return the image as one vector, channels last."""
    channels, height, width = b.spec.shape
    x = b.data
    if channels > 1:
        x = b.add("transpose", x, name="channels_last", axes=(0, 2, 3, 1))
    return b.add("Flatten", x, name="pixels")


def pixels_of(spec: InputSpec) -> int:
    """Return how many visible units an input has."""
    return math.prod(spec.shape)


def machine_graph(spec: InputSpec, n_hidden: int, visible: str) -> Graph:
    """Return the machine as a network: hidden units' probabilities, then the free energy."""
    b = Builder(spec)
    machine = _Machine(b, pixels_of(spec), n_hidden, visible)
    v = machine.pixels_of_data()
    hidden = machine.hidden(v, "hidden")
    return b.graph("rbm", hidden, machine.free_energy(v, "free_energy"), features=hidden)


def gibbs_graph(spec: InputSpec, n_hidden: int, visible: str) -> Graph:
    """Return one step of Gibbs sampling: new pixels, and their means.

    Its inputs are ``visible``, the pixels so far, and what chance decides: ``chance_hidden`` are
    numbers evenly over [0, 1), ``chance_visible`` as well, or normal for Gaussian units.
    """
    b, pixels = Builder(spec, images=False), pixels_of(spec)
    machine = _Machine(b, pixels, n_hidden, visible)
    v = b.input("visible", (pixels,))
    chance = b.input("chance_hidden", (n_hidden,)), b.input("chance_visible", (pixels,))
    on = b.add("_lesser", chance[0], machine.hidden(v, "hidden"), name="on")
    mean = machine.mean(on, "mean")
    draw = "elemwise_add" if visible == "gaussian" else "_lesser"
    return b.graph("rbm sampling", b.add(draw, chance[1], mean, name="drawn"), mean)


def training_graph(spec: InputSpec, n_hidden: int, visible: str) -> Graph:
    """Return the graph whose loss has the gradient of contrastive divergence.

    The loss of a row is F(data) - F(sample). What the machine dreams comes in as the input
    ``sample``, so that no gradient goes through the drawing of it (Hinton, 2002; Tieleman, 2008).
    """
    b = Builder(spec)
    machine = _Machine(b, pixels_of(spec), n_hidden, visible)
    v = machine.pixels_of_data()
    seen = machine.free_energy(v, "seen")
    dreamt = machine.free_energy(b.input("sample", (pixels_of(spec),)), "dreamt")
    loss = b.add("elemwise_sub", seen, dreamt, name="loss")
    return b.graph("rbm in training", loss, machine.error(v, machine.reconstruction(v)))


def judging_graph(spec: InputSpec, n_hidden: int, visible: str) -> Graph:
    """Return free energy, reconstruction error and reconstruction of images."""
    b = Builder(spec)
    machine = _Machine(b, pixels_of(spec), n_hidden, visible)
    v = machine.pixels_of_data()
    energy, told = machine.free_energy(v, "free_energy"), machine.reconstruction(v)
    return b.graph("rbm judging", energy, machine.error(v, told), told)


def pseudo_likelihood_graph(spec: InputSpec, n_hidden: int) -> Graph:
    """Return the logarithm of the pseudo-likelihood, of binary units.

    That is the sum over pixels of log p(pixel | all others) (Besag, 1975), which is
    log s(F(flipped) - F(v)) with that pixel flipped and s the logistic function. Flipping pixel i
    moves b + Wv by (1 - 2 v_i) W_i, so that no free energy is computed anew.
    """
    b, pixels = Builder(spec), pixels_of(spec)
    machine = _Machine(b, pixels, n_hidden, "binary")
    v = machine.pixels_of_data()
    drive = machine.drive(v, "hidden")
    soft = b.add("Activation", drive, name="soft", act_type="softrelu")
    before = b.add("sum", soft, name="before", axis=1, keepdims=True)
    drive = b.add("expand_dims", drive, name="drive_once", axis=1)
    turned = b.add("transpose", machine.weight, name="turned", axes=(1, 0))
    turned = b.add("expand_dims", turned, name="turned_once", axis=0)
    doubled = b.add("_mul_scalar", v, name="doubled", scalar=2.0)
    flip = b.add("_rminus_scalar", doubled, name="flip", scalar=1.0)
    own = b.add("broadcast_mul", flip, machine.visible_bias, name="own")
    step = max(1, _LARGEST_BLOCK // (16 * n_hidden))
    parts = []
    for start in range(0, pixels, step):
        cut = {"axis": 1, "begin": start, "end": min(start + step, pixels)}
        rows = b.add("slice_axis", turned, name=f"rows{start}", **cut)
        by = b.add("slice_axis", flip, name=f"by{start}", **cut)
        by = b.add("expand_dims", by, name=f"by_once{start}", axis=2)
        moved = b.add("broadcast_mul", by, rows, name=f"moves{start}")
        moved = b.add("broadcast_add", moved, drive, name=f"moved{start}")
        moved = b.add("Activation", moved, name=f"soft{start}", act_type="softrelu")
        after = b.add("sum", moved, name=f"after{start}", axis=2)
        gained = b.add("broadcast_sub", after, before, name=f"gained{start}")
        mine = b.add("slice_axis", own, name=f"own{start}", **cut)
        gained = b.add("elemwise_add", gained, mine, name=f"gain{start}")
        lost = b.add("Activation", gained, name=f"lost{start}", act_type="softrelu")
        parts.append(b.add("sum", lost, name=f"part{start}", axis=1, keepdims=True))
    total = parts[0]
    if len(parts) > 1:
        total = b.add("add_n", *parts, name="parts", num_args=len(parts))
    return b.graph("rbm pseudo-likelihood", b.add("negative", total, name="log_likelihood"))
