"""The errors that rtsim raises: one family, and each message says what was given, what is allowed, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import Enum
from typing import TypeVar

Choice = TypeVar("Choice", bound=Enum)


class RtsimError(Exception):
    """Base of every error that rtsim raises on purpose."""


class InputError(RtsimError, ValueError):
    """A value that a user gave is outside what is allowed."""


class GeometryError(InputError):
    """Something lies where it cannot be: a target outside the body, a source inside the patient."""


class MachineLimitError(InputError):
    """The treatment machine cannot do what is asked of it."""


class CaseFileError(InputError):
    """A TOML file (case, machine, protocol, calibration) is not what its reader expects."""


class DicomError(InputError):
    """A DICOM file or folder cannot be read as what it claims to be."""


class InfeasiblePlanError(InputError):
    """No plan can meet the hard limits that were asked for."""


class ResourceError(RtsimError, MemoryError):
    """The work needs more memory than the machine has; the message carries the figure in GB."""


class OutputExistsError(RtsimError, FileExistsError):
    """The output folder holds a result already; nothing is overwritten unasked."""


class ConvergenceError(RtsimError, RuntimeError):
    """An iteration did not reach its tolerance."""


class MissingDependencyError(RtsimError, ImportError):
    """An optional package is not installed; the message carries the install line."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name nearest to ``name`` (case-insensitive), or None when none is close.

    A name that begins like the given one comes first, the shortest of several: 'spine_t8' is nearer to
    'spine_t8_myeloma' than to 'spine_c6'.
    """
    by_lower = {k.lower(): k for k in known}
    longer = [k for k in by_lower if len(name) >= 3 and k.startswith(name.lower())]
    if longer:
        return by_lower[min(longer, key=lambda k: (len(k), k))]
    match = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[match[0]] if match else None


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Message for an unknown name: what was given, the nearest known name, and what is allowed.

    >>> unknown_name("engine", "colapsed_cone", ["collapsed_cone", "pencil_beam"])
    "unknown engine 'colapsed_cone'; did you mean 'collapsed_cone'? Known: collapsed_cone, pencil_beam"
    """
    names = sorted(known)
    close = nearest(name, names)
    hint = f"did you mean {close!r}? " if close else ""
    return f"unknown {kind} {name!r}; {hint}Known: {', '.join(names) if names else '(none)'}"


def check_choice(name: str, given: object, kind: type[Choice], allowed: tuple[Choice, ...] | None = None) -> None:
    """One of an enumeration is given, not its name, and one that can be meant here.

    A name would be unequal to every member, and so be taken for none of them without a word.

    Args:
        allowed: default all of ``kind``.

    Raises:
        InputError: with the choices.
    """
    choices = tuple(kind) if allowed is None else allowed
    if not isinstance(given, kind) or given not in choices:
        *first, last = (f"{kind.__name__}.{c.name}" for c in choices)
        raise InputError(f"{name} is {shown(given)}; choose {', '.join(first)} or {last}")


def shown(given: object) -> str:
    """What was given, as a user wrote it: a member or a class by its name."""
    if isinstance(given, Enum):
        return f"{type(given).__name__}.{given.name}"
    return given.__name__ if isinstance(given, type) else repr(given)
