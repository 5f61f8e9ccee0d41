"""PyTorch: modules, eager execution."""

from handover import Run

run = Run("channels first")
with run.importing():
    import torch
    from torch import nn

torch.set_num_threads(run.threads)
torch.backends.cudnn.allow_tf32 = False
device = torch.device("cuda" if run.device == "gpu" else "cpu")


# ---- lenet
def lenet():
    return nn.Sequential(
        *(nn.Conv2d(1, 20, 5), nn.Tanh(), nn.MaxPool2d(2)),
        *(nn.Conv2d(20, 50, 5), nn.Tanh(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(800, 500), nn.Tanh(), nn.Linear(500, 10)),
    )


# ---- cnn
def cnn():
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)),
        *(nn.Conv2d(64, 64, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1024, 128), nn.Tanh(), nn.Linear(128, 6)),
    )


# ---- lstm
class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(28, 128, batch_first=True)
        self.dense = nn.Linear(128, 10)
        # cuDNN's LSTM has a second bias, which adds nothing.
        nn.init.zeros_(self.lstm.bias_hh_l0).requires_grad_(False)

    def forward(self, x):
        states, _ = self.lstm(x)
        return self.dense(states[:, -1])


# ---- all
net = {"lenet": lenet, "cnn": cnn, "lstm": Lstm}[run.network]().to(device)
free = [weight for weight in net.parameters() if weight.requires_grad]
with torch.no_grad():
    for weight, value in zip(free, run.weights.values()):
        weight.copy_(torch.from_numpy(value))
loss_function = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(free, lr=run.rate, momentum=run.momentum)


def step(images, labels):
    optimizer.zero_grad()
    loss = loss_function(net(images.to(device)), labels.to(device))
    loss.backward()
    optimizer.step()
    return loss.detach()


for batches in run.epochs():
    losses = [step(torch.from_numpy(x), torch.from_numpy(y).long()) for x, y in batches]
    run.epoch_done([loss.item() for loss in losses])

run.on(free[0].device)
with torch.no_grad():
    classes = [net(torch.from_numpy(x).to(device)).argmax(1).cpu() for x in run.test_batches()]
run.finish(classes, version=torch.__version__)
