"""Two arcs behind the patient: a stereotactic plan, its certificate, and how long the machine takes for it.

New here: a technique of delivery, positions of the patient in which the cord limit holds, the picture of an arc.
"""

import sys
from pathlib import Path

import rtsim as rt
from rtsim.optimize import Arcs, Scenarios
from rtsim.view import arc_figure, save_figure, slice_figure


def main(out: Path) -> None:
    """Plan 30 Gy in 5 fractions to a cervical vertebra and save two pictures into ``out``."""
    phantom = rt.load_phantom("spine_c6")
    machine = rt.load_machine("generic_6fff")
    protocol = rt.load_protocol("spine_sbrt_5fx")
    prescription = protocol.prescription("PTV")

    # From straight behind to each side, with a turn of the collimator that keeps leaf gaps from lying on one another.
    arcs = Arcs(start_deg=(179.0, 181.0), stop_deg=(60.0, 300.0), collimator_deg=(10.0, 350.0))
    planned = rt.optimize.plan_stereotactic(
        phantom,
        prescription,
        protocol,
        machine,
        engine=rt.CollapsedCone(spacing_mm=4.0),  # coarse, for a quick look; 2 mm is the default of `rtsim run`
        delivery=arcs,
        scenarios=Scenarios(shift_mm=1.0, rotation_deg=1.0),
    )
    for certificate in planned.plan.certificates:
        print(certificate.headline)
    print(rt.evaluate.delivery_summary(planned.plan))
    for beam in planned.plan.beams:
        print(f"{beam.name}: {rt.beams.check_delivery(beam).describe()}")

    figure = slice_figure(
        planned.phantom, dose=planned.dose, target="PTV", prescription_gy=prescription.dose_gy, title=str(prescription)
    )
    save_figure(figure, out / "06_arc_dose.png")
    save_figure(arc_figure(planned.plan.beams[0]), out / "06_arc_plan.png")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
