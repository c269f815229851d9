"""The errors that rtsim raises: one family, and each message says what was given, what is allowed, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
