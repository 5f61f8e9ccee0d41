"""The framework comparison: each framework in its own process and environment, on equal terms."""

from diglot.comparison.capability import FrameworkCapabilities, check_capabilities
from diglot.comparison.frameworks import FRAMEWORKS, Framework
from diglot.comparison.result import FrameworkComparison
from diglot.comparison.study import compare_frameworks

__all__ = [
    "FRAMEWORKS",
    "Framework",
    "FrameworkCapabilities",
    "FrameworkComparison",
    "check_capabilities",
    "compare_frameworks",
]
