"""A conventional plan: three fields on a myeloma metastasis at T10, 8 Gy in one fraction.

New here: a bundled case, a protocol, wedged fields planned forward, and the grade of a plan goal by goal.
"""

import sys
from pathlib import Path

import rtsim as rt
from rtsim.view import dvh_figure, save_figure, slice_figure


def main(out: Path) -> None:
    """Plan, grade, and save two pictures into ``out``."""
    phantom = rt.load_phantom("spine_t10_myeloma_conventional")
    protocol = rt.load_protocol("spine_conventional_1fx")
    prescription = protocol.prescription("PTV")

    planned = rt.optimize.plan_conventional(
        phantom,
        prescription,
        protocol,
        rt.load_machine("generic_6x"),
        engine=rt.CollapsedCone(spacing_mm=3.0),
        technique=rt.optimize.FieldArrangement.PA_AND_OBLIQUES,
    )

    report = rt.evaluate.grade(
        planned.dose,
        planned.phantom,
        prescription,
        protocol,
        histology=rt.biology.histology("myeloma"),
        certificates=planned.plan.certificates,
    )
    print(report)
    for beam in planned.plan.beams:
        print(f"{beam.name}: gantry {beam.gantry_deg:g} deg, {beam.monitor_units:.0f} MU")

    title = f"{prescription}, {len(planned.plan.beams)} fields"
    save_figure(
        slice_figure(
            planned.phantom, dose=planned.dose, prescription_gy=prescription.dose_gy, title=title, half_width_mm=120.0
        ),
        out / "02_conventional_spine.png",
    )
    save_figure(dvh_figure(planned.phantom, planned.dose, prescription=prescription, title=title), out / "02_dvh.png")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
