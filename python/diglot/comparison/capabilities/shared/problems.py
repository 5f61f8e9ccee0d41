"""The problems that all frameworks solve alike, and their answers by numpy in double precision.

A script is the row of one framework: ``framework/row.py``. It takes a problem's inputs, solves it
in the idiom of its framework, and hands the answer to ``check``, which raises where it is wrong.
This file needs Python 3.6 and numpy alone, as the oldest frameworks run with nothing newer.
"""

import numpy as np

DRAW = np.random.RandomState(7)


def near(found, expected, what, tolerance=1e-4):
    """Raise unless numbers are those expected, up to a share of the largest."""
    found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    if found.shape != expected.shape:
        raise AssertionError("%s has shape %s, not %s" % (what, found.shape, expected.shape))
    most = np.abs(found - expected).max() / np.abs(expected).max()
    if not most <= tolerance:
        raise AssertionError("%s is wrong by %.2g of its largest value" % (what, most))


def single(*shape):
    """Return drawn numbers in single precision."""
    return DRAW.normal(size=shape).astype(np.float32)


def slopes(function, x, step=1e-6):
    """Return the gradient of a number by x, from central differences."""
    x = x.astype(float)
    found = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        ends = []
        for move in (step, -step):
            moved = x.copy()
            moved[place] += move
            ends.append(function(moved))
        found[place] = (ends[0] - ends[1]) / (2 * step)
    return found


class autodiff:
    """The gradients of sum(tanh(W x)^2) by W and x."""

    W, x = single(4, 3), single(3)

    @classmethod
    def check(cls, by_W, by_x):
        t = np.tanh(cls.W.astype(float).dot(cls.x))
        inner = 2 * t * (1 - t**2)
        near(by_W, np.outer(inner, cls.x), "the gradient by W")
        near(by_x, cls.W.T.astype(float).dot(inner), "the gradient by x")


class convolution:
    """Images (n, c, h, w) by filters (out, in, h, w), not turned around.

    And the gradient of sum(output * pull) by the filters.
    """

    images, filters, pull = single(2, 3, 8, 9), single(4, 3, 3, 2), single(2, 4, 6, 8)

    @classmethod
    def output(cls, filters):
        found = np.zeros(cls.pull.shape)
        for i in range(6):
            for j in range(8):
                patch = cls.images[:, :, i : i + 3, j : j + 2].astype(float)
                found[:, :, i, j] = np.einsum("nchw,ochw->no", patch, filters)
        return found

    @classmethod
    def check(cls, output, by_filters):
        near(output, cls.output(cls.filters), "the output")
        expected = slopes(lambda filters: (cls.output(filters) * cls.pull).sum(), cls.filters)
        near(by_filters, expected, "the gradient by the filters")


class recurrence:
    """The last state of a long short-term memory over x (n, time, features).

    And the gradient of its sum by x. Weights are (gates, in), the gates in the order input,
    forget, candidate, output.
    """

    units = 4
    x = single(2, 5, 3)
    by_input, recurrent, bias = single(16, 3), single(16, 4), single(16)

    @classmethod
    def state(cls, x):
        h = c = np.zeros((2, 4))
        for t in range(5):
            gates = x[:, t].dot(cls.by_input.T) + h.dot(cls.recurrent.T) + cls.bias
            i, f, g, o = np.split(gates, 4, axis=1)
            c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            h = np.tanh(c) / (1 + np.exp(-o))
        return h

    @classmethod
    def check(cls, state, by_x):
        near(state, cls.state(cls.x), "the last state")
        near(by_x, slopes(lambda x: cls.state(x).sum(), cls.x), "the gradient by x")


class rbm:
    """A restricted Boltzmann machine is to learn two patterns.

    Noise turns one bit in twenty. Its weights are (hidden, visible); ``batches()`` yields rows of
    bits.
    """

    hidden, visible, rate = 4, 12, 0.1
    patterns = np.array([[1, 1, 0, 1, 0, 0] * 2, [0, 0, 1, 1, 1, 0] * 2], np.float32)
    weights = 0.1 * single(4, 12)

    @classmethod
    def batches(cls, count=1500, rows=20):
        draw = np.random.RandomState(3)
        for _ in range(count):
            bits = cls.patterns[draw.randint(0, 2, rows)]
            yield np.abs(bits - (draw.uniform(size=bits.shape) < 0.05)).astype(np.float32)

    @classmethod
    def check(cls, weights, hidden_bias, visible_bias):
        weights, hidden_bias, visible_bias = (
            np.asarray(part, dtype=float) for part in (weights, hidden_bias, visible_bias)
        )

        def energy(v):  # the free energy: what is likely has little of it
            inner = v.dot(np.transpose(weights)) + hidden_bias
            return -v.dot(visible_bias) - np.logaddexp(0, inner).sum(axis=1)

        everything = np.array([[n >> bit & 1 for bit in range(12)] for n in range(2**12)], float)
        lowest = energy(everything).min()
        log_sum = lowest * -1 + np.log(np.exp(lowest - energy(everything)).sum())
        share = np.exp(-energy(cls.patterns) - log_sum).sum()
        # Half of the rows have no bit turned around: 0.95^12 = 0.54. Of all rows these are 0.05 %.
        if not 0.3 < share < 0.8:
            raise AssertionError("the patterns have a share of %.3f, not about 0.54" % share)


class custom_operator:
    """Rounding to quarters by numpy, with the gradient of a clip: 1 within [-1, 1], else 0."""

    x = np.array([-1.7, -0.9, -0.3, 0.2, 0.6, 1.4], np.float32)
    pull = np.array([1, -2, 3, 4, -5, 6], np.float32)

    @staticmethod
    def forward(x):
        return (np.round(x * 4) / 4).astype(np.float32)

    @staticmethod
    def backward(pull, x):
        return (pull * (np.abs(x) <= 1)).astype(np.float32)

    @classmethod
    def check(cls, output, by_x):
        near(output, [-1.75, -1.0, -0.25, 0.25, 0.5, 1.5], "the output")
        near(by_x, [0, -2, 3, 4, -5, 0], "the gradient")


class loop:
    """Newton's square root: from x = a, x = (x + a / x) / 2 until |x^2 - a| < 0.001 a.

    One graph for all numbers: how many steps it takes depends on the number.
    """

    numbers = np.array([2.0, 2e6], np.float32)

    @classmethod
    def check(cls, roots, steps):
        near(roots, np.sqrt(cls.numbers), "the roots", 1e-3)
        expected = []
        for a in cls.numbers.astype(float):
            x, count = a, 0
            while abs(x * x - a) >= 1e-3 * a:
                x, count = (x + a / x) / 2, count + 1
            expected.append(count)
        near(steps, expected, "the number of steps", 0)


class condition:
    """Where sum(x) > 0 the sum of sin(x), else of x^2; and the gradient. One graph for both."""

    xs = (np.array([0.5, 2.0, -1.0], np.float32), np.array([0.5, -2.0, 1.0], np.float32))

    @classmethod
    def check(cls, values, gradients):
        up, down = (x.astype(float) for x in cls.xs)
        near(values, [np.sin(up).sum(), (down**2).sum()], "the value")
        near(gradients, [np.cos(up), 2 * down], "the gradient")


def field(tag, value):
    """Return a field of a message in the format of protocol buffers, which files are made of."""
    if isinstance(value, int):
        return varint(tag << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(tag << 3 | 2) + varint(len(value)) + value


def varint(number):
    """Return a whole number, seven bits a byte."""
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


class onnx_file:
    """A file in ONNX's format: of images (n, 1, 2, 2), flattened, relu(W x + b)."""

    W, b, x = single(3, 4), single(3), single(2, 1, 2, 2)

    @classmethod
    def write(cls, path):
        def tensor(name, array):
            dims = b"".join(field(1, n) for n in array.shape)
            return field(5, dims + field(2, 1) + field(8, name) + field(9, array.tobytes()))

        def value(tag, name, shape):
            dims = b"".join(field(1, field(1, n)) for n in shape)
            kind = field(1, field(1, 1) + field(2, dims))
            return field(tag, field(1, name) + field(2, kind))

        attribute = field(5, field(1, "transB") + field(3, 1) + field(20, 2))
        flat = field(1, "x") + field(2, "f") + field(4, "Flatten")
        gemm = b"".join(field(1, name) for name in "fWb") + field(2, "z") + field(4, "Gemm")
        relu = field(1, "z") + field(2, "y") + field(4, "Relu")
        graph = field(1, flat) + field(1, gemm + attribute) + field(1, relu) + field(2, "small")
        graph += tensor("W", cls.W) + tensor("b", cls.b)
        # Early readers want weights among the inputs, too.
        graph += value(11, "W", cls.W.shape) + value(11, "b", cls.b.shape)
        graph += value(11, "x", cls.x.shape) + value(12, "y", (2, 3))
        model = field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13))
        with open(path, "wb") as file:
            file.write(model)

    @classmethod
    def check(cls, output):
        flat = cls.x.astype(float).reshape(2, 4)
        near(output, np.maximum(flat.dot(cls.W.T) + cls.b, 0), "the output")


class caffe_file(onnx_file):
    """The same network in Caffe's format: its structure as text, its weights in another file."""

    STRUCTURE = """
        name: "small"
        layer {
          name: "data" type: "Input" top: "data"
          input_param { shape { dim: 2 dim: 1 dim: 2 dim: 2 } }
        }
        layer {
          name: "line" type: "InnerProduct" bottom: "data" top: "line"
          inner_product_param { num_output: 3 }
        }
        layer { name: "relu" type: "ReLU" bottom: "line" top: "line" }
    """

    @classmethod
    def write(cls, structure, weights):
        def blob(array):
            shape = field(7, field(1, b"".join(map(varint, array.shape))))
            return field(7, shape + field(5, array.tobytes()))

        layer = field(1, "line") + field(2, "InnerProduct") + blob(cls.W) + blob(cls.b)
        with open(structure, "w") as file:
            file.write(cls.STRUCTURE)
        with open(weights, "wb") as file:
            file.write(field(1, "small") + field(100, layer))


class devices:
    """Two steps of gradient descent on a linear model's mean squared error.

    Each device has half of the batch.
    """

    x, y, w, rate = single(8, 3), single(8), single(3), 0.1

    @classmethod
    def check(cls, w, used):
        expected = cls.w.astype(float)
        for _ in range(2):
            wrong = cls.x.dot(expected) - cls.y
            expected = expected - cls.rate * 2 * cls.x.T.dot(wrong) / 8
        near(np.reshape(w, -1), expected, "the weight")
        if len(set(map(str, used))) < 2:
            raise AssertionError("only one device was used: %s" % (used,))
