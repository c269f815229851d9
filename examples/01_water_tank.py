"""A water tank: depth dose and profile of a 10 x 10 field, in Gy, and how field size changes the depth dose.

New here: a phantom, a machine, a beam, a dose; reading doses along a line; a 3-D view.
"""

import sys
from pathlib import Path

import numpy as np

import rtsim as rt
from rtsim.view import Curve, Scene, curve_figure, depth_curve, save_figure


def main(out: Path) -> None:
    """Compute three open fields and save two pictures into ``out``."""
    water = rt.phantoms.water_box(side_mm=300.0, spacing_mm=3.0)  # the surface that gantry 0 enters is at y = -150 mm
    machine = rt.load_machine("generic_6x")
    surface_mm, ssd_mm = -150.0, 1000.0
    depth_mm = np.arange(2.0, 280.0, 2.0)
    on_axis = np.stack([np.zeros_like(depth_mm), surface_mm + depth_mm, np.zeros_like(depth_mm)], axis=-1)

    curves: list[Curve] = []
    for side_mm in (50.0, 100.0, 200.0):
        beam = rt.Beam.open_field(
            machine,
            (side_mm, side_mm),
            gantry_deg=0.0,
            monitor_units=100.0,
            isocenter_mm=(0.0, surface_mm + ssd_mm - machine.sad_mm, 0.0),
        )
        dose = rt.dose.forward(water, beam, engine=rt.CollapsedCone())
        along = dose.at(on_axis)
        curves.append(depth_curve(f"{side_mm / 10:g} x {side_mm / 10:g} cm", depth_mm, along))
        at_10cm = float(np.interp(100.0, depth_mm, along))
        print(
            f"{side_mm / 10:3g} cm field: maximum {along.max():.3f} Gy at {depth_mm[along.argmax()]:.0f} mm, "
            f"10 cm deep {at_10cm:.3f} Gy = {100 * at_10cm / along.max():.1f} % (100 MU, SSD 100 cm)"
        )
        if side_mm == 100.0:
            x_mm = np.arange(-90.0, 91.0, 2.0)
            line = np.stack([x_mm, np.full_like(x_mm, surface_mm + 100.0), np.zeros_like(x_mm)], axis=-1)
            profile = Curve(label="10 x 10 cm, 10 cm deep", position_mm=x_mm, dose=dose.at(line))
            scene = Scene(water)
            scene.add_beams([beam])
            scene.add_dose(dose, isodoses_percent=[20, 50, 80, 95])
            scene.save(out / "01_water_tank_3d.png")

    save_figure(curve_figure(curves, title="6 MV depth dose in water, SSD 100 cm"), out / "01_water_tank.png")
    save_figure(
        curve_figure([profile], across="off axis, mm", dose_label="dose, Gy per 100 MU", title="6 MV profile"),
        out / "01_profile.png",
    )


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
