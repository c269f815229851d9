"""``rtsim phantom``: write a case as a DICOM CT series and RTSTRUCT."""

from __future__ import annotations

from pathlib import Path

from rtsim.cli.console import ExitCode, steps, terminal
from rtsim.io.case import load_case
from rtsim.io.dicom_write import write_dicom
from rtsim.io.files import refuse_existing


def write_phantom(case: str, output: Path, *, overwrite: bool) -> ExitCode:
    """Build the case and write its CT (with its noise) and structures."""
    refuse_existing(output, overwrite=overwrite)
    with steps(quiet=False) as bars:
        with bars.step("phantom") as progress:
            phantom = load_case(case).build(progress)
        with bars.step("DICOM") as progress:
            written = write_dicom(output, phantom, overwrite=overwrite, progress=progress)
    terminal().print(
        f"{output}: {len(written.ct)} CT slices and {len(phantom.structures)} structures, {phantom.grid.describe()}",
        markup=False,
    )
    return ExitCode.DONE
