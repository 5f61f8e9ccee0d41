"""Boltzmann machines: ``RBM``, and ``DBN``, which stacks them for a network to begin from."""

from diglot.boltzmann.deep import DBN
from diglot.boltzmann.machine import RBM

rbm, dbn = RBM, DBN  # as R calls them

__all__ = ["DBN", "RBM", "dbn", "rbm"]
