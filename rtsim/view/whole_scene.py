"""A whole scene in one call: structures, isodose shells, beams and a cut plane, in a window or as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rtsim.beams.model import Beam
from rtsim.dose.result import Dose
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role
from rtsim.protocol.nomenclature import canonical
from rtsim.view.scene import Scene
from rtsim.view.style import default_isodoses_gy


def show(
    phantom: Phantom,
    *,
    dose: Dose | None = None,
    beams: Sequence[Beam] = (),
    isodoses_gy: Sequence[float] | None = None,
    prescription_gy: float | None = None,
    target: str | None = None,
    title: str = "",
) -> None:
    """Open a window: structures, isodose shells, beams and an axial cut plane with dose wash."""
    scene_of(
        phantom,
        dose=dose,
        beams=beams,
        isodoses_gy=isodoses_gy,
        prescription_gy=prescription_gy,
        target=target,
        title=title,
    ).show()


def save(
    path: str | Path,
    phantom: Phantom,
    *,
    dose: Dose | None = None,
    beams: Sequence[Beam] = (),
    isodoses_gy: Sequence[float] | None = None,
    prescription_gy: float | None = None,
    target: str | None = None,
    title: str = "",
    size: tuple[int, int] = (1200, 900),
) -> Path:
    """Write as PNG what :func:`show` shows."""
    scene = scene_of(
        phantom,
        dose=dose,
        beams=beams,
        isodoses_gy=isodoses_gy,
        prescription_gy=prescription_gy,
        target=target,
        title=title,
    )
    return scene.save(path, size=size)


def scene_of(
    phantom: Phantom,
    *,
    dose: Dose | None = None,
    beams: Sequence[Beam] = (),
    isodoses_gy: Sequence[float] | None = None,
    prescription_gy: float | None = None,
    target: str | None = None,
    title: str = "",
) -> Scene:
    """The scene that :func:`show` and :func:`save` draw."""
    scene = Scene(phantom, target=target, title=title)
    scene.add_structures(*(() if beams or dose is not None else _anatomy(scene)))
    if beams:
        scene.add_beams(beams)
    if dose is not None:
        levels = isodoses_gy
        if levels is None and prescription_gy is not None:
            levels = [
                v
                for v in default_isodoses_gy(prescription_gy, dose.max_gy)
                if v in (0.5 * prescription_gy, prescription_gy)
            ] or None
        scene.add_dose(dose, isodoses_gy=levels)
    return scene.add_cut_plane(dose=dose)


def _anatomy(scene: Scene) -> tuple[str, ...]:
    """What to show of a patient without a plan: tumor, cord and thecal sac, not hidden in planning volumes.

    Empty, which is the usual choice, where no gross tumor is drawn.
    """
    usual = scene.default_structures()
    if not any(s.role is Role.GTV for s in usual):
        return ()
    sac = [s.name for s in scene.phantom.structures.values() if canonical(s.name) == "thecal_sac"]
    return (*(s.name for s in usual if s.role is not Role.PTV), *sac)
