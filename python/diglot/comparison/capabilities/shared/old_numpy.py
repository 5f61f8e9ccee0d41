"""Names that numpy 1.24 took away, and that MXNet 1.9.1 still looks for: import this before it."""

import numpy as np

for name, value in {"bool": bool, "int": int, "float": float, "object": object}.items():
    if name not in np.__dict__:
        setattr(np, name, value)
