"""Curves from files: the CSV form, and ASCII exports of water-tank software, made as the formats say."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from rtsim.commission import Axis, DepthDose, Profile, read_measured, write_curves
from rtsim.commission.curve_files import read_curve
from rtsim.commission.tank_files import read_tank_file
from rtsim.errors import CaseFileError, InputError, MissingDependencyError
from tests.unit.commission_data import complete

PDD = "# quantity: depth_dose\n# field_mm: 100 x 100\n# ssd_mm: 1000\n# units: mm\ndepth,value\n"
FACTORS = (
    "# quantity: output_factors\n# ssd_mm: 900\n# depth_mm: 100\n# units: cm\nfield_x,field_y,factor\n"
    "50,50,0.92\n100,100,1\n"
)
ROWS = "0,40\n15,100\n100,67\n200,38\n"


def test_csv_comes_back_as_it_went(tmp_path: Path) -> None:
    given = complete()
    assert len(write_curves(given, tmp_path)) == 7
    found = read_measured(tmp_path)
    assert [c.field_mm for c in found.depth_doses] == [(30.0, 30.0), (100.0, 100.0)]
    np.testing.assert_allclose(found.depth_doses[1].value, given.depth_doses[1].value, rtol=1e-5)
    assert {(p.axis, p.depth_mm) for p in found.profiles} == {(p.axis, p.depth_mm) for p in given.profiles}
    assert found.output_factors is not None
    assert given.output_factors is not None
    np.testing.assert_allclose(found.output_factors.factor, given.output_factors.factor)
    assert found.output_factors.dose_gy_per_mu == 0.0077
    assert "pdd_100x100.csv" in found.sources


def test_centimeters_and_points_above_the_surface(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(PDD.replace("units: mm", "units: cm") + "-0.5,1\n0,40\n1.5,100\n10,67\n20,38\n")
    found = read_measured(tmp_path)
    assert found.depth_doses[0].depth_mm.tolist() == [0.0, 15.0, 100.0, 200.0]
    assert "1 points above the surface" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("depth,value\n0,1\n", "'# quantity: ...' is missing"),
        (PDD.replace("depth_dose", "depth_dos") + ROWS, "did you mean 'depth_dose'"),
        (PDD.replace("# ssd_mm: 1000\n", "") + ROWS, "ssd_mm missing"),
        (PDD.replace("ssd_mm", "sdd_mm") + ROWS, "did you mean 'ssd_mm'"),
        (PDD.replace("units: mm", "units: inch") + ROWS, "'mm' or 'cm'"),
        (PDD.replace("100 x 100", "100") + ROWS, "'100 x 100'"),
        (PDD.replace("ssd_mm: 1000", "ssd_mm: 100") + ROWS, "500 <= ssd_mm"),
        (PDD.replace("depth,value", "z,dose") + ROWS, "'depth,value'"),
        (PDD + "0,1\n15,a\n", "is not 2 numbers"),
        (
            PDD.replace(",", ";") + ROWS.replace(",", ";"),
            "'depth;value'; the line 'depth,value' is needed above the data; sep",
        ),
        (
            PDD + "0;1\n",
            "the row '0;1' is not 2 numbers; separate columns with commas, and write decimals with a point",
        ),
        (PDD + "0,5;1\n", "separate columns with commas"),
        (
            PDD.replace("units: mm", "units: cm") + ROWS,
            "units says cm, and the lengths reach 200, more than any water tank",
        ),
        (FACTORS, "units says cm, and the lengths reach 100, more than any water tank; are these mm"),
        (PDD, "no data"),
        (PDD + ROWS.replace("67", "-67"), "a dose is >= 0"),
        (PDD.replace("depth_dose", "profile"), "axis, depth_mm missing"),
    ],
)
def test_a_csv_that_is_wrong_says_what_and_where(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_text(text)
    with pytest.raises(CaseFileError, match=r"curve\.csv") as error:
        read_curve(path)
    assert words in str(error.value)


def test_a_folder_without_curves(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.csv, \.mcc or \.asc"):
        read_measured(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        read_measured(tmp_path / "nowhere")


W2CAD = """$NUMS 004
$STOM
%VERSION 02
%DATE 20-09-2011
%BMTY PHO
%FLSZ 030*200
%TYPE OPD
%AXIS Z
%PNTS 4
%SSD  1000
<+000.0 +000.0 +000.0 +040.0>
<+000.0 +000.0 +015.0 +100.0>
<+000.0 +000.0 +100.0 +067.0>
<+000.0 +000.0 +200.0 +038.0>
$ENOM
$STOM
%BMTY PHO
%FLSZ 030*200
%TYPE OPP
%AXIS Y
%SSD  1000
%DPTH 050
<+000.0 -120.0 +050.0 +001.0>
<+000.0 -050.0 +050.0 +099.0>
<+000.0 +050.0 +050.0 +100.0>
<+000.0 +120.0 +050.0 +002.0>
$ENOM
$STOM
%BMTY PHO
%FLSZ 400*400
%TYPE DPR
%SSD  1000
<-100.0 -100.0 +050.0 +098.0>
<-010.0 -010.0 +050.0 +099.0>
<+010.0 +010.0 +050.0 +100.0>
<+100.0 +100.0 +050.0 +097.0>
$ENOM
$STOM
%BMTY PHO
%FLSZ 100*100
%TYPE WDP
%SSD  1000
<-100.0 +000.0 +050.0 +098.0>
$ENOM
$ENOF
"""


def test_w2cad(tmp_path: Path) -> None:
    path = tmp_path / "open.asc"
    path.write_text(W2CAD)
    scans = read_tank_file(path)
    pdd, inline, diagonal = scans.curves
    assert isinstance(pdd, DepthDose)
    assert pdd.field_mm == (30.0, 200.0)
    assert pdd.depth_mm.tolist() == [0.0, 15.0, 100.0, 200.0]
    assert isinstance(inline, Profile)
    assert (inline.axis, inline.depth_mm, inline.ssd_mm) == (Axis.INLINE, 50.0, 1000.0)
    assert inline.position_mm.tolist() == [-120.0, -50.0, 50.0, 120.0]
    assert isinstance(diagonal, Profile)
    assert diagonal.axis is Axis.DIAGONAL
    assert diagonal.position_mm[0] == pytest.approx(-100.0 * 2**0.5)
    assert len(scans.notes) == 1
    assert "WDP" in scans.notes[0]


def test_a_w2cad_file_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "open.asc"
    path.write_text(W2CAD.rsplit("$ENOM", 1)[0])
    with pytest.raises(CaseFileError, match="cut off"):
        read_tank_file(path)


def _rfa300(points: str, *, wedge: int = 0, scan: str = "PRO") -> str:
    return (
        "#\n# RFA300 ASCII Measurement Dump ( BDS format )\n#\n# Measurement number \t1\n#\n%VNR 1.0\n%MOD \tRAT\n"
        f"%TYP \tSCN\n%SCN \t{scan}\n%FLD \tION\n%FSZ \t100\t100\n%BMT \tPHO\t    6.0\n%SSD \t1000\n%WEG \t{wedge}\n"
        "%PTS \t4\n%STS \t    0.0\t  -70.0\t   50.0 # Start Scan values in mm ( X , Y , Z )\n#\n" + points
    )


def _points(rows: list[tuple[float, float, float, float]]) -> str:
    return "".join(f"= \t{x:8.1f}\t{y:8.1f}\t{z:8.1f}\t{d:8.1f}\n" for x, y, z, d in rows)


@pytest.fixture
def rfa300(tmp_path: Path) -> Path:
    along_x = [(x, 0.0, 50.0, d) for x, d in ((-70.0, 2.0), (-40.0, 99.0), (40.0, 98.0), (70.0, 2.0))]
    depth = [(0.0, 0.0, z, d) for z, d in ((0.0, 40.0), (15.0, 100.0), (100.0, 67.0), (200.0, 38.0))]
    blocks = [_rfa300(_points(depth), scan="DPT"), _rfa300(_points(along_x)), _rfa300(_points(along_x), wedge=30)]
    path = tmp_path / "scans.asc"
    path.write_text(
        ":MSR \t3\t # No. of measurement in file\n:SYS BDS 0 # Beam Data Scanner System\n" + "".join(blocks)
    )
    return path


def test_rfa300_asks_along_what_x_runs(rfa300: Path) -> None:
    with pytest.raises(InputError, match="--rfa300-x"):
        read_tank_file(rfa300)


@pytest.mark.parametrize("x", [Axis.CROSSLINE, Axis.INLINE])
def test_rfa300(rfa300: Path, x: Axis) -> None:
    scans = read_tank_file(rfa300, rfa300_x=x)
    pdd, profile = scans.curves
    assert isinstance(pdd, DepthDose)
    assert pdd.value.tolist() == [40.0, 100.0, 67.0, 38.0]
    assert isinstance(profile, Profile)
    assert (profile.axis, profile.depth_mm, profile.field_mm) == (x, 50.0, (100.0, 100.0))
    assert profile.position_mm.tolist() == [-70.0, -40.0, 40.0, 70.0]
    assert "wedge 30" in scans.notes[0]


def test_an_asc_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "x.asc"
    path.write_text("1 2 3\n")
    with pytest.raises(CaseFileError, match="neither W2CAD"):
        read_tank_file(path)


def _mcc_scan(number: int, kind: str, rows: list[tuple[float, float]], modality: str = "X") -> str:
    head = {
        "MODALITY": modality,
        "SSD": "1000.00",
        "WEDGE_ANGLE": "0.00",
        "FIELD_INPLANE": "200.00",
        "FIELD_CROSSPLANE": "50.00",
        "SCAN_CURVETYPE": kind,
        "SCAN_DIAGONAL": "NOT_DIAGONAL",
    }
    if kind != "PDD":
        head["SCAN_DEPTH"] = "100.00"
    lines = [f"\tBEGIN_SCAN  {number}", *(f"\t\t{k}={v}" for k, v in head.items()), "\t\tBEGIN_DATA"]
    lines += [f"\t\t\t{x:.2f}\t\t{d * 1000:.3f}E-03\t\t12.746E+00" for x, d in rows]
    return "\n".join([*lines, "\t\tEND_DATA", f"\tEND_SCAN  {number}\n"])


@pytest.fixture
def mcc(tmp_path: Path) -> Path:
    across = [(-130.0, 0.01), (-50.0, 0.66), (50.0, 0.67), (130.0, 0.01)]
    path = tmp_path / "tank.mcc"
    path.write_text(
        "BEGIN_SCAN_DATA\n\tFORMAT=CC-Export V1.9\n"
        + _mcc_scan(1, "PDD", [(0.0, 0.4), (15.0, 1.0), (100.0, 0.67), (200.0, 0.38)])
        + _mcc_scan(2, "INPLANE_PROFILE", across)
        + _mcc_scan(3, "PDD", [(0.0, 0.8), (15.0, 1.0), (30.0, 0.5), (40.0, 0.1)], modality="EL")
        + "END_SCAN_DATA\n"
    )
    return path


def test_mcc_is_read_by_pymedphys(mcc: Path) -> None:
    pytest.importorskip("pymedphys")
    scans = read_tank_file(mcc)
    pdd, profile = scans.curves
    assert isinstance(pdd, DepthDose)
    assert (pdd.field_mm, pdd.ssd_mm) == ((50.0, 200.0), 1000.0)
    np.testing.assert_allclose(pdd.value, [0.4, 1.0, 0.67, 0.38])
    assert isinstance(profile, Profile)
    assert (profile.axis, profile.depth_mm) == (Axis.INLINE, 100.0)
    assert "modality EL" in scans.notes[0]


def test_mcc_without_pymedphys_says_what_to_install(mcc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymedphys._experimental.fileformats.mephysto", None)
    with pytest.raises(MissingDependencyError, match=r"rtsim\[commission\]"):
        read_tank_file(mcc)
