"""DVH against a commercial planning system: Eclipse 8.1 prostate phantom, with its exported DVH and that of CERR.

source: SlicerRT test data EclipseProstate_* (github SlicerRt/SlicerRT, MIT): dose NRRD, closed-surface structures, DVH
tables "Eclipse" and "CERR". The dose grid is 2.5 mm; structures were drawn on CT slices and reach us as triangulated
surfaces, so that volumes of the three parties differ by about 1 %.
"""

from __future__ import annotations

import csv
import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from rtsim.dose.dvh import DVH, dvh
from rtsim.dose.result import Dose
from rtsim.geometry.contours import PlanarContours, cropped_coverage
from rtsim.geometry.grid import Grid
from rtsim.phantom.structure import Role, Structure
from tests.shared import SHARED, requires_shared

FOLDER = SHARED / "data" / "eclipse_dvh_prostate_phantom"
NAMES = ("Bladder", "FemoralHeadLt", "FemoralHeadRT", "PTV", "Rectum")


def read_nrrd(path: Path) -> Dose:
    """The subset of NRRD that the file uses: attached header, float, gzip or raw, axis-aligned LPS."""
    raw = path.read_bytes()
    head, body = raw.split(b"\n\n", 1)
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line and line[0] != "#")
    assert fields["type"] == "float"
    assert fields["space"] == "left-posterior-superior"
    nx, ny, nz = (int(v) for v in fields["sizes"].split())
    vectors = [[float(v) for v in t.split(",")] for t in re.findall(r"\(([^)]*)\)", fields["space directions"])]
    origin = [float(v) for v in fields["space origin"].strip("()").split(",")]
    data = gzip.decompress(body) if fields["encoding"] == "gzip" else body
    values = np.frombuffer(data, dtype="<f4").reshape(nz, ny, nx)
    grid = Grid((nz, ny, nx), (vectors[0][0], vectors[1][1], vectors[2][2]), (origin[0], origin[1], origin[2]))
    return Dose(values_gy=values, grid=grid)


def read_table(name: str) -> dict[str, tuple[float, np.ndarray, np.ndarray]]:
    """structure -> (volume in cm3, doses in Gy, percent of the volume that gets at least that dose)."""
    with (FOLDER / f"EclipseProstate_DvhTable_{name}.csv").open(newline="") as file:
        header, *rows = list(csv.reader(file))
    out = {}
    for column in range(0, len(header) - 1, 2):
        match = re.search(r"% of ([\d.]+) cc", header[column + 1])
        assert match
        pairs = np.array(
            [[float(r[column]), float(r[column + 1])] for r in rows if len(r) > column + 1 and r[column + 1]]
        )
        out[header[column].split("_DvhArray")[0]] = (float(match[1]), pairs[:, 0], pairs[:, 1])
    return out


def read_contours(path: Path) -> tuple[str, PlanarContours]:
    """The planar polygons of a structure. Slicer keeps them in RAS: x and y change sign."""
    pv = pytest.importorskip("pyvista", reason="the polygons (VTP) are read with pyvista")
    mesh = pv.read(path)
    points, polygons, heights = np.asarray(mesh.points, dtype=np.float64), [], []
    cells = np.asarray(mesh.lines)
    start = 0
    while start < len(cells):
        index = cells[start + 1 : start + 1 + cells[start]]
        start += cells[start] + 1
        assert np.ptp(points[index, 2]) < 1e-3, "a polygon of this file lies in an axial plane"
        polygons.append(-points[index, :2])
        heights.append(points[index[0], 2])
    return str(np.ravel(mesh.field_data["Segment_Name"])[0]), PlanarContours(np.array(heights), tuple(polygons))


@pytest.fixture(scope="module")
def histograms() -> dict[str, DVH]:
    folder = FOLDER
    dose = read_nrrd(folder / "EclipseProstate_Dose.nrrd")
    lattice = dose.grid.with_spacing((1.25, 1.25, 2.5))
    keys = {"Femoral Head Lt": "FemoralHeadLt", "Femoral Head RT": "FemoralHeadRT"}
    out = {}
    for path in sorted((folder / "EclipseProstate_Structures.seg").glob("*.vtp")):
        name, contours = read_contours(path)
        key = keys.get(name, name)
        if key in NAMES:
            crop, _, coverage = cropped_coverage(contours, lattice)
            out[key] = dvh(dose, Structure(key, Role.OAR, crop, coverage))
    return out


@requires_shared
@pytest.mark.parametrize("name", NAMES)
def test_curve_against_eclipse(histograms: dict[str, DVH], name: str) -> None:
    """Each point of the curve lies within 1 % of the volume, or 1 % of the maximum dose, of the Eclipse curve."""
    own, (_, dose_gy, percent) = histograms[name], read_table("Eclipse")[name]
    tolerance_gy = 0.01 * own.max_gy
    for d in np.linspace(0.5, dose_gy[percent > 0].max(), 120):
        got = own.volume_percent_at(d)
        high, low = np.interp([d - tolerance_gy, d + tolerance_gy], dose_gy, percent)
        assert low - 1.0 <= got <= high + 1.0, d


@requires_shared
@pytest.mark.parametrize("name", NAMES)
def test_mean_dose_and_volume(histograms: dict[str, DVH], name: str) -> None:
    """Mean dose within 0.2 % of both; volume within 0.3 % of CERR and 2 % of Eclipse, which rounds to voxels."""
    own, (volume_cm3, dose_gy, percent) = histograms[name], read_table("Eclipse")[name]
    assert own.mean_gy == pytest.approx(float(np.trapezoid(percent / 100.0, dose_gy)), rel=0.002)
    assert own.volume_cm3 == pytest.approx(volume_cm3, rel=0.02)
    assert own.volume_cm3 == pytest.approx(read_table("CERR")[name][0], rel=0.003)
