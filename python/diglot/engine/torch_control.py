"""MXNet's loops and branches in PyTorch: plain ones of Python, whose steps are remembered."""

from __future__ import annotations

from diglot.engine.torch import load
from diglot.engine.torch_mode import Bodies, Function, Tensor
from diglot.operators import Attrs
from diglot.subgraphs import places

torch = load()


def foreach(attrs: Attrs, bodies: Bodies) -> Function:
    """Go along the first axis of the data; states are handed from step to step."""
    kinds = [places(attrs, f"{key}_locs") for key in ("in_data", "in_state", "remain")]
    order, outs = [p for kind in kinds for p in kind], attrs.whole("num_out_data", least=0)
    slices, states = len(kinds[0]), len(kinds[1])

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        data, kept = inputs[:slices], list(inputs[slices : slices + states])
        rest = inputs[slices + states :]
        said = []
        for step in range(data[0].shape[0]):
            given = [None] * len(inputs)
            mine = [*(x[step] for x in data), *kept, *rest]
            for place, value in zip(order, mine, strict=True):
                given[place] = value
            found = bodies[0](given)
            said.append(found[:outs])
            kept = found[outs:]
        return (*(torch.stack(steps) for steps in zip(*said, strict=True)), *kept)

    return run


def while_loop(attrs: Attrs, bodies: Bodies) -> Function:
    """Go on as long as a condition holds, at most so many steps."""
    asked, taken = places(attrs, "cond_input_locs"), places(attrs, "func_input_locs")
    variables, outs = places(attrs, "func_var_locs"), attrs.whole("num_out_data", least=0)
    most = attrs.whole("max_iterations")

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        values, said = list(inputs), []
        while len(said) < most and bool(bodies[0]([values[i] for i in asked])[0] != 0):
            found = bodies[1]([values[i] for i in taken])
            said.append(found[:outs])
            for place, value in zip(variables, found[outs:], strict=True):
                values[taken[place]] = value
        ends = [values[taken[place]] for place in variables]
        if not outs:
            return tuple(ends)
        if not said:  # of no step there is no shape but the one that a step would have
            said.append([torch.zeros_like(x) for x in bodies[1]([values[i] for i in taken])[:outs]])
        said += [[torch.zeros_like(x) for x in said[0]]] * (most - len(said))
        return (*(torch.stack(steps) for steps in zip(*said, strict=True)), *ends)

    return run


def cond(attrs: Attrs, bodies: Bodies) -> Function:
    """Compute one of two bodies, as a condition says."""
    asked, yes, no = (places(attrs, f"{key}_input_locs") for key in ("cond", "then", "else"))

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        holds = bool(bodies[0]([inputs[i] for i in asked])[0] != 0)
        body, mine = (bodies[1], yes) if holds else (bodies[2], no)
        return tuple(body([inputs[i] for i in mine]))

    return run


CONTROL_MAKERS = {"_foreach": foreach, "_while_loop": while_loop, "_cond": cond}
