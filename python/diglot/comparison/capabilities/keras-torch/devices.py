"""Keras on PyTorch: training on two devices, each in a process of its own, by PyTorch's means."""

import os
import tempfile

import keras
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from problems import devices as given


def train(rank, file, results):
    dist.init_process_group("gloo", init_method="file://" + file, rank=rank, world_size=2)
    layer = keras.layers.Dense(1, use_bias=False)
    model = keras.Sequential([keras.Input((3,)), layer])
    model.set_weights([given.w[:, None]])
    parallel = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=given.rate)
    mine = slice(4 * rank, 4 * rank + 4)
    x, y = torch.tensor(given.x[mine]), torch.tensor(given.y[mine])
    for _ in range(2):
        optimizer.zero_grad()
        ((parallel(x)[:, 0] - y) ** 2).mean().backward()  # gradients are averaged over the devices
        optimizer.step()
    results[rank] = layer.get_weights()[0]
    dist.destroy_process_group()


if __name__ == "__main__":
    with mp.Manager() as manager:
        results = manager.dict()
        file = os.path.join(tempfile.mkdtemp(), "meeting")
        mp.spawn(train, (file, results), nprocs=2)
        given.check(results[0], list(results))
