"""PyTorch: a restricted Boltzmann machine by contrastive divergence, written out."""

import torch
from problems import rbm as given

torch.manual_seed(1)
W = torch.tensor(given.weights)
h_bias, v_bias = torch.zeros(given.hidden), torch.zeros(given.visible)
for v0 in map(torch.tensor, given.batches()):
    p0 = torch.sigmoid(v0 @ W.T + h_bias)
    v1 = torch.bernoulli(torch.sigmoid(torch.bernoulli(p0) @ W + v_bias))
    p1 = torch.sigmoid(v1 @ W.T + h_bias)
    W += given.rate * (p0.T @ v0 - p1.T @ v1) / len(v0)
    h_bias += given.rate * (p0 - p1).mean(0)
    v_bias += given.rate * (v0 - v1).mean(0)
given.check(W, h_bias, v_bias)
