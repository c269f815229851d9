"""What a cord limit costs: coverage of the target against the limit, by optimizing the fluence again and again.

New here: an influence matrix and a fluence of your own, another wanted coverage, the trade-off and its picture.
"""

import sys
from dataclasses import replace
from pathlib import Path

import rtsim as rt
from rtsim.view import save_figure, tradeoff_figure


def main(out: Path) -> None:
    """Ask for more coverage than the limit allows, and save one picture into ``out``."""
    phantom = rt.load_phantom("spine_t8_epidural")
    machine = rt.load_machine("generic_6fff")
    protocol = rt.load_protocol("spine_sbrt_1fx", cord_limits="reirradiation")  # 9 Gy, for a cord treated before
    prescription = replace(protocol.prescription("PTV", dose_gy=24.0), coverage_percent=96.0)  # 90 % is usual

    beams = rt.beams.posterior(machine, count=9, target=phantom["PTV"])
    beams = rt.beams.with_beamlets(beams, phantom["PTV"], pitch_mm=5.0, margin_mm=5.0)
    influence = rt.CollapsedCone(spacing_mm=4.0).influence(phantom, beams)

    fluence = rt.optimize.fluence(influence, phantom, prescription, protocol)
    found = rt.optimize.tradeoff(fluence, phantom)
    for limit, coverage, d95 in zip(found.limits_gy, found.coverage_percent, found.d95_gy, strict=True):
        print(f"limit {limit:5.2f} Gy: {coverage:5.1f} % of the target covered, D95 {d95:.1f} Gy")
    print(found.statement)
    save_figure(tradeoff_figure(found), out / "07_tradeoff.png")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
