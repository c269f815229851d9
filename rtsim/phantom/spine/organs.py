"""Organs of chest and belly: where they lie beside the column. Places and sizes are modelling assumptions [A], with the
aorta and esophagus 5-15 mm in front of T4-T10 and the kidneys at T12-L3."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim.geometry.shapes import Axis, Capsule, Ellipsoid, Intersection, Section, Shape, Sweep, Union
from rtsim.phantom.spine.trunk import Trunk, cavity_section
from rtsim.typing import FloatArray, Vector3


@dataclass(frozen=True)
class Organ:
    """A shape to paint with a tissue (empty: not painted); ``structure`` is its name, empty when it is not drawn.
    Organs of one name are drawn as one."""

    shape: Shape
    tissue: str
    structure: str = ""
    color: tuple[int, int, int] | None = None


def along(
    trunk: Trunk,
    names: tuple[str, ...],
    x_mm: tuple[float, ...],
    before_mm: tuple[float, ...],
    half_mm: tuple[tuple[float, float], ...],
) -> Sweep:
    """A tube through the levels ``names`` (downward), ``before_mm`` in front of each body's anterior face."""
    sections = []
    for name, x, before, half in zip(names, x_mm, before_mm, half_mm, strict=True):
        p = trunk.column[name]
        face = p.at(0.0, -p.level.endplate_depth_mm / 2, 0.0)
        sections.append(Section(face[2], (x, face[1] - before), half))
    return Sweep(tuple(sorted(sections, key=lambda s: s.z_mm)))


def _wider(tube: Sweep, rim_mm: float) -> Sweep:
    """The tube with a rim, ending where it ends."""
    wider = (
        Section(s.z_mm, s.center_mm, (s.half_widths_mm[0] + rim_mm, s.half_widths_mm[1] + rim_mm))
        for s in tube.sections
    )
    return Sweep(tuple(wider), tube.exponent)


def thoracic_organs(trunk: Trunk) -> tuple[Organ, ...]:
    """What to paint in the chest (and neck), in order."""
    left, right = trunk.lungs()
    esophagus = along(
        trunk,
        ("C6", "T1", "T5", "T8", "T10", "T11"),
        (1.0, 3.0, -1.0, -2.0, 4.0, 14.0),
        (7.0, 8.0, 10.0, 13.0, 27.0, 33.0),
        ((9.0, 5.0),) * 3 + ((8.0, 6.0),) * 3,
    )
    airway = along(
        trunk,
        ("C2", "C4", "C6", "T1", "T4"),
        (0.0,) * 5,
        (11.0, 14.0, 22.0, 24.0, 27.0),
        ((11.0, 5.5), (10.0, 6.0), (8.0, 8.0), (8.0, 8.5), (8.5, 8.0)),
    )
    return (
        Organ(Intersection((trunk.cavity(), _chest_only(trunk))), "mesentery"),
        Organ(left, "lung", "lung_left", (80, 160, 255)),
        Organ(right, "lung", "lung_right", (60, 130, 230)),
        *_lung_vessels(trunk),
        *_heart_and_vessels(trunk),
        Organ(esophagus, "esophagus", "esophagus", (190, 110, 60)),
        Organ(airway.grown(2.0), "soft_tissue"),
        Organ(airway, "air", "trachea", (150, 220, 220)),
        *_bronchi(trunk),
        *_neck(trunk),
    )


def _chest_only(trunk: Trunk) -> Shape:
    top, bottom = trunk.column["T1"].center_mm[2] + 40.0, trunk.column["L1"].center_mm[2]
    return Sweep((Section(bottom, (0.0, 0.0), (400.0, 400.0)), Section(top, (0.0, 0.0), (400.0, 400.0))))


def _heart_and_vessels(trunk: Trunk) -> tuple[Organ, ...]:
    t8 = trunk.column["T8"]
    wall = cavity_section(t8)
    breast = wall.center_mm[1] - wall.half_widths_mm[1]
    heart = Ellipsoid((0.0, 0.0, 0.0), (52.0, 31.0, 46.0)).rotated(Axis.Z, 30.0)
    heart = heart.moved((22.0, breast + 40.0, t8.center_mm[2] + 2.0))
    aorta = _descending_aorta(trunk)
    arch_start = aorta.sections[-1]
    back = (*arch_start.center_mm, arch_start.z_mm)
    middle = (8.0, back[1] - 32.0, back[2] + 11.0)
    ascending = (-14.0, back[1] - 52.0, back[2] - 6.0)
    arch = (
        Capsule(back, middle, 12.5, 13.5),
        Capsule(middle, ascending, 13.5, 14.5),
        Capsule(ascending, (-10.0, ascending[1] + 4.0, t8.center_mm[2] + 35.0), 14.5, 15.0),
    )
    cava = along(
        trunk, ("T10", "T12", "L2", "L4"), (-22.0, -20.0, -17.0, -14.0), (26.0, 20.0, 12.0, 10.0), ((12.0, 9.0),) * 4
    )
    azygos = along(trunk, ("T5", "T12"), (-7.0, -5.0), (3.5, 3.5), ((3.5, 3.0),) * 2)
    return (
        Organ(heart.grown(4.0), "fat"),
        Organ(heart, "heart", "heart", (230, 80, 80)),
        Organ(Union((aorta, *arch)), "vessel", "aorta", (220, 40, 40)),
        Organ(cava, "vessel", "inferior_vena_cava", (70, 90, 200)),
        Organ(superior_cava(trunk), "vessel"),
        Organ(azygos, "vessel"),
    )


def _descending_aorta(trunk: Trunk) -> Sweep:
    return along(
        trunk,
        ("T4", "T5", "T7", "T9", "T11", "T12", "L2", "L4"),
        (24.0, 23.0, 22.0, 19.0, 12.0, 7.0, 5.0, 3.0),
        (6.0, 4.0, 5.0, 7.0, 12.0, 14.0, 13.0, 12.0),
        ((12.5, 12.5),) * 4 + ((11.5, 11.5), (11.0, 11.0), (10.0, 10.0), (9.0, 9.0)),
    )


def superior_cava(trunk: Trunk) -> Shape:
    """The upper vena cava, right of the ascending aorta."""
    arch, t8 = _descending_aorta(trunk).sections[-1], trunk.column["T8"]
    y = arch.center_mm[1] - 52.0
    return Capsule((-26.0, y + 6.0, arch.z_mm + 30.0), (-26.0, y + 14.0, t8.center_mm[2] + 30.0), 9.0, 9.0)


def main_bronchi(trunk: Trunk) -> tuple[Shape, Shape]:
    """Left and right main bronchus with their walls."""
    left, right = (Capsule(*_bronchus_mm(trunk, side), 8.5, 7.0) for side in (1.0, -1.0))
    return left, right


def _bronchus_mm(trunk: Trunk, side: float) -> tuple[Vector3, Vector3]:
    t4 = trunk.column["T4"]
    face = t4.at(0.0, -t4.level.endplate_depth_mm / 2, 0.0)
    carina = (0.0, face[1] - 27.0, face[2])
    return carina, (side * 36.0, carina[1] + 3.0, carina[2] - (30.0 if side > 0 else 34.0))


def _bronchi(trunk: Trunk) -> tuple[Organ, ...]:
    out = []
    for side, whole in zip((1.0, -1.0), main_bronchi(trunk), strict=True):
        carina, end = _bronchus_mm(trunk, side)
        out.append(Organ(whole, "soft_tissue"))
        out.append(Organ(Capsule(carina, end, 7.0, 5.5), "air"))
        for y, z in ((-16.0, -14.0), (14.0, -26.0), (4.0, 16.0)):
            out.append(Organ(Capsule(end, (end[0] + side * 34.0, end[1] + y, end[2] + z), 4.5, 2.0), "vessel"))
    return tuple(out)


def _lung_vessels(trunk: Trunk) -> tuple[Organ, ...]:
    """Vessels that fan out from each hilum and thin towards the pleura."""
    rng = np.random.default_rng(3000)  # the same tree in every phantom
    t5 = trunk.column["T5"]
    wall = cavity_section(t5)
    inside = tuple(lung.grown(-4.0) for lung in trunk.lungs())
    out: list[Organ] = []
    for side, lung in zip((1.0, -1.0), inside, strict=True):
        start = np.array((side * 42.0, wall.center_mm[1] + 4.0, t5.center_mm[2] - 22.0))
        for _ in range(26):
            turn, rise = rng.uniform(-1.9, 1.9), rng.uniform(-1.0, 0.8)
            along = np.array((side * np.cos(turn / 1.6), np.sin(turn), rise)) * rng.uniform(45.0, 85.0)
            end = start + along
            vessel = Capsule(_point(start), _point(end), float(rng.uniform(1.8, 3.4)), 0.8)
            out.append(Organ(Intersection((vessel, lung)), "vessel"))
    return tuple(out)


def _point(values: FloatArray) -> Vector3:
    return float(values[0]), float(values[1]), float(values[2])


def _neck(trunk: Trunk) -> tuple[Organ, ...]:
    out: list[Organ] = []
    for side in (1.0, -1.0):
        carotid = along(
            trunk, ("C3", "C6", "T1"), (side * 26.0, side * 23.0, side * 20.0), (14.0, 16.0, 18.0), ((4.0, 4.0),) * 3
        )
        jugular = along(
            trunk, ("C3", "C6", "T1"), (side * 33.0, side * 32.0, side * 28.0), (10.0, 14.0, 18.0), ((6.0, 5.0),) * 3
        )
        for vessel in (carotid, jugular):
            out += [Organ(_wider(vessel, 2.0), "fat"), Organ(vessel, "vessel")]
        c7 = trunk.column["C7"]
        face = c7.at(0.0, -c7.level.endplate_depth_mm / 2, 0.0)
        out.append(Organ(Ellipsoid((side * 15.0, face[1] - 22.0, face[2]), (8.0, 10.0, 22.0)), "thyroid"))
    return tuple(out)


def abdominal_organs(trunk: Trunk, seed: int) -> tuple[Organ, ...]:
    """What to paint in the belly and beside the lumbar spine, in order."""
    belly, c = trunk.belly(), trunk.column
    t12, l1, l2 = c["T12"], c["L1"], c["L2"]
    wall = cavity_section(t12)
    y0, half = wall.center_mm[1], wall.half_widths_mm
    liver = Intersection(
        (
            Ellipsoid((-0.52 * half[0], y0 - 6.0, t12.center_mm[2] - 2.0), (0.58 * half[0], 76.0, 84.0)),
            belly.grown(-3.0),
        )
    )
    spleen = Intersection(
        (Ellipsoid((0.72 * half[0], y0 + 34.0, t12.center_mm[2] + 4.0), (30.0, 44.0, 50.0)), belly.grown(-3.0))
    )
    stomach = Intersection(
        (Ellipsoid((0.36 * half[0], y0 - 26.0, t12.center_mm[2]), (44.0, 36.0, 46.0)), belly.grown(-4.0))
    )
    gas = Intersection(
        (stomach.grown(-5.0), Ellipsoid((0.36 * half[0], y0 - 54.0, t12.center_mm[2] + 10.0), (40.0, 18.0, 40.0)))
    )
    return (
        Organ(belly, "mesentery"),
        *_bowel(trunk, seed),
        Organ(stomach, "stomach", "stomach", (200, 150, 190)),
        Organ(gas, "bowel_gas"),
        Organ(liver, "liver", "liver", (150, 90, 40)),
        Organ(spleen, "spleen", "spleen", (140, 70, 120)),
        *_kidneys(trunk, l1.center_mm, l2.center_mm),
        *_lumbar_vessels(trunk),
        *_back_muscles(trunk),
    )


def renal_sinuses(trunk: Trunk) -> tuple[Shape, Shape]:
    """Left and right sinus of the kidneys, where their vessels enter."""
    l1, l2 = trunk.column["L1"].center_mm, trunk.column["L2"].center_mm
    left, right = (_sinus(l1, l2, side, lower) for side, lower in ((1.0, 0.0), (-1.0, 14.0)))
    return left, right


def _kidney_center(l1: Vector3, l2: Vector3, side: float, lower: float) -> Vector3:
    z = (l1[2] + l2[2]) / 2
    return side * 66.0, l1[1] + 8.0, z + 6.0 - lower


def _sinus(l1: Vector3, l2: Vector3, side: float, lower: float) -> Shape:
    return Ellipsoid((-side * 14.0, -6.0, 0.0), (13.0, 9.0, 24.0)).moved(_kidney_center(l1, l2, side, lower))


def _kidneys(trunk: Trunk, l1: tuple[float, float, float], l2: tuple[float, float, float]) -> tuple[Organ, ...]:
    out: list[Organ] = []
    for side, name, lower in ((1.0, "kidney_left", 0.0), (-1.0, "kidney_right", 14.0)):
        center = _kidney_center(l1, l2, side, lower)
        kidney = Ellipsoid((0.0, 0.0, 0.0), (24.0, 28.0, 54.0)).rotated(Axis.Z, side * 35.0).rotated(Axis.Y, side * 8.0)
        out.append(Organ(kidney.grown(6.0).moved(center), "fat"))
        out.append(Organ(kidney.moved(center), "kidney", name, (200, 130, 60)))
        out.append(Organ(_sinus(l1, l2, side, lower), "mesentery"))
    return tuple(out)


def _lumbar_vessels(trunk: Trunk) -> tuple[Organ, ...]:
    """Aorta and cava again, over the fat of the belly (the drawn structure is the one of the chest's list)."""
    return tuple(
        Organ(o.shape, o.tissue) for o in _heart_and_vessels(trunk) if o.structure in {"aorta", "inferior_vena_cava"}
    )


def _back_muscles(trunk: Trunk) -> tuple[Organ, ...]:
    out: list[Organ] = []
    names = ("T12", "L1", "L2", "L3", "L4", "L5", "S1", "S2")
    for side in (1.0, -1.0):
        psoas, erector = [], []
        for name, size in zip(names, (4.0, 7.0, 11.0, 15.0, 18.0, 19.0, 18.0, 16.0), strict=True):
            p = trunk.column[name]
            edge = p.level.endplate_width_mm / 2
            psoas.append(
                Section(p.center_mm[2], (side * (edge + 0.80 * size), p.center_mm[1] + 4.0), (size, 1.15 * size))
            )
        for p in trunk.column.rising():
            if p.level.name != "S2":
                wide = float(
                    np.interp(p.center_mm[2], (trunk.column.z_mm("L4"), trunk.column.z_mm("T4")), (29.0, 21.0))
                )
                deep = float(
                    np.interp(p.center_mm[2], (trunk.column.z_mm("L4"), trunk.column.z_mm("T4")), (21.0, 13.0))
                )
                erector.append(
                    Section(p.center_mm[2], (side * (wide + 3.0), p.canal_mm[1] + 12.0 + deep), (wide, deep))
                )
        muscle = Sweep(tuple(sorted(psoas, key=lambda s: s.z_mm)))
        out += [Organ(_wider(muscle, 2.0), "fat"), Organ(muscle, "muscle")]
        back = Sweep(tuple(sorted(erector, key=lambda s: s.z_mm)), 2.4)
        out += [Organ(_wider(back, 2.0), "fat"), Organ(back, "muscle")]
    return tuple(out)


def _bowel(trunk: Trunk, seed: int) -> tuple[Organ, ...]:
    """Loops of bowel: a seeded heap of tubes in front of L1-S1, some with gas in front."""
    rng = np.random.default_rng(seed + 2000)
    inside = trunk.belly().grown(-6.0)
    out: list[Organ] = []
    for _ in range(60):
        p = trunk.column[("L1", "L2", "L3", "L4", "L5", "S1")[int(rng.integers(6))]]
        wall = cavity_section(p)
        x = float(rng.uniform(-0.85, 0.85)) * wall.half_widths_mm[0]
        y = wall.center_mm[1] + float(rng.uniform(-0.85, 0.15)) * wall.half_widths_mm[1]
        z = p.center_mm[2] + float(rng.uniform(-18.0, 18.0))
        r = float(rng.uniform(9.0, 15.0))
        end = (
            x + float(rng.uniform(-32.0, 32.0)),
            y + float(rng.uniform(-12.0, 12.0)),
            z + float(rng.uniform(-20.0, 20.0)),
        )
        loop = Intersection((Capsule((x, y, z), end, r, r), inside))
        out.append(Organ(loop, "bowel_wall", "bowel", (190, 170, 90)))
        if rng.uniform() < 0.3:
            up = (end[0], end[1] - 0.3 * r, end[2])
            out.append(Organ(Intersection((Capsule((x, y - 0.3 * r, z), up, 0.6 * r, 0.5 * r), inside)), "bowel_gas"))
    return tuple(out)
