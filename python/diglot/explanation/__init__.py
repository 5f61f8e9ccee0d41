"""Where in an image a network sees what it says: Grad-CAM, integrated gradients, occlusion.

Each method takes a `Graph` with weights and images, and returns a `Saliency`.
"""

from diglot.explanation.grad_cam import grad_cam
from diglot.explanation.integrated_gradients import integrated_gradients
from diglot.explanation.occlusion import occlusion
from diglot.explanation.saliency import METHODS, Saliency

__all__ = ["METHODS", "Saliency", "grad_cam", "integrated_gradients", "occlusion"]
