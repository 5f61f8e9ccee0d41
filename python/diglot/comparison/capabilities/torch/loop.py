"""PyTorch: a loop inside an exported graph; a prototype, whose import is private."""

import torch
from problems import loop as given
from torch._higher_order_ops.while_loop import while_loop


class Root(torch.nn.Module):
    def forward(self, a):
        def goes_on(x, count):
            return (x * x - a).abs() >= 1e-3 * a

        def step(x, count):
            return (x + a / x) / 2, count + 1

        return while_loop(goes_on, step, (a.clone(), torch.zeros((), dtype=torch.int64)))


graph = torch.export.export(Root(), (torch.tensor(3.0),)).module()
roots, steps = zip(*(graph(torch.tensor(a)) for a in given.numbers))
given.check(roots, steps)
