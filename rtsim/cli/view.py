"""``rtsim view``: a case, or a result of ``rtsim run``, in 3-D."""

from __future__ import annotations

import json
from pathlib import Path

from rtsim.cli.console import ExitCode, terminal
from rtsim.errors import InputError
from rtsim.io.archive import read_archive
from rtsim.io.case import load_phantom
from rtsim.io.dicom_plan import read_plan
from rtsim.io.dicom_read import read_dicom
from rtsim.phantom.phantom import Phantom
from rtsim.view.scene import Scene
from rtsim.view.whole_scene import scene_of


def view(what: str, save: Path | None, structure_set: str | None = None) -> ExitCode:
    """Open a window, or write a PNG with ``save``.

    Raises:
        InputError: neither a case nor a folder; an output folder whose CT lies elsewhere; a structure set of what
            is no DICOM folder; a picture that is no PNG.
        RenderingError: this machine cannot render.
    """
    folder = Path(what)
    is_result = (folder / "result.json").is_file()
    if structure_set is not None and (is_result or not folder.is_dir()):
        raise InputError(
            f"--structure-set chooses in a DICOM folder; {what!r} is {'a result' if is_result else 'none'}"
        )
    scene = _result(folder) if is_result else _case(what, structure_set)
    if save is None:
        scene.show()
    else:
        terminal().print(str(scene.save(save)), markup=False)
    return ExitCode.DONE


def _case(what: str, structure_set: str | None) -> Scene:
    if Path(what).is_dir():
        phantom: Phantom = read_dicom(what, structure_set=structure_set)
    else:
        phantom = load_phantom(what)
    return scene_of(phantom)


def _result(folder: Path) -> Scene:
    dicom = folder / "dicom"
    if not any(dicom.glob("CT*")):
        case = json.loads((folder / "result.json").read_text())["case"]
        raise InputError(
            f"the CT of {folder} lies in the DICOM folder it was planned on ({case}), not in the result; "
            f"copy the CT series into {dicom} to view it"
        )
    dose, _ = read_archive(folder)
    phantom = read_dicom(dicom)
    plan = read_plan(dicom)
    return scene_of(phantom, dose=dose, beams=plan.beams, prescription_gy=plan.prescription.dose_gy)
