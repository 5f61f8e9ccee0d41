"""diglot on MXNet: a restricted Boltzmann machine by contrastive divergence."""

import numpy as np
from diglot import RBM
from problems import rbm as given

rows = np.concatenate(list(given.batches(300))).reshape(-1, 3, 4)
machine = RBM(given.hidden, k=1, epochs=5, batch_size=20, seed=1, verbose=False).fit(rows)
given.check(machine.components_, machine.intercept_hidden_, machine.intercept_visible_)
