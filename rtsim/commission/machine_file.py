"""A fitted machine as a TOML file that :func:`rtsim.machine.load_machine` reads."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from rtsim.commission.fit import Fitted
from rtsim.commission.parameters import FWHM_OF_SIGMA
from rtsim.errors import InputError, OutputExistsError
from rtsim.machine import Machine, MultileafCollimator

_PARTS = ("calibration", "focal_spot", "extra_focal", "electrons", "off_axis", "jaws", "mlc", "limits")
_PLACE = {
    "focal_spot_x": ("focal_spot", "fwhm_x_mm"),
    "focal_spot_y": ("focal_spot", "fwhm_y_mm"),
    "extra_focal_fraction": ("extra_focal", "fraction"),
    "extra_focal_sigma": ("extra_focal", "sigma_mm"),
    "jaw_transmission": ("jaws", "transmission"),
    "monitor_backscatter": ("jaws", "monitor_backscatter"),
    "electron_fraction": ("electrons", "fraction"),
    "electron_attenuation": ("electrons", "attenuation_per_mm"),
}


def write_machine(path: Path, fitted: Fitted, *, overwrite: bool = False) -> None:
    """Write ``fitted.machine`` with the origin of each number as a comment.

    Raises:
        OutputExistsError: the file is there and ``overwrite`` is False.
        InputError: the file cannot be written.
    """
    refuse_existing(path, overwrite=overwrite)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(machine_toml(fitted), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; choose another place") from error
    finally:
        partial.unlink(missing_ok=True)


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise OutputExistsError when ``path`` is there and may not be replaced; InputError when it is no machine file."""
    if path.suffix != ".toml" or path.is_dir():
        raise InputError(f"the output is {path}; a file name that ends in .toml is needed")
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} is there already; choose another name, or replace it with --overwrite")


def machine_toml(fitted: Fitted) -> str:
    """The text of the file."""
    machine = fitted.machine
    comments = _comments(fitted)
    lines = [*_preface(fitted), ""]
    for key in ("name", "description", "nominal_energy"):
        lines.append(f"{key} = {_value(getattr(machine, key))}")
    lines += [f"{key} = {_value(getattr(machine, key))}" for key in ("sad_mm", "max_field_mm")]
    lines += ["sources = [", *(f"    {_value(s)}," for s in machine.sources), "]", ""]
    lines += _spectrum(fitted, comments.get(("spectrum", ""), ""))
    for part in _PARTS:
        held = getattr(machine, part)
        if held is not None:
            lines += ["", f"[{part}]", *_keys(held, part, comments)]
    for wedge in machine.wedges:
        lines += ["", "[[wedges]]", *_keys(wedge, "wedges", {})]
    _refuse_what_is_left(machine)
    return "\n".join(lines) + "\n"


def _refuse_what_is_left(machine: Machine) -> None:
    written = {
        "name",
        "description",
        "nominal_energy",
        "sad_mm",
        "max_field_mm",
        "sources",
        "spectrum",
        "wedges",
        *_PARTS,
    }
    for f in fields(machine):
        default = f.default_factory() if f.default_factory is not MISSING else f.default
        if f.name not in written and getattr(machine, f.name) != default:
            raise InputError(f"{f.name} of the machine cannot be written into a machine file yet; please report it")


def _preface(fitted: Fitted) -> list[str]:
    lines = [
        f"# {fitted.machine.description}",
        "#",
        "# Not for clinical use: rtsim simulates and teaches, it is not a medical device. Numbers without a comment",
        "# are those of the base machine, not measured here. 'fitted': value +- one standard deviation of the fit.",
        "#",
        "# Deviation of this machine from each measured curve (machine - measured):",
    ]
    for r in fitted.residuals:
        text = f"largest {r.max_percent:+.2f} %, mean {r.mean_percent:+.2f} %"
        if r.build_up_percent is not None and r.build_up_mm is not None:
            text += f", build-up {r.build_up_percent:+.1f} % or {r.build_up_mm:+.1f} mm"
        if r.edge_mm is not None:
            text += f", edge {r.edge_mm:+.2f} mm, penumbra {r.penumbra_mm:+.2f} mm, outside {r.outside_percent:+.2f} %"
        lines.append(f"#   {r.curve}: {text}" + ("" if r.met else "  OUT OF TOLERANCE"))
    lines += [f"# note: {note}" for note in fitted.notes]
    return [line.replace("\n", " ") for line in lines]


def _comments(fitted: Fitted) -> dict[tuple[str, str], str]:
    """Comment of each fitted key."""
    out: dict[tuple[str, str], str] = {}
    spectrum, nodes = [], []
    for v in fitted.values:
        if v.name in ("tungsten", "aluminium"):
            spectrum.append(f"{v.name} {v.value:.3g} +- {v.uncertainty:.1g} {v.unit}")
        elif v.name.startswith("off_axis_"):
            nodes.append(f"{v.uncertainty:.1g}")
        elif v.name == "softening":
            out["off_axis", "softening"] = f"fitted to measured data: {v.value:.2f} +- {v.uncertainty:.1g} {v.unit}"
        elif v.name.startswith("focal_spot"):
            width = FWHM_OF_SIGMA * math.sqrt(v.value)
            high = FWHM_OF_SIGMA * math.sqrt(v.value + v.uncertainty)
            out[_PLACE[v.name]] = f"fitted to measured data; up to {high:.2g} within one standard deviation" + (
                "" if width > 0 else " (a point)"
            )
        else:
            out[_PLACE[v.name]] = f"fitted to measured data, +- {v.uncertainty:.1g}"
    if spectrum:
        form = "Ali and Rogers 2012 (doi:10.1088/0031-9155/57/1/31)"
        out["spectrum", ""] = f"fitted to measured data: {form}, {', '.join(spectrum)}"
    out["off_axis", "relative"] = f"fitted to measured data behind the first, +- {', '.join(nodes)}; then as the base"
    return out


def _spectrum(fitted: Fitted, comment: str) -> list[str]:
    """The three numbers of a fitted spectrum; the bins of one that was kept."""
    spectrum = fitted.machine.spectrum
    found = {v.name: v.value for v in fitted.values}
    lines = ["[spectrum]", *([f"# {comment}"] if comment else []), f"name = {_value(spectrum.name)}"]
    if "tungsten" in found:
        return [
            *lines,
            f"endpoint_mev = {_value(spectrum.max_energy_mev)}",
            f"tungsten_g_cm2 = {_value(found['tungsten'])}",
            f"aluminium_g_cm2 = {_value(found['aluminium'])}",
        ]
    return [
        *lines,
        f"source = {_value(spectrum.source)}",
        f"edges_mev = [{', '.join(f'{e:.6g}' for e in spectrum.edges_mev)}]",
        f"photons = [{', '.join(f'{p:.6g}' for p in spectrum.probabilities)}]",
    ]


def _keys(part: Any, name: str, comments: dict[tuple[str, str], str]) -> list[str]:
    out = []
    for f in fields(part):
        value = getattr(part, f.name)
        if value is None:
            continue
        key, text = f.name, None
        if isinstance(part, MultileafCollimator) and f.name == "leaf_edges_mm":
            key, text = "leaf_groups", _leaf_groups(part)
        comment = comments.get((name, f.name), "")
        out.append(f"{key} = {text or _value(value)}" + (f"  # {comment}" if comment else ""))
    return out


def _leaf_groups(mlc: MultileafCollimator) -> str:
    edges = mlc.leaf_edges_mm
    if not math.isclose(edges[0], -edges[-1], abs_tol=1e-6):
        raise InputError(f"the leaves of {mlc.model} are not centered on the axis; machine files cannot hold that")
    groups: list[list[float]] = []
    for low, high in pairwise(edges):
        width = round(high - low, 6)
        if groups and groups[-1][1] == width:
            groups[-1][0] += 1
        else:
            groups.append([1, width])
    return "[" + ", ".join(f"[{int(n)}, {w:.6g}]" for n, w in groups) + "]"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        return f'"{escaped}"'
    if isinstance(value, (int, float)):
        return f"{float(value):.8g}" if float(value) != int(value) else f"{float(value):.1f}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    raise InputError(f"a value of type {type(value).__name__} cannot be written into a machine file; please report it")
