"""Collapsed cone convolution: kernel, medium, TERMA, transport, and the engine in model.py."""

from rtsim.dose.collapsed_cone.model import CollapsedCone

__all__ = ["CollapsedCone"]
