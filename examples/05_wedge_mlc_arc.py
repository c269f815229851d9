"""What wedges, the leaves of an MLC and an arc do: each beside the same without it, on one vertebra.

New here: a wedge turned to a side, leaves around a target, an arc; a picture of your own from a dose as an array.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

import rtsim as rt
from rtsim.beams import conform, conformal_arc, coplanar, wedge_toward
from rtsim.view import save_figure

PERCENT = [30, 50, 80, 95, 107, 140]  # of the target's mean dose
COLORS = ["#3b6fb6", "#3aa6a0", "#a6c34c", "#f4d35e", "#d7301f"]


def main(out: Path) -> None:
    """Compute five deliveries and save one picture into ``out``."""
    phantom = rt.load_phantom("spine_t10_myeloma_conventional")
    machine, target = rt.load_machine("generic_6x"), phantom["PTV"]

    pair = [conform(beam, target) for beam in coplanar(machine, gantry_deg=(135.0, 225.0), target=target)]
    front = (0.0, -1.0, 0.0)  # the thin ends point there: the heels make up for what both fields give the back
    wedged = [wedge_toward(beam, machine.wedge("physical_45"), front) for beam in pair]

    behind, start = coplanar(machine, gantry_deg=(180.0, 181.0), target=target)
    shaped = conform(behind, target)
    ((aperture, units),) = shaped.segments()
    boxed = shaped.with_segments(((replace(aperture, leaf_pairs_mm=None), units),))
    arc = conformal_arc(start, target, turn_deg=358.0, step_deg=15.0)

    inside = target.coverage_on(phantom.grid)
    figure = Figure(figsize=(13.0, 8.6), facecolor="white", layout="constrained")
    panels = figure.subplots(2, 3)
    without = (("two fields", pair), ("jaws alone", [boxed]), ("one field", [shaped]))
    with_it = (("two fields with wedges", wedged), ("jaws and leaves", [shaped]), ("an arc", [arc]))
    for row, deliveries in enumerate((without, with_it)):
        for column, (label, beams) in enumerate(deliveries):
            dose = rt.dose.forward(phantom, beams, engine=rt.CollapsedCone(spacing_mm=5.0)).on(phantom.grid)
            percent = 100.0 * dose.values_gy / np.average(dose.values_gy, weights=inside)
            beside_ml = np.sum((percent > 50.0) * (1.0 - inside)) * np.prod(phantom.grid.spacing_mm) / 1000.0
            colors = draw(panels[row, column], phantom, percent, coronal=column == 1)
            panels[row, column].set_title(label, fontsize=16)
            said = f"hottest {percent.max():.0f} %, half dose to {beside_ml:.0f} ml beside it"
            panels[row, column].set_xlabel(said, fontsize=11)
            print(f"{label}: {sum(b.monitor_units for b in beams):.0f} MU, {said}")
    figure.colorbar(colors, ax=panels, shrink=0.5, label="dose, % of the mean in the target (white)")
    save_figure(figure, out / "05_wedge_mlc_arc.png")


def draw(axes: Axes, phantom: rt.Phantom, percent: np.ndarray, *, coronal: bool) -> ContourSet:
    """A plane through the middle of the target: CT, dose in color, target white, cord black."""
    grid, center = phantom.grid, np.array(phantom["PTV"].centroid_mm)
    index = np.round((center - grid.origin_mm) / grid.spacing_mm).astype(int)
    cut = np.s_[:, index[1], :] if coronal else np.s_[index[2], :, :]
    up_mm = grid.z_mm if coronal else grid.y_mm
    axes.pcolormesh(grid.x_mm, up_mm, phantom.ct.hu[cut], cmap="gray", vmin=-400, vmax=700, shading="nearest")
    colors = axes.contourf(grid.x_mm, up_mm, percent[cut], PERCENT, colors=COLORS, alpha=0.65)
    for name, color in (("PTV", "white"), ("spinal_cord", "black")):
        axes.contour(grid.x_mm, up_mm, phantom[name].coverage_on(grid)[cut], [0.5], colors=color, linewidths=2.5)
    middle = center[2] if coronal else center[1]
    axes.set(xlim=(center[0] - 95, center[0] + 95), ylim=(middle - 85, middle + 85), xticks=[], yticks=[], aspect=1)
    axes.set_facecolor("black")
    axes.text(0.5, 0.95, "head" if coronal else "front", transform=axes.transAxes, color="white", ha="center", va="top")
    if not coronal:
        axes.invert_yaxis()  # y points to the back
    return colors


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
