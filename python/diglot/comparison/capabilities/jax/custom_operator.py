"""JAX: a new operator in Python, with its gradient, inside a graph."""

import jax
from problems import custom_operator as given


@jax.custom_vjp
def rounded(x):
    return jax.pure_callback(lambda x: given.forward(jax.device_get(x)), x, x)


def forward(x):
    return rounded(x), x


def backward(x, pull):
    return (jax.pure_callback(lambda *both: given.backward(*jax.device_get(both)), x, pull, x),)


rounded.defvjp(forward, backward)


@jax.jit
def both(x, pull):
    output, pull_back = jax.vjp(rounded, x)
    return output, *pull_back(pull)


given.check(*both(given.x, given.pull))
