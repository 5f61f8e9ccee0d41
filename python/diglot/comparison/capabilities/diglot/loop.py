"""diglot on MXNet: a loop inside a network."""

from diglot.builder import Builder
from diglot.control_flow import while_loop
from diglot.engine import open_executor
from diglot.graph import InputSpec
from problems import loop as given


def goes_on(inner, values):
    x, _, a = values
    wrong = inner.add("elemwise_sub", inner.add("square", x, name="square"), a, name="wrong")
    share = inner.add("elemwise_div", inner.add("abs", wrong, name="size"), a, name="share")
    return inner.add(
        "_greater_equal_scalar", inner.add("max", share, name="most"), name="is", scalar=1e-3
    )


def step(inner, values):
    x, count, a = values
    total = inner.add("elemwise_add", x, inner.add("elemwise_div", a, x, name="over"), name="total")
    count = inner.add("_plus_scalar", count, name="counted", scalar=1)
    return (
        inner.add("_mul_scalar", total, name="half", scalar=0.5),
        count,
        inner.add("_copy", a, name="kept"),
    )


b = Builder(InputSpec(1, 1, 1))
none = b.add("_mul_scalar", b.data, name="none", scalar=0)
x, count, _ = while_loop(b, goes_on, step, [b.data, none, b.data], most=100, name="root")
run = open_executor(b.graph("root", x, count).with_weights({})).outputs
found = [run({"data": a.reshape(1, 1, 1, 1)}) for a in given.numbers]
roots, steps = ([float(both[part].item()) for both in found] for part in (0, 1))
given.check(roots, steps)
