"""Reading DICOM elements that may be missing, empty or malformed, with messages that name the file."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.errors import InvalidDicomError

from rtsim.errors import DicomError
from rtsim.typing import FloatArray

Tags: TypeAlias = Any
"""A pydicom Dataset (pydicom is not typed here)."""

_MAGIC: Final = b"DICM"


class NotDicomError(Exception):
    """The file is something else; not an error of the user."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom's warnings about values that clinics write and that are read here by other means."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_tags(path: Path, *, pixels: bool = False, only: list[str] | None = None) -> Tags:
    """The dataset of one file, without pixels unless asked for.

    Raises:
        NotDicomError: the file does not claim to be DICOM.
        DicomError: it does, and cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(132)
    claims = head[128:] == _MAGIC
    if not claims and path.suffix.lower() not in (".dcm", ".dicom", ".ima", ""):
        raise NotDicomError(str(path))
    try:
        with quiet():
            tags = pydicom.dcmread(path, stop_before_pixels=not pixels, force=not claims, specific_tags=only)
            sop_class = str(tags.get("SOPClassUID", "") or "")
    except InvalidDicomError as error:
        raise NotDicomError(str(path)) from error
    except Exception as error:  # pydicom raises many kinds on broken files
        if not claims and path.suffix == "":
            raise NotDicomError(str(path)) from error
        raise DicomError(f"{path} is damaged or cut off ({error}); copy it again from its source") from error
    if not sop_class:
        if not claims and path.suffix.lower() != ".dcm":
            raise NotDicomError(str(path))
        raise DicomError(f"{path} is damaged or cut off (no SOP Class UID in it); copy it again from its source")
    return tags


def text(tags: Tags, keyword: str, default: str = "") -> str:
    """The element as text; ``default`` when it is missing or empty."""
    try:
        with quiet():
            value = tags.get(keyword, None)
    except Exception:
        return default
    return default if value is None or str(value).strip() == "" else str(value).strip()


def numbers(tags: Tags, keyword: str, count: int | None = None) -> FloatArray | None:
    """The element as (n,) float64, or None when it is missing, empty, not finite, or has another count."""
    try:
        with quiet():
            item = tags.get_item(keyword)
            if item is None:
                return None
            raw = item.value
            if isinstance(raw, bytes) and dictionary_VR(keyword) in ("DS", "IS"):
                words = raw.decode("ascii").replace("\0", " ").strip().split("\\")
                values = np.array([float(w) for w in words if w.strip()], dtype=np.float64)
            else:
                value = tags.get(keyword)
                if value is None:
                    return None
                values = np.atleast_1d(np.array(value, dtype=np.float64))
    except Exception:
        return None
    if values.size == 0 or not np.isfinite(values).all() or (count is not None and values.size != count):
        return None
    return values


def number(tags: Tags, keyword: str, default: float | None = None) -> float | None:
    """The element as one float, or ``default``."""
    values = numbers(tags, keyword)
    return default if values is None or not math.isfinite(values[0]) else float(values[0])


def items(tags: Tags, keyword: str) -> list[Tags]:
    """The items of a sequence; empty when it is missing or empty."""
    try:
        with quiet():
            value = tags.get(keyword, None)
    except Exception:
        return []
    return [] if value is None else list(value)
