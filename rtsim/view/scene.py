"""Scene: vertebra, cord, target, beams, isodose shells and cut planes in three dimensions (PyVista).

scene = Scene(phantom)
scene.add_structures()
scene.add_dose(dose, isodoses_gy=[12, 24])
scene.add_cut_plane(dose=dose)
scene.save("plan.png")          # scene.show() opens a window with the same picture
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from rtsim.beams.model import Beam
from rtsim.dose.result import Dose
from rtsim.errors import GeometryError, InputError
from rtsim.geometry.resample import sample_linear
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role, Structure
from rtsim.protocol.nomenclature import canonical
from rtsim.typing import Vector3
from rtsim.view._backend import pyvista, quiet_vtk, require_rendering, require_screen, write_png
from rtsim.view.arc_path import arc_path
from rtsim.view.beam_shape import field_outline_mm, frustum_mm
from rtsim.view.implants import implant_surface, is_implant, legend_name
from rtsim.view.meshes import isodose_of, plane_of, surface_of
from rtsim.view.slices import WINDOW_HU, Plane, dose_colormap
from rtsim.view.style import find_target, styles_for, with_target

_BONE: Final = "#E8DCC4"
_BEAM: Final = "#FFB000"
_BACKGROUND: Final = "#14161A"
_INK: Final = "#F2F2F2"
_REACH_MM: Final = 75.0
_ARC_STEP_MM: Final = 12.0
"""Each further arc is drawn so much farther out: arcs there and back would lie on one another."""


class Scene:
    """A 3-D picture that is put together step by step; ``show`` and ``save`` draw the same.

    The camera stands behind, above and to the left of the patient, so that vertebra, target and cord are seen at once.
    """

    def __init__(
        self, phantom: Phantom, *, target: str | None = None, center_mm: Vector3 | None = None, title: str = ""
    ) -> None:
        """An empty scene.

        Args:
            target: name of the structure that the picture is about; default the first PTV, CTV, ITV or GTV.
            center_mm: what the camera looks at; default the centroid of the target, else the middle of the CT.
        """
        phantom = with_target(phantom, target)
        self.phantom = phantom
        self.title = title or phantom.name
        everything = tuple(phantom.structures.values())
        main = find_target(everything)
        self.center_mm: Vector3 = center_mm or (main.centroid_mm if main is not None else phantom.grid.center_mm())
        self._has_target = main is not None
        self._reach_mm = _REACH_MM if main is not None else 0.5 * _longest_mm(phantom)
        self._radius_mm = 100.0 if main is not None else 1.15 * _longest_mm(phantom)
        self._meshes: list[tuple[Any, dict[str, Any]]] = []
        self._legend: list[tuple[str, str]] = []
        self._labels: list[tuple[Vector3, str, str]] = []
        self._cut: tuple[Plane, float] | None = None
        self._arcs = 0

    def add_structures(self, *names: str) -> Scene:
        """Surfaces of the named structures; without names target, cord and the vertebrae near the target."""
        chosen = [self.phantom[n] for n in names] if names else self.default_structures()
        styles = styles_for(tuple(chosen), on_dark=True)
        for s in chosen:
            color, opacity = _look(s, styles[s.name].color)
            mesh = surface_of(s)
            if mesh.n_points:
                look = {"color": color, "opacity": opacity, "specular": 0.2, "ambient": 0.35 if opacity == 1.0 else 0.1}
                if is_implant(s):
                    look = implant_surface(s)
                elif any(is_implant(other) for other in chosen):
                    look["opacity"] = min(opacity, 0.3) if opacity < 1.0 else opacity  # implants lie within
                self._meshes.append((mesh, {**look, "smooth_shading": True, "is_whole": look["opacity"] == 1.0}))
                if s.role is not Role.EXTERNAL:
                    named = "vertebrae" if color == _BONE else legend_name(self.phantom, s.name)
                    self._legend.append((named, styles[s.name].color if is_implant(s) else color))
        return self

    def add_beam(self, beam: Beam, *, length_mm: float = 160.0) -> Scene:
        """The field outline as a frustum, its axis, and an arrow from where the source is.

        Of an arc the way of the source from start to stop, with arrows along it, and the band that the field sweeps.

        Args:
            length_mm: how far upstream of the isocenter it is drawn; the source itself is shown from ``sad_mm`` on.
        """
        if not length_mm > 0:
            raise InputError(f"length_mm is {length_mm}; a beam is drawn over a length > 0 mm")
        pv = pyvista()
        upstream = min(length_mm, 0.999 * beam.machine.sad_mm)
        if beam.is_arc:
            self._add_arc(beam, min(upstream + _ARC_STEP_MM * self._arcs, 0.999 * beam.machine.sad_mm))
            return self
        outline = field_outline_mm(beam)
        if len(outline):
            rings = [frustum_mm(beam, outline, at) for at in (upstream, 0.0)]
            n = len(outline)
            faces = [[4, i, i + 1, n + i + 1, n + i] for i in range(n - 1)]
            side = pv.PolyData(np.concatenate(rings), np.hstack(faces))
            self._meshes.append((side, {"color": _BEAM, "opacity": 0.045}))
            self._meshes.append((pv.MultipleLines(rings[0]), {"color": _BEAM, "line_width": 2.0, "opacity": 0.8}))
        axis = beam.rotation[:, 2]
        iso = np.asarray(beam.isocenter_mm)
        start, end = iso + upstream * axis, iso
        self._meshes.append((pv.Line(start, end), {"color": _BEAM, "line_width": 2.5}))
        shown = iso + (upstream + 14.0) * axis if length_mm < beam.machine.sad_mm else beam.source_mm
        size = 16.0 if length_mm < beam.machine.sad_mm else 0.03 * beam.machine.sad_mm
        cone = pv.Cone(center=shown, direction=-axis, height=size, radius=0.35 * size, resolution=24)
        self._meshes.append((cone, {"color": _BEAM}))
        x, y, z = (float(v) for v in shown + size * axis)
        self._labels.append(((x, y, z), beam.name or f"G{beam.gantry_deg:g}", _BEAM))
        self._radius_mm = max(self._radius_mm, 0.65 * upstream if upstream > 500.0 else upstream - 2.0)
        if not any(text == "beams" for text, _ in self._legend):
            self._legend.append(("beams", _BEAM))
        return self

    def _add_arc(self, beam: Beam, upstream: float) -> None:
        """The band and its middle line at ``upstream`` mm from the isocenter, arrows, and labels at both ends."""
        pv, path = pyvista(), arc_path(beam, upstream)
        n = len(path.points_mm)
        faces = [[4, i, i + 1, n + i + 1, n + i] for i in range(n - 1)]
        band = pv.PolyData(np.concatenate([path.low_mm, path.high_mm]), np.hstack(faces))
        self._meshes.append((band, {"color": _BEAM, "opacity": 0.16}))
        for line, width in ((path.points_mm, 3.0), (path.low_mm, 1.2), (path.high_mm, 1.2)):
            self._meshes.append((pv.MultipleLines(line), {"color": _BEAM, "line_width": width}))
        iso = np.asarray(beam.isocenter_mm)
        for end in (path.points_mm[0], path.points_mm[-1]):
            self._meshes.append((pv.Line(end, iso), {"color": _BEAM, "line_width": 1.5, "opacity": 0.7}))
        size = 0.09 * upstream
        for place, direction in zip(path.arrows_mm, path.arrow_directions, strict=True):
            cone = pv.Cone(center=place, direction=direction, height=size, radius=0.35 * size, resolution=24)
            self._meshes.append((cone, {"color": _BEAM}))
        start, stop = (c.gantry_deg for c in (beam.control_points[0], beam.control_points[-1]))
        name = beam.name or "arc"
        for at, inward, text in ((0, 2, f"{name} start {start:g}\u00b0"), (-1, -3, f"{name} stop {stop:g}\u00b0")):
            # Pushed apart along the way: start and stop of a whole turn are neighbors.
            place = path.points_mm[inward] + 0.1 * (path.points_mm[at] - iso)
            x, y, z = (float(v) for v in place)
            self._labels.append(((x, y, z), text, _BEAM))
        self._arcs += 1
        self._radius_mm = max(self._radius_mm, 0.65 * upstream if upstream > 500.0 else 1.02 * upstream)
        if not any(text == "arcs" for text, _ in self._legend):
            self._legend.append(("arcs", _BEAM))

    def add_beams(self, beams: Sequence[Beam], *, length_mm: float = 160.0) -> Scene:
        """Several beams; see :meth:`add_beam`."""
        for beam in beams:
            self.add_beam(beam, length_mm=length_mm)
        return self

    def add_dose(
        self,
        dose: Dose,
        *,
        isodoses_gy: Sequence[float] | None = None,
        isodoses_percent: Sequence[float] | None = None,
        reference_gy: float | None = None,
    ) -> Scene:
        """Isodose shells; the legend gives their dose in Gy.

        Args:
            isodoses_gy: levels in Gy; or
            isodoses_percent: levels in percent of ``reference_gy`` (default the maximum of the dose). Default 50 and
                95 %.
        """
        if isodoses_gy is not None and isodoses_percent is not None:
            raise InputError("give isodoses_gy or isodoses_percent, not both")
        full = dose.max_gy if reference_gy is None else reference_gy
        percent = (50.0, 95.0) if isodoses_percent is None else isodoses_percent
        levels = sorted(isodoses_gy if isodoses_gy is not None else [full * p / 100.0 for p in percent])
        beyond = [v for v in levels if not 0.0 < v < dose.max_gy]
        if len(beyond) == len(levels):
            raise InputError(
                f"isodoses {[round(v, 3) for v in levels]} Gy do not occur; the dose reaches {dose.max_gy:.3g} Gy"
            )
        colors = dose_colormap()
        kept = [v for v in levels if v not in beyond]
        for rank, level in enumerate(kept):
            # From a quarter up: the darkest colors would be lost on the dark background.
            color = _hex(colors(0.25 + 0.75 * (level - levels[0]) / max(dose.max_gy - levels[0], 1e-9)))
            opacity = 0.16 + 0.26 * rank / max(1, len(kept) - 1)
            self._meshes.append((isodose_of(dose, level), {"color": color, "opacity": opacity, "smooth_shading": True}))
            share = "" if isodoses_percent is None else f" ({100.0 * level / full:.3g} %)"
            self._legend.append((f"{level:.3g} Gy{share}", color))
        return self

    def add_cut_plane(
        self,
        plane: Plane = Plane.AXIAL,
        *,
        at_mm: float | None = None,
        dose: Dose | None = None,
        half_width_mm: float | None = None,
        cuts_away: bool = False,
    ) -> Scene:
        """A plane with HU in gray and, with ``dose``, a dose wash.

        Args:
            at_mm: position along the plane's normal; default through the center of the scene.
            cuts_away: take away what lies between plane and camera, except the cord.
        """
        axis = plane.axes[2]
        position = self.center_mm[axis] if at_mm is None else float(at_mm)
        if not self.phantom.grid.lower_mm[axis] < position < self.phantom.grid.upper_mm[axis]:
            raise GeometryError(
                f"at_mm is {position}; along {'xyz'[axis]} the CT reaches from "
                f"{self.phantom.grid.lower_mm[axis]:g} to {self.phantom.grid.upper_mm[axis]:g} mm"
            )
        center = np.asarray(self.center_mm)
        half = self._reach_mm if half_width_mm is None else half_width_mm
        image, points = plane_of(self.phantom, axis, position, center - half, center + half)
        gray = np.clip((image.point_data["hu"] - WINDOW_HU[0]) / (WINDOW_HU[1] - WINDOW_HU[0]), 0.0, 1.0)
        rgb = np.repeat(gray[:, None], 3, axis=1)
        if dose is not None:
            values = sample_linear(dose.values_gy, dose.grid, points)
            low = 0.1 * dose.max_gy
            share = 0.55 * np.clip((values - low) / (0.3 * dose.max_gy), 0.0, 1.0)[:, None]
            rgb = (1 - share) * rgb + share * dose_colormap()((values - low) / (dose.max_gy - low))[:, :3]
        image.point_data["rgb"] = (255 * rgb).astype(np.uint8)
        self._meshes.append((image, {"scalars": "rgb", "rgb": True, "lighting": False, "is_whole": True}))
        self._cut = (plane, position) if cuts_away else None
        return self

    def show(self, *, size: tuple[int, int] = (1200, 900)) -> None:
        """Open a window with the picture.

        Raises:
            RenderingError: this machine has no screen, or cannot render.
        """
        require_screen()
        plotter = self._plotter(size, off_screen=False)
        plotter.show()

    def save(self, path: str | Path, *, size: tuple[int, int] = (1200, 900)) -> Path:
        """Write the picture as PNG, without a screen.

        Raises:
            InputError: ``path`` does not end in .png.
            RenderingError: this machine cannot render.
        """
        return write_png(path, self.png(size=size))

    def png(self, *, size: tuple[int, int] = (1200, 900)) -> bytes:
        """The picture as PNG data.

        Raises:
            RenderingError: this machine cannot render.
        """
        from io import BytesIO

        require_rendering()
        quiet_vtk()
        plotter = self._plotter(size, off_screen=True)
        try:
            pixels = plotter.screenshot(return_img=True)
        finally:
            plotter.close()
        buffer = BytesIO()
        _image_module().imsave(buffer, np.ascontiguousarray(pixels), format="png")
        return buffer.getvalue()

    def default_structures(self) -> list[Structure]:
        """Target, cord, implants and the vertebrae near the target."""
        out = []
        for s in self.phantom.structures.values():
            key = canonical(s.name) or s.name
            near = abs(s.centroid_mm[2] - self.center_mm[2]) < 45.0
            is_bone = key.startswith("vertebra") and near
            is_target = s.role is Role.PTV or (s.role is Role.GTV)
            is_outline = s.role is Role.EXTERNAL and not self._has_target
            if is_implant(s) or is_bone or is_target or is_outline or key in ("spinal_cord", "cauda_equina"):
                out.append(s)
        return out

    def _plotter(self, size: tuple[int, int], *, off_screen: bool) -> Any:
        pv = pyvista()
        plotter = pv.Plotter(off_screen=off_screen, window_size=size, lighting="light_kit")
        plotter.set_background(_BACKGROUND)
        plotter.enable_anti_aliasing("ssaa")
        plotter.enable_depth_peeling(8)
        for mesh, settings in self._meshes:
            self._draw(plotter, mesh, dict(settings))
        self._write(plotter, size)
        self._aim(plotter)
        return plotter

    def _draw(self, plotter: Any, mesh: Any, settings: dict[str, Any]) -> None:
        is_whole = settings.pop("is_whole", False) or "line_width" in settings
        if self._cut is not None and not is_whole:
            plane, position = self._cut
            axis = plane.axes[2]
            origin = list(self.center_mm)
            origin[axis] = position
            normal = [0.0, 0.0, 0.0]
            normal[axis] = -1.0 if axis == 1 else 1.0
            mesh = mesh.clip(normal=normal, origin=origin) if mesh.n_points else mesh
        if mesh.n_points:
            plotter.add_mesh(mesh, **settings)

    def _write(self, plotter: Any, size: tuple[int, int]) -> None:
        font = max(10, round(size[1] / 60))
        plotter.add_text(self.title, position=(0.02, 0.94), viewport=True, font_size=round(font * 0.8), color=_INK)
        if self._legend:
            entries = [[f"  {text}", color] for text, color in dict(self._legend).items()]
            plotter.add_legend(
                entries, face="rectangle", bcolor=None, loc="upper right", size=(0.17, min(0.8, 0.031 * len(entries)))
            )
        for place, text, color in self._labels:
            plotter.add_point_labels(
                np.array([place]),
                [text],
                font_size=font,
                text_color=color,
                shape=None,
                show_points=False,
                always_visible=True,
            )
        box = self._direction_letters()
        plotter.add_point_labels(
            np.array([p for p, _ in box]),
            [t for _, t in box],
            font_size=round(1.5 * font),
            bold=True,
            text_color=_INK,
            shape=None,
            show_points=False,
            always_visible=True,
        )

    def _direction_letters(self) -> list[tuple[Vector3, str]]:
        """L R A P S I on the axes through the center of the scene, just outside of what is looked at."""
        x, y, z = self.center_mm
        r = 1.11 * self._reach_mm
        return [
            ((x + r, y, z), "L"),
            ((x - r, y, z), "R"),
            ((x, y - r, z), "A"),
            ((x, y + r, z), "P"),
            ((x, y - 0.45 * r, z + r), "S"),
            ((x, y - 0.45 * r, z - 1.2 * r), "I"),
        ]

    def _aim(self, plotter: Any) -> None:
        center = np.asarray(self.center_mm)
        direction = np.array([0.62, 0.86, 0.80])
        distance = self._radius_mm / np.sin(np.radians(15.0))
        plotter.camera.view_angle = 30.0
        plotter.camera.position = tuple(center + distance * direction / np.linalg.norm(direction))
        plotter.camera.focal_point = tuple(center)
        plotter.camera.up = (0.0, 0.0, 1.0)
        plotter.reset_camera_clipping_range()


def _longest_mm(phantom: Phantom) -> float:
    return float(np.max(np.subtract(phantom.grid.upper_mm, phantom.grid.lower_mm)))


def _look(structure: Structure, color: str) -> tuple[str, float]:
    """(color, opacity) of a structure's surface."""
    key = canonical(structure.name) or structure.name
    if structure.role is Role.EXTERNAL:
        return "#8899AA", 0.06
    if structure.role in (Role.PTV, Role.CTV, Role.ITV):
        return "#FF3B30", 0.30
    if key.startswith("vertebra") and structure.role is not Role.GTV:
        return _BONE, 0.55
    if structure.role is Role.GTV:
        return "#FF4F9A", 0.85
    if key == "thecal_sac":
        return "#8FA8FF", 0.35
    if key == "cauda_equina":
        return "#2BD9A0", 1.0
    return color, 1.0 if key == "spinal_cord" else 0.45


def _hex(rgba: tuple[float, ...]) -> str:
    return "#" + "".join(f"{round(255 * v):02X}" for v in rgba[:3])


def _image_module() -> Any:
    from rtsim.view._backend import matplotlib_module

    return matplotlib_module("image")
