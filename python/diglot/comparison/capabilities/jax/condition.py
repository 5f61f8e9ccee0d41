"""JAX: a condition inside a graph."""

import jax
import jax.numpy as jnp
from problems import condition as given


@jax.jit
@jax.value_and_grad
def both(x):
    return jax.lax.cond(x.sum() > 0, lambda x: jnp.sin(x).sum(), lambda x: (x * x).sum(), x)


given.check(*zip(*(both(x) for x in given.xs)))
