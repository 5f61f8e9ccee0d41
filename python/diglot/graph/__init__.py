"""A model is a graph: MXNet's own JSON format as plain data, read and changed without MXNet.

:class:`Graph` holds the nodes, what the input must look like, and (once it has been trained or
loaded) the weights. :class:`diglot.builder.Builder` writes one.
"""

from diglot.graph.graph import BATCH_NORMS, COVARIATES, Graph
from diglot.graph.input_spec import InputSpec
from diglot.graph.nodes import Node, Parameter, Subgraph, count_nodes
from diglot.graph.rewriting import rewritten
from diglot.graph.shape_inference import (
    BATCH,
    InputTooSmallError,
    apply_control,
    apply_operator,
)
from diglot.graph.symbol import MOST_NODES, read_symbol

__all__ = [
    "BATCH",
    "BATCH_NORMS",
    "COVARIATES",
    "MOST_NODES",
    "Graph",
    "InputSpec",
    "InputTooSmallError",
    "Node",
    "Parameter",
    "Subgraph",
    "apply_control",
    "apply_operator",
    "count_nodes",
    "read_symbol",
    "rewritten",
]
