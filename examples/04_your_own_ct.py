"""Your own CT: a folder with a CT series and an RTSTRUCT, or arrays, to a dose and DICOM files.

New here: DICOM in and out, planning volumes made from what is drawn, a density override for metal.
Without a folder of your own the example first writes a bundled case as DICOM, and reads that.

    python examples/04_your_own_ct.py OUT [FOLDER TARGET [CORD]]
"""

import sys
from pathlib import Path

import rtsim as rt
from rtsim.phantom.targets import PlanningVolumes, with_planning_volumes
from rtsim.view import save_figure, slice_figure


def main(out: Path, folder: Path | None = None, target: str = "GTV", cord: str = "spinal_cord") -> None:
    """Read, plan an emergency PA field, write DICOM and a picture into ``out``."""
    if folder is None:
        folder = out / "04_dicom_in"
        rt.io.write_dicom(folder, rt.load_phantom("spine_l3_conventional"), overwrite=True)
    for line in rt.io.scan_dicom(folder).describe():
        print(line)
    phantom = rt.io.read_dicom(folder)
    if "Rods" in phantom.structures:  # metal saturates a CT: say what it is, by structure
        phantom = phantom.overriding(
            rt.DensityOverride(structure="Rods", density_g_cm3=4.43, material=rt.materials.get("ti6al4v"))
        )
    volumes = PlanningVolumes(target=target, cord=cord, ptv_margin_mm=10.0, cord_margin_mm=3.0, spare_cord=False)
    phantom, ptv = with_planning_volumes(phantom, volumes)
    protocol = rt.load_protocol("spine_conventional_1fx")
    prescription = protocol.prescription(ptv)
    planned = rt.optimize.plan_conventional(
        phantom,
        prescription,
        protocol,
        rt.load_machine("generic_6x"),
        engine=rt.CollapsedCone(spacing_mm=4.0),
        technique=rt.optimize.FieldArrangement.PA,
    )
    print(rt.evaluate.grade(planned.dose, planned.phantom, prescription, protocol))

    written = rt.io.write_dicom(out / "04_dicom_out", planned.phantom, planned.plan, planned.dose, overwrite=True)
    print(f"wrote {len(written.ct)} CT slices, RTSTRUCT, RTPLAN, RTDOSE to {written.folder}")
    save_figure(
        slice_figure(
            planned.phantom,
            dose=planned.dose,
            prescription_gy=prescription.dose_gy,
            half_width_mm=140.0,
            title=f"{prescription}, one posterior field",
        ),
        out / "04_your_own_ct.png",
    )


if __name__ == "__main__":
    target_folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
    target_folder.mkdir(parents=True, exist_ok=True)
    own = [Path(a) for a in sys.argv[2:3]]
    main(target_folder, *own, *sys.argv[3:5])
