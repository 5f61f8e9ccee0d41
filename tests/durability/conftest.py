"""Where these tests run: they look into /proc, mount file systems and send signals."""

from __future__ import annotations

import sys

collect_ignore_glob = [] if sys.platform == "linux" else ["*.py"]
