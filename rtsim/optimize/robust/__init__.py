"""Robust: the patient does not lie exactly where the plan thinks; the cord's limit holds in stated positions."""

from rtsim.optimize.robust.displaced import displaced_beam, displaced_beams
from rtsim.optimize.robust.scenarios import Displacement, Scenarios

__all__ = ["Displacement", "Scenarios", "displaced_beam", "displaced_beams"]
