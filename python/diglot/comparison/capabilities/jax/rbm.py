"""JAX: a restricted Boltzmann machine by contrastive divergence, written out."""

import jax
import jax.numpy as jnp
from jax.nn import sigmoid
from problems import rbm as given


@jax.jit
def step(weights, v0, key):
    W, h_bias, v_bias = weights
    first, second = jax.random.split(key)
    p0 = sigmoid(v0 @ W.T + h_bias)
    h0 = jax.random.bernoulli(first, p0).astype(jnp.float32)
    v1 = jax.random.bernoulli(second, sigmoid(h0 @ W + v_bias)).astype(jnp.float32)
    p1 = sigmoid(v1 @ W.T + h_bias)
    changes = (p0.T @ v0 - p1.T @ v1) / len(v0), (p0 - p1).mean(0), (v0 - v1).mean(0)
    return [weight + given.rate * change for weight, change in zip(weights, changes)]


weights = [given.weights, jnp.zeros(given.hidden), jnp.zeros(given.visible)]
key = jax.random.key(1)
for number, rows in enumerate(given.batches()):
    weights = step(weights, rows, jax.random.fold_in(key, number))
given.check(*weights)
