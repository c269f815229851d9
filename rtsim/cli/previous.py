"""The earlier course that ``rtsim run`` is told of, and the protocol that holds what it left."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from rtsim.clinic.reirradiation import (
    BUDGET_LIMITS,
    PRV_LIMITS,
    PreviousCourse,
    RigidShift,
    scheme_of,
    with_remaining_budget,
)
from rtsim.errors import InputError
from rtsim.io.case import Case
from rtsim.io.previous_dose import read_previous
from rtsim.phantom.phantom import Phantom
from rtsim.protocol import Protocol

NONE: Final = "none"
"""Says that the previous course of a case is to be left out."""
_LIKE_A_SCHEME: Final = re.compile(r"[\d.\s]+(?:Gy)?\s*[/xX]\s*\d+\s*")
_ABOUT_A_DOSE: Final = ("previous_fractions", "shift")


def check_previous(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be, before anything slow is done.

    Raises:
        InputError: options of --previous without it, of a dose for a scheme, a scheme or shift that is none, a negative
            interval, or none at all.
    """
    given = [n for n in ("months_ago", "previous_percent", *_ABOUT_A_DOSE) if getattr(arguments, n, None) is not None]
    word = getattr(arguments, "previous", None)
    if word is None and [n for n in given if n != "months_ago"]:
        raise InputError(f"{_option(given[-1])} is about a previous course; add --previous 30/10 or --previous RTDOSE")
    if arguments.months_ago is not None and not arguments.months_ago >= 0.0:
        raise InputError(
            f"--months-ago is {arguments.months_ago:g}; it is the time from the end of the previous course to today, "
            ">= 0 months"
        )
    if word is None or word == NONE:
        return
    if _is_scheme(word):
        wrong = [n for n in given if n in _ABOUT_A_DOSE]
        if wrong:
            raise InputError(f"{_option(wrong[0])} is about an RTDOSE; the scheme --previous {word} has no place")
        scheme_of(word)
    elif not Path(word).exists():
        raise InputError(
            f"--previous {word!r} is neither a scheme (total dose/fractions, e.g. 30/10 or 8x1) nor a file or folder "
            "with an RTDOSE"
        )
    elif arguments.previous_percent is not None:
        raise InputError("--previous-percent belongs to a scheme; an RTDOSE says itself what the cord got")
    if arguments.shift is not None:
        shift_of(arguments.shift)
    if arguments.months_ago is None:
        raise InputError(
            f"--previous {word} needs --months-ago M, the time from its end to today: within 5 months both courses are "
            "held as one, which leaves the cord less. Where it is not known, give --months-ago 0, the stricter"
        )


def previous_of(arguments: argparse.Namespace, case: Case | None, phantom: Phantom) -> PreviousCourse | None:
    """The previous course of the arguments, else of the case; None when there was none.

    Raises:
        RtsimError: a dose that cannot be read, or that has another frame of reference.
    """
    word = arguments.previous
    if word == NONE:
        return None
    if word is None:
        own: PreviousCourse | None = getattr(case, "previous", None)
        if own is None and arguments.months_ago is not None:
            raise InputError("--months-ago is about a previous course; add --previous 30/10 or --previous RTDOSE")
        return own if own is None or arguments.months_ago is None else replace(own, months_ago=arguments.months_ago)
    if _is_scheme(word):
        percent = arguments.previous_percent
        return PreviousCourse.scheme(
            word, months_ago=arguments.months_ago, cord_percent=100.0 if percent is None else percent
        )
    return read_previous(
        word,
        phantom,
        fractions=arguments.previous_fractions,
        months_ago=arguments.months_ago,
        shift=None if arguments.shift is None else shift_of(arguments.shift),
    )


def held_to(protocol: Protocol, previous: PreviousCourse | None, phantom: Phantom, cord_limits: str | None) -> Protocol:
    """The protocol with what the previous course left as its cord limit; unchanged without one."""
    if previous is None:
        return protocol
    limited = with_remaining_budget(protocol, previous, phantom=phantom)
    return limited.with_cord_limits(PRV_LIMITS) if cord_limits == PRV_LIMITS else limited


def judged_in(protocol: Protocol) -> str | None:
    """What the conditions on a second course are judged in: the PRV where the user chose to hold that, not the sac."""
    return "spinal_cord_prv" if protocol.cord_limits_name == PRV_LIMITS else None


def base_limits(arguments: argparse.Namespace) -> str | None:
    """The set of cord limits to load from the protocol: those of a remaining budget are made later.

    Raises:
        InputError: a budget without a previous course.
    """
    name: str | None = arguments.cord_limits
    if name not in (BUDGET_LIMITS, PRV_LIMITS):
        return name
    return None


def check_limits(arguments: argparse.Namespace, previous: PreviousCourse | None) -> None:
    """That a remaining budget is asked for only where there was a previous course.

    Raises:
        InputError: it is not.
    """
    if previous is None and arguments.cord_limits in (BUDGET_LIMITS, PRV_LIMITS):
        raise InputError(f"--cord-limits {arguments.cord_limits} is what a previous course left; add --previous 30/10")


def shift_of(text: str) -> RigidShift:
    """From 'X,Y,Z' in mm.

    Raises:
        InputError: other words.
    """
    words = [w.strip() for w in text.split(",")]
    try:
        numbers = [float(w) for w in words]
    except ValueError:
        numbers = []
    if len(numbers) != 3:
        raise InputError(f"--shift {text!r} is no shift; write three numbers of mm along LPS: X,Y,Z (e.g. 2.5,-1,0)")
    return RigidShift(shift_mm=(numbers[0], numbers[1], numbers[2]))


def _is_scheme(word: str) -> bool:
    return _LIKE_A_SCHEME.fullmatch(word) is not None and not Path(word).exists()


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
