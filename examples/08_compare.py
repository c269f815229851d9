"""The same patient with 30 Gy in 10 and with 24 Gy in 2: what the tumor gets, and what the cord pays.

New here: one patient with a target volume for each technique; EQD2, control and risk side by side; a page of HTML.
"""

import sys
from pathlib import Path

import rtsim as rt
from rtsim.evaluate import comparison_text
from rtsim.phantom.spine import EpiduralGrade, SpineSpec, spine
from rtsim.view import balance_figure, compared_patient, compared_plan, save_figure, write_comparison

ENGINE = rt.CollapsedCone(spacing_mm=4.0)
TUMOR = rt.biology.histology("renal")


def main(out: Path) -> None:
    """Plan both, print the comparison, and save a picture and a page into ``out``."""
    grade = EpiduralGrade.ESCC_1B
    # Conventional treats the vertebra with its canal, stereotactic spares the cord: the same CT, other targets.
    usual = spine(SpineSpec(level="T8", epidural=grade, spare_cord=False, ptv_margin_mm=10.0, cord_prv_mm=3.0))
    steep = spine(SpineSpec(level="T8", epidural=grade, ptv_margin_mm=2.0, cord_prv_mm=2.0))

    by_fields = rt.load_protocol("spine_conventional_10fx")
    conventional = rt.optimize.plan_conventional(
        usual, by_fields.prescription("PTV", dose_gy=30.0), by_fields, rt.load_machine("generic_6x"), engine=ENGINE
    )
    by_intensity = rt.load_protocol("spine_sbrt_2fx")
    stereotactic = rt.optimize.plan_stereotactic(
        steep,
        by_intensity.prescription("PTV", dose_gy=24.0),
        by_intensity,
        rt.load_machine("generic_6fff"),
        engine=ENGINE,
        seed=1,
    )

    plans = [
        compared_plan(conventional, by_fields, histology=TUMOR),
        compared_plan(stereotactic, by_intensity, histology=TUMOR),
    ]
    patient = compared_patient("T8, epidural", plans, histology=TUMOR)
    print(comparison_text(patient.comparison))
    save_figure(balance_figure(patient.comparison), out / "08_compare.png")
    write_comparison(out / "08_compare.html", [patient])


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
