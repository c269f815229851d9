"""Put it together: column, trunk, organs and lesion painted on one CT, and the structures that a planner would draw."""

from __future__ import annotations

import logging

import numpy as np

from rtsim.ct import CT
from rtsim.geometry.coverage import Cover
from rtsim.geometry.grid import Grid
from rtsim.geometry.shapes import Capsule, Shape, Sweep
from rtsim.phantom import margins
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.spine.canvas import Canvas
from rtsim.phantom.spine.column import Column, Placement
from rtsim.phantom.spine.further_organs import further_organs
from rtsim.phantom.spine.hardware_phantom import instrumented
from rtsim.phantom.spine.lesion import Lesion
from rtsim.phantom.spine.organs import Organ, abdominal_organs, thoracic_organs
from rtsim.phantom.spine.ribs import paint_cage
from rtsim.phantom.spine.spec import LesionKind, SpineSpec
from rtsim.phantom.spine.trunk import SKIN_MM, Trunk
from rtsim.phantom.spine.vertebra import Vertebra, disc_between
from rtsim.phantom.structure import Role, Structure, Structures
from rtsim.typing import FloatArray, Progress

_log = logging.getLogger(__name__)
AIR_MM = 12.0
"""Air kept around the widest section."""


def spine(
    spec: SpineSpec,
    *,
    name: str | None = None,
    description: str = "",
    case_sha256: str = "",
    progress: Progress | None = None,
) -> Phantom:
    """The phantom that ``spec`` describes; the center of the target's body is the origin.

    Structures: BODY, GTV, CTV, PTV, spinal_cord and spinal_cord_prv (where there is cord), cauda_equina (below it),
    thecal_sac, spinal_canal, vertebra_<level> for each level in the field, vertebral_body_<level> of the target, and
    the organs in the field; with hardware those of ``rtsim.phantom.spine.hardware_phantom.instrumented``.

    Raises:
        InputError: a canal that has no room for the epidural grade, implants where there is no room for them.
    """
    column = Column.around(spec.level, spec.collapse_percent)
    grid = _grid(spec, column)
    canvas = Canvas(grid)
    say = progress or (lambda fraction, text: None)
    say(0.05, "trunk and organs")
    skin = Trunk(column).skin()
    canvas.paint(skin, "skin")
    organs = _paint_trunk(canvas, spec, column)
    say(0.4, "column")
    vertebrae = _paint_column(canvas, column)
    say(0.7, "canal and lesion")
    lesion = Lesion.of(spec, next(v for v in vertebrae if v.placement.level.name == spec.level), column)
    _paint_canal(canvas, spec, column, lesion)
    _paint_lesion(canvas, spec, lesion)
    structures = _structures(spec, canvas, column, vertebrae, lesion, organs, skin)
    say(0.95, "texture and noise")
    ct = CT(canvas.finished(spec.noise_hu, spec.seed), grid)
    say(1.0, "done")
    phantom = Phantom.from_ct(
        ct, structures, name=name or f"spine_{spec.level.lower()}", description=description, case_sha256=case_sha256
    )
    if spec.hardware is None:
        return phantom
    return instrumented(phantom, spec.hardware, vertebrae, spec.level, spec.seed)


def _grid(spec: SpineSpec, column: Column) -> Grid:
    low, high = -spec.half_length_mm, spec.half_length_mm
    top, bottom = column["C2"], column["S2"]
    high = min(high, top.at(0.0, 0.0, top.level.height_mm / 2 + 8.0)[2])
    low = max(low, bottom.at(0.0, 0.0, -bottom.level.height_mm / 2)[2])
    skin = Trunk(column).skin()
    assert isinstance(skin, Sweep)
    near = [s for s in skin.sections if low - 40.0 <= s.z_mm <= high + 40.0]
    half = max(s.half_widths_mm[0] for s in near) + AIR_MM
    front = min(s.center_mm[1] - s.half_widths_mm[1] for s in near) - AIR_MM
    back = max(s.center_mm[1] + s.half_widths_mm[1] for s in near) + AIR_MM
    return Grid.covering((-half, front, low), (half, back, high), spec.spacing_mm)


def _in_field(p: Placement, grid: Grid) -> bool:
    reach = p.level.height_mm / 2 + 12.0
    return grid.lower_mm[2] - reach < p.center_mm[2] < grid.upper_mm[2] + reach


def _paint_trunk(canvas: Canvas, spec: SpineSpec, column: Column) -> tuple[Organ, ...]:
    trunk = Trunk(column)
    canvas.paint(trunk.skin(SKIN_MM), "fat")
    canvas.paint(trunk.lean(), "muscle")
    organs: list[Organ] = []
    further = further_organs(trunk) if spec.more_organs else ()
    for found in (thoracic_organs(trunk), abdominal_organs(trunk, spec.seed), further):
        for organ in found:
            if organ.tissue:
                canvas.paint(organ.shape, organ.tissue)
            if organ.structure:
                organs.append(organ)
    paint_cage(canvas, trunk)
    return tuple(organs)


def _paint_column(canvas: Canvas, column: Column) -> tuple[Vertebra, ...]:
    placements = [p for p in column.placements if _in_field(p, canvas.grid)]
    for upper, lower in zip(column.placements[:-1], column.placements[1:], strict=True):
        if upper in placements:
            canvas.paint(disc_between(upper, lower), "disc")
    vertebrae = tuple(Vertebra.of(p) for p in placements)
    for v in vertebrae:
        canvas.paint(v.whole, "cortical")
        canvas.paint(v.marrow(), "cancellous")
    return vertebrae


def _paint_canal(canvas: Canvas, spec: SpineSpec, column: Column, lesion: Lesion) -> None:
    canvas.paint(column.canal(), "epidural_fat")
    canvas.paint(lesion.contents.sac, "csf")
    canvas.paint(lesion.contents.cauda, "cauda_equina")
    canvas.paint(lesion.contents.cord, "cord")
    if not spec.roots:
        return
    for p in column.placements:
        if not _in_field(p, canvas.grid):
            continue
        half, w = p.level.canal_width_mm / 2, -(p.level.height_mm + p.level.disc_mm) / 2 + 2.0
        for side in (1.0, -1.0):
            start = p.at(side * half * 0.75, p.canal_v_mm, w + 5.0)
            end = p.at(side * (half + 14.0), p.canal_v_mm - 4.0, w - 5.0)
            canvas.paint(Capsule(start, end, 1.5, 2.2), "cord")


def _paint_lesion(canvas: Canvas, spec: SpineSpec, lesion: Lesion) -> None:
    name = {LesionKind.LYTIC: "lytic", LesionKind.MIXED: "mixed", LesionKind.SCLEROTIC: "sclerotic"}[spec.lesion]
    if lesion.bone is not None:
        canvas.paint(lesion.bone, name)
    if lesion.epidural is not None:
        canvas.paint(lesion.epidural, "epidural_tumor")


def _structures(
    spec: SpineSpec,
    canvas: Canvas,
    column: Column,
    vertebrae: tuple[Vertebra, ...],
    lesion: Lesion,
    organs: tuple[Organ, ...],
    skin: Shape,
) -> Structures:
    found: list[Structure] = []
    grid, part = canvas.grid, canvas.coverage

    def add(name: str, role: Role, fraction: FloatArray, color: tuple[int, int, int] | None = None) -> Structure | None:
        if not (fraction > 0).any():
            return None
        found.append(Structure.from_coverage(name, role, grid, fraction, color=color))
        return found[-1]

    add("BODY", Role.EXTERNAL, part(skin), (200, 180, 160))
    canal = canal_structures(canvas, column, lesion)
    found.append(canal.pop("GTV"))
    ctv = add("CTV", Role.CTV, part(lesion.ctv), (230, 120, 0))
    found += canal.values()
    drawn, avoid = canal.get("spinal_cord"), canal.get("cauda_equina")
    assert ctv is not None
    ptv = margins.expand(ctv, spec.ptv_margin_mm, grid, name="PTV", role=Role.PTV)
    if drawn is not None:
        prv = margins.expand(drawn, spec.cord_prv_mm, grid, name="spinal_cord_prv", role=Role.PRV)
        found.append(prv)
        if spec.spare_cord:
            ptv = _less(ptv, prv, grid)
    if avoid is not None and spec.spare_cord:
        ptv = _less(ptv, avoid, grid)
    found.insert(3, Structure(ptv.name, Role.PTV, ptv.grid, ptv.coverage, color=(220, 0, 60)))
    for v in vertebrae:
        add(f"vertebra_{v.placement.level.name}", Role.OAR, part(v.whole), (225, 215, 190))
        if v.placement.level.name == spec.level:
            add(f"vertebral_body_{spec.level}", Role.OAR, part(v.body), (235, 205, 150))
    colors = {o.structure: o.color for o in organs}
    for name, whole in _seen(canvas, organs, vertebrae).items():
        add(name, Role.OAR, whole, colors[name])
    return Structures(tuple(found))


def canal_structures(canvas: Canvas, column: Column, lesion: Lesion) -> dict[str, Structure]:
    """GTV, spinal_canal, thecal_sac, cauda_equina and spinal_cord by name, as far as they meet the grid."""
    grid, part, contents = canvas.grid, canvas.coverage, lesion.contents
    # tumor and sac share no voxel fraction: what the tumor takes of a voxel, the sac has not
    beside = contents.tumor is not None and not contents.carved
    tumor = part(contents.tumor) if contents.tumor is not None and beside else 0.0
    given = (
        ("GTV", Role.GTV, part(lesion.gtv), (160, 0, 0)),
        ("spinal_canal", Role.OAR, part(column.canal()), (120, 160, 60)),
        ("thecal_sac", Role.OAR, (part(contents.sac) - tumor).clip(0.0, 1.0), (0, 170, 200)),
        ("cauda_equina", Role.OAR, (part(contents.cauda) - tumor).clip(0.0, 1.0), (170, 200, 0)),
        ("spinal_cord", Role.OAR, part(contents.cord), (255, 220, 0)),
    )
    return {
        name: Structure.from_coverage(name, role, grid, fraction, color=color)
        for name, role, fraction, color in given
        if (fraction > 0).any()
    }


def _seen(canvas: Canvas, organs: tuple[Organ, ...], vertebrae: tuple[Vertebra, ...]) -> dict[str, FloatArray]:
    """Each organ where the CT shows it: what is painted later takes its place from what was there.

    What is drawn and not painted (bronchi in the lung, the chest wall) takes none.
    """
    drawn: dict[str, FloatArray] = {}
    for organ in organs:
        piece = canvas.cover(organ.shape)
        if piece is None:
            continue
        if organ.tissue:
            _give_way(drawn, piece, organ.structure)
        whole = drawn.setdefault(organ.structure, np.zeros(canvas.grid.shape))
        whole[piece.slices] = np.maximum(whole[piece.slices], piece.fraction)
    for v in vertebrae:
        piece = canvas.cover(v.whole)
        if piece is not None:
            _give_way(drawn, piece, "")
    return drawn


def _give_way(drawn: dict[str, FloatArray], piece: Cover, but: str) -> None:
    for name, whole in drawn.items():
        if name != but:
            whole[piece.slices] *= 1.0 - piece.fraction


def _less(ptv: Structure, organ: Structure, grid: Grid) -> Structure:
    return margins.subtract(ptv, organ, grid, name=ptv.name, role=Role.PTV)
