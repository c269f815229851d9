"""rt.dose.recompute: a plan of a folder computed again, and compared with what came with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

import rtsim as rt
from rtsim.beams.model import Beam
from rtsim.cli.main import main
from rtsim.dose import PencilBeam
from rtsim.dose.result import Dose
from rtsim.errors import DicomError, GeometryError, InputError
from rtsim.io import write_dicom
from rtsim.io.recompute import recompute
from rtsim.machine import load_machine
from rtsim.optimize.plan import Plan
from rtsim.phantom.phantom import Phantom
from rtsim.protocol.model import Prescription

ENGINE = PencilBeam(spacing_mm=8.0)
Change = Callable[[Dataset], None]
Spoil = Callable[[dict[str, Change]], Path]


def phantom() -> Phantom:
    hu = np.full((14, 20, 20), -1000.0)
    hu[1:-1, 2:-2, 2:-2] = 0.0
    target, cord = np.zeros(hu.shape), np.zeros(hu.shape)
    target[4:10, 8:12, 8:12] = 1.0
    cord[:, 14:16, 9:11] = 1.0
    masks = {"PTV": target, "spinal_cord": cord, "body": (hu > -500.0).astype(float)}
    return Phantom.from_arrays(hu, (8.0, 8.0, 8.0), (-76.0, -76.0, -52.0), masks)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan, Dose]:
    machine = load_machine("generic_6x")
    beams = tuple(
        Beam.open_field(machine, (60.0, 70.0), gantry_deg=g, monitor_units=100.0, name=f"G{g:g}") for g in (0.0, 180.0)
    )
    plan = Plan(beams=beams, prescription=Prescription("PTV", 8.0, 5), label="two fields")
    dose = ENGINE.forward(phantom(), beams, fractions=5)
    folder = tmp_path_factory.mktemp("recompute") / "set"
    write_dicom(folder, phantom(), plan, dose)
    return folder, plan, dose


@pytest.fixture
def spoil(stored: tuple[Path, Plan, Dose], tmp_path: Path) -> Spoil:
    """A copy of the folder with files changed by name; None of a file: it is taken away."""

    def change(changes: dict[str, Callable[[Dataset], None]]) -> Path:
        folder = tmp_path / "spoiled"
        shutil.copytree(stored[0], folder)
        for name, edit in changes.items():
            tags = pydicom.dcmread(folder / name)
            edit(tags)
            tags.save_as(folder / name, enforce_file_format=True)
        return folder

    return change


def test_a_plan_of_rtsim_gives_its_own_dose_again(stored: tuple[Path, Plan, Dose]) -> None:
    folder, plan, dose = stored
    found = rt.dose.recompute(folder, engine=ENGINE)
    assert rt.recompute is recompute
    assert found.given is not None
    np.testing.assert_allclose(found.dose.values_gy, dose.values_gy, rtol=2e-6, atol=1e-6)
    assert [g.pass_percent for g in found.gammas] == [100.0, 100.0]
    assert [(g.dose_percent, g.distance_mm, g.normalization_gy) for g in found.gammas] == [(3, 2, 8), (2, 2, 8)]
    assert [s.name for s in found.structures] == ["PTV", "spinal_cord"]
    step = dose.max_gy / 65535  # source: an RTDOSE of 16 bits
    for s in found.structures:
        assert s.given is not None
        assert s.recomputed.d95_gy == pytest.approx(s.given.d95_gy, abs=2 * step + 1e-3)
        assert s.recomputed.near_maximum_gy == pytest.approx(s.given.near_maximum_gy, abs=2 * step + 1e-3)
    (isocenter,) = found.points
    assert isocenter.point_mm == (0.0, 0.0, 0.0)
    assert isocenter.difference_percent == pytest.approx(0.0, abs=0.01)
    assert found.plan.prescription == plan.prescription
    assert found.notes == ()
    assert "100.0 % of the voxels agree within 3 %/2 mm: within the tolerance" in str(found)


def test_a_dose_that_differs_is_told(spoil: Spoil) -> None:
    def hotter(tags: Dataset) -> None:
        tags.DoseGridScaling = 1.08 * float(tags.DoseGridScaling)

    found = recompute(spoil({"RTDOSE.dcm": hotter}), engine=ENGINE)
    ptv = found.structures[0]
    assert ptv.given is not None
    assert ptv.recomputed.mean_gy / ptv.given.mean_gy == pytest.approx(1 / 1.08, rel=1e-3)
    assert found.points[0].difference_percent == pytest.approx(100 * (1 / 1.08 - 1), abs=0.05)
    assert found.pass_percent is not None
    assert found.pass_percent < 90.0
    assert "BEYOND THE ACTION LEVEL" in found.headline


def test_without_a_dose_what_the_plan_states_of_its_beams_is_compared(spoil: Spoil) -> None:
    def state(tags: Dataset) -> None:
        for item in tags.FractionGroupSequence[0].ReferencedBeamSequence:
            item.BeamDose, item.BeamDoseSpecificationPoint = "0.8", ["0", "0", "0"]

    folder = spoil({"RTPLAN.dcm": state})
    (folder / "RTDOSE.dcm").unlink()
    found = recompute(folder, engine=ENGINE)
    assert found.given is None
    assert found.pass_percent is None
    assert [p.name for p in found.points] == ["beam G0", "beam G180"]
    assert [p.given_gy for p in found.points] == pytest.approx([4.0, 4.0])
    whole = float(found.dose.at(np.zeros(3)))
    assert sum(p.recomputed_gy for p in found.points) == pytest.approx(whole, rel=1e-5)
    assert "what the plan states of its beams" in found.headline


def of_beam(tags: Dataset, *numbers: int) -> None:
    tags.DoseSummationType = "BEAM"
    group = Dataset()
    group.ReferencedBeamSequence = []
    for n in numbers:
        beam = Dataset()
        beam.ReferencedBeamNumber = str(n)
        group.ReferencedBeamSequence.append(beam)
    tags.ReferencedRTPlanSequence[0].ReferencedFractionGroupSequence = [group]


def another_dose(folder: Path, name: str, change: Change) -> None:
    """A copy of the RTDOSE of the folder, an object of its own."""
    tags = pydicom.dcmread(folder / "RTDOSE.dcm")
    change(tags)
    tags.SOPInstanceUID = tags.file_meta.MediaStorageSOPInstanceUID = f"{tags.SOPInstanceUID[:50]}.{len(name)}"
    tags.save_as(folder / name, enforce_file_format=True)


def half(tags: Dataset) -> None:
    of_beam(tags, 1)
    tags.DoseGridScaling = 0.5 * float(tags.DoseGridScaling)


def unreferenced(tags: Dataset) -> None:
    del tags.ReferencedRTPlanSequence
    tags.DoseGridScaling = 1.3 * float(tags.DoseGridScaling)


def test_doses_of_beams_are_summed_and_those_of_other_plans_left_out(spoil: Spoil) -> None:
    def foreign(tags: Dataset) -> None:
        tags.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID = "1.2.3"

    folder = spoil({"RTDOSE.dcm": half})
    another_dose(folder, "second.dcm", lambda tags: of_beam(tags, 2))
    another_dose(folder, "foreign.dcm", foreign)
    found = recompute(folder, engine=ENGINE)
    assert found.pass_percent == 100.0
    assert any("sum of 2 RTDOSE of BEAM" in n for n in found.notes)
    assert any("1 RTDOSE of other plans left out" in n for n in found.notes)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((), "do not say of which beam"),
        ((1,), "those of single beams, and lack 'G180'"),
        ((2, 1, 2), "have 'G180' more than once"),
    ],
)
def test_doses_of_some_beams_are_not_the_dose_of_the_plan(spoil: Spoil, numbers: tuple[int, ...], message: str) -> None:
    found = recompute(spoil({"RTDOSE.dcm": lambda tags: of_beam(tags, *numbers)}), engine=ENGINE)
    assert found.given is None
    assert message in found.headline
    assert found.headline.startswith("NOT COMPARED: ")


def test_a_dose_that_refers_to_the_plan_comes_before_one_that_refers_to_none(spoil: Spoil) -> None:
    folder = spoil({})
    another_dose(folder, "A.dcm", unreferenced)  # the first by its name
    found = recompute(folder, engine=ENGINE)
    assert found.pass_percent == 100.0
    assert any("1 RTDOSE (A.dcm) left out: no plan is referred to" in n for n in found.notes)
    (folder / "RTDOSE.dcm").unlink()
    alone = recompute(folder, engine=ENGINE)
    assert alone.given is not None
    assert any("A.dcm refers to no plan; the only such RTDOSE, it is taken" in n for n in alone.notes)
    shutil.copy(folder / "A.dcm", folder / "B.dcm")
    assert "2 RTDOSE (A.dcm, B.dcm) refer to no plan" in recompute(folder, engine=ENGINE).headline


def test_of_several_doses_of_the_plan_none_is_chosen_by_its_name(spoil: Spoil) -> None:
    folder = spoil({})
    another_dose(folder, "A.dcm", lambda tags: None)
    assert "2 RTDOSE (A.dcm, RTDOSE.dcm) are all the dose of this plan" in recompute(folder, engine=ENGINE).headline


def test_what_lies_in_a_beam_and_is_not_computed_stands_in_the_headline(spoil: Spoil) -> None:
    def tray(tags: Dataset) -> None:
        accessory = Dataset()
        accessory.GeneralAccessoryNumber, accessory.GeneralAccessoryID = 1, "TRAY 3"
        tags.BeamSequence[0].GeneralAccessorySequence = [accessory]
        wedge, state = Dataset(), Dataset()
        wedge.WedgeNumber, wedge.WedgeID, wedge.WedgeType = "1", "EDW60IN", "DYNAMIC"
        wedge.WedgeAngle, wedge.WedgeOrientation = "60", "0"
        state.ReferencedWedgeNumber, state.WedgePosition = "1", "IN"
        beam = tags.BeamSequence[1]
        beam.NumberOfWedges, beam.WedgeSequence = "1", [wedge]
        beam.ControlPointSequence[0].WedgePositionSequence = [state]

    found = recompute(spoil({"RTPLAN.dcm": tray}), engine=ENGINE)
    assert found.unmodeled == ("accessories (TRAY 3)", "the factor of wedge 'EDW60IN', which is not known")
    assert found.headline.startswith(
        "COMPUTED WITHOUT ACCESSORIES (TRAY 3) AND THE FACTOR OF WEDGE 'EDW60IN', WHICH IS NOT KNOWN. "
    )


def test_a_dose_that_cannot_be_compared_is_a_note(spoil: Spoil) -> None:
    found = recompute(spoil({"RTDOSE.dcm": lambda tags: setattr(tags, "DoseUnits", "RELATIVE")}), engine=ENGINE)
    assert found.given is None
    assert any("not compared" in n and "RELATIVE" in n for n in found.notes)


def test_a_plan_that_says_little_is_still_computed(spoil: Spoil) -> None:
    def bare(tags: Dataset) -> None:
        del tags.DoseReferenceSequence
        tags.FrameOfReferenceUID = ""
        tags.BeamSequence[0].NumberOfBoli = "1"

    found = recompute(spoil({"RTPLAN.dcm": bare}), engine=ENGINE)
    assert found.plan.prescription.target == "PTV"
    assert found.plan.prescription.dose_gy == pytest.approx(found.structures[0].recomputed.mean_gy)
    told = " ".join(found.notes)
    for text in ("does not say what it prescribes", "does not say what it treats", "frame of reference missing"):
        assert text in told
    assert found.headline.startswith("COMPUTED WITHOUT BOLI. ")


def test_a_patient_that_lies_otherwise_than_planned_shows_in_the_distances(spoil: Spoil) -> None:
    def elsewhere(tags: Dataset) -> None:
        tags.BeamSequence[0].ControlPointSequence[0].SourceToSurfaceDistance = "850"

    def assigned(tags: Dataset) -> None:
        matter = Dataset()
        matter.ROIPhysicalProperty, matter.ROIPhysicalPropertyValue = "REL_ELEC_DENSITY", "1.2"
        tags.RTROIObservationsSequence[1].ROIPhysicalPropertiesSequence = [matter]

    found = recompute(spoil({"RTPLAN.dcm": elsewhere, "RTSTRUCT.dcm": assigned}), engine=ENGINE)
    assert any("'G0': source to surface 850 mm in the plan; on this CT it is 93" in n for n in found.notes)
    assert any("densities assigned to spinal_cord were left out" in n for n in found.notes)


def test_what_it_treats_can_be_said_and_must_be_drawn(spoil: Spoil, stored: tuple[Path, Plan, Dose]) -> None:
    def elsewhere(tags: Dataset) -> None:
        tags.DoseReferenceSequence[0].ReferencedROINumber = "99"
        tags.DoseReferenceSequence[0].DoseReferenceDescription = "boost"

    found = recompute(spoil({"RTPLAN.dcm": elsewhere}), engine=ENGINE)
    assert any("prescribes to 'boost', which is not drawn; 'PTV' is taken" in n for n in found.notes)
    assert recompute(stored[0], engine=ENGINE, target="spinal_cord").structures[0].name == "spinal_cord"
    with pytest.raises(InputError, match="nowhere"):
        recompute(stored[0], engine=ENGINE, target="nowhere")


def test_another_frame_of_reference_is_refused(spoil: Spoil) -> None:
    with pytest.raises(DicomError, match=r"planned in the frame of reference 1\.2\.3\.4, the CT is in"):
        recompute(spoil({"RTPLAN.dcm": lambda tags: setattr(tags, "FrameOfReferenceUID", "1.2.3.4")}), engine=ENGINE)


def test_a_ct_that_is_not_where_the_plan_is_says_what_is_there(spoil: Spoil) -> None:
    folder = spoil({})
    for n in range(2, 14):
        (folder / f"CT_{n:04d}.dcm").unlink()

    with pytest.raises(GeometryError, match=r"The CT has 2 slices.*12 CT images .* not in the series.*whole CT"):
        recompute(folder, engine=ENGINE)


def test_several_plans_ask_for_one(spoil: Spoil) -> None:
    folder = spoil({})
    tags = pydicom.dcmread(folder / "RTPLAN.dcm")
    tags.RTPlanLabel, tags.SOPInstanceUID = "other", "1.2.3.4.5"
    tags.save_as(folder / "other.dcm", enforce_file_format=True)
    with pytest.raises(DicomError, match=r"holds 2 RTPLAN .*two fields.*other"):
        recompute(folder, engine=ENGINE)
    with pytest.raises(DicomError, match="holds 0 RTPLAN 'third'"):
        recompute(folder, engine=ENGINE, plan="third")
    assert recompute(folder, engine=ENGINE, plan="two fields").pass_percent == 100.0
    assert recompute(folder, engine=ENGINE, plan="other.dcm").given is None


def test_a_machine_of_another_energy_is_refused(stored: tuple[Path, Plan, Dose], spoil: Spoil) -> None:
    def higher(tags: Dataset) -> None:
        tags.BeamSequence[0].ControlPointSequence[0].NominalBeamEnergy = "18"

    with pytest.raises(DicomError, match=r"is of 6 MV, the machines given are generic_10x .*bundled: generic_6x"):
        recompute(stored[0], engine=ENGINE, machine=load_machine("generic_10x"))
    with pytest.raises(DicomError, match=r"is of 18 MV, the machine it names is generic_6x \(6 MV\)"):
        recompute(spoil({"RTPLAN.dcm": higher}), engine=ENGINE)
    both = (load_machine("generic_10x"), load_machine("generic_6x"))
    assert recompute(stored[0], engine=ENGINE, machine=both).pass_percent == 100.0


def test_the_command_prints_tables_and_writes_dose_and_picture(
    stored: tuple[Path, Plan, Dose], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["recompute", str(stored[0]), "--engine", "pencil_beam", "--spacing", "8", "--quiet", "-o", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "RECOMPUTED 'two fields'" in printed
    assert "gamma 3 %/2 mm" in printed
    assert sorted(p.name for p in out.iterdir()) == [
        "RTDOSE.dcm",
        "difference.png",
        "recomputed.json",
        "recomputed.txt",
    ]
    record = json.loads((out / "recomputed.json").read_text())
    assert record["gamma"][0]["pass_percent"] == 100.0
    assert record["structures"][0]["name"] == "PTV"
    dose = rt.io.read_dose(out / "RTDOSE.dcm", fractions=5)
    np.testing.assert_allclose(dose.values_gy, stored[2].values_gy, atol=stored[2].max_gy / 65000)
    assert main(arguments) == 5  # it is there already
    assert main([*arguments[:-2], "--json"]) == 0
    assert main(["recompute", str(stored[0]), "--machine", "generic_10x", "--quiet"]) == 2


def test_the_command_tells_a_dose_beyond_the_action_level_by_its_status(spoil: Spoil) -> None:
    def hotter(tags: Dataset) -> None:
        tags.DoseGridScaling = 1.2 * float(tags.DoseGridScaling)

    folder = spoil({"RTDOSE.dcm": hotter})
    assert main(["recompute", str(folder), "--engine", "pencil_beam", "--spacing", "8", "--quiet", "--json"]) == 3
