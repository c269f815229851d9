"""A stereotactic plan: 24 Gy in two fractions to a renal metastasis at T8 whose epidural tumor deforms the thecal sac.

New here: an influence matrix, the cord limit held as a hard constraint in the delivered dose, and a 3-D view.
"""

import sys
from pathlib import Path

import rtsim as rt
from rtsim.view import save, save_figure, slice_figure


def main(out: Path) -> None:
    """Plan, grade, and save two pictures into ``out``."""
    phantom = rt.load_phantom("spine_t8_epidural")
    machine = rt.load_machine("generic_6fff")
    protocol = rt.load_protocol("spine_sbrt_2fx")  # every goal cites its source
    prescription = protocol.prescription("PTV", dose_gy=24.0)

    beams = rt.beams.coplanar(machine, target=phantom["PTV"], gantry_deg=range(100, 261, 20))
    planned = rt.optimize.plan_stereotactic(
        phantom,
        prescription,
        protocol,
        machine,
        engine=rt.CollapsedCone(spacing_mm=3.0),
        beams=rt.beams.with_beamlets(beams, phantom["PTV"]),
        seed=1,
    )

    report = rt.evaluate.grade(
        planned.dose,
        planned.phantom,
        prescription,
        protocol,
        histology=rt.biology.histology("renal"),
        certificates=planned.plan.certificates,
    )
    print(report)
    for certificate in planned.plan.certificates:
        print(certificate.statement)

    save_figure(
        slice_figure(
            planned.phantom,
            dose=planned.dose,
            prescription_gy=prescription.dose_gy,
            title=f"{prescription}: the isodoses bend round the canal",
        ),
        out / "03_slices.png",
    )
    save(
        out / "03_stereotactic_spine.png",
        planned.phantom,
        dose=planned.dose,
        beams=planned.plan.beams,
        isodoses_gy=[12.0, 17.0, 24.0],
    )


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
