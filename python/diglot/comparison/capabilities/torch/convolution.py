"""PyTorch: a convolution."""

import torch
from problems import convolution as given

filters = torch.tensor(given.filters, requires_grad=True)
output = torch.nn.functional.conv2d(torch.tensor(given.images), filters)
(output * torch.tensor(given.pull)).sum().backward()
given.check(output.detach(), filters.grad)
