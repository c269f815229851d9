"""Conventional plans: a few conformal fields with wedges or subfields, planned forward and weighted; and the emergency
field in one call.

    settings.py       the arrangements, and how fields are made
    fields.py         a field, its open aperture and its subfields, and what each of them gives the patient
    weighting.py      the convex problem whose unknowns are the shares of the segments
    subfields.py      field-in-field: which rays of a field to shield, seen from its source
    search.py         what is tried and compared: arrangements, wedges, subfields
    normalization.py  factor on all monitor units: the reference dose, and hard limits
    sentences.py      what the report says of it
    planner.py        plan_conventional

    open_fields.py       emergency: open PA or AP/PA fields in one call
    reference_point.py   where they are prescribed to, how deep, how large
    hand_calculation.py  their monitor units from a water tank
    sheet.py             what is set at the machine
"""

from rtsim.optimize.conventional.open_fields import emergency
from rtsim.optimize.conventional.planner import plan_conventional
from rtsim.optimize.conventional.reference_point import PrescribedTo
from rtsim.optimize.conventional.settings import ConventionalSettings, FieldArrangement

__all__ = ["ConventionalSettings", "FieldArrangement", "PrescribedTo", "emergency", "plan_conventional"]
