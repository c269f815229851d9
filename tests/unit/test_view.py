"""Pictures and the report: what they contain, that they are not blank, and what they say when they cannot be made."""

from __future__ import annotations

import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from rtsim.beams.model import Beam
from rtsim.dose.result import Dose
from rtsim.errors import GeometryError, InputError, MissingDependencyError
from rtsim.evaluate import grade
from rtsim.machine import load_machine
from rtsim.optimize.plan import Certificate, PositionsHeld
from rtsim.phantom.phantom import Phantom
from rtsim.phantom.structure import Role
from rtsim.view import (
    Curve,
    Plane,
    RenderingError,
    Scene,
    _backend,
    curve_figure,
    depth_curve,
    dvh_figure,
    figure_png,
    report_html,
    report_pictures,
    require_rendering,
    save_figure,
    slice_figure,
    write_report,
)
from rtsim.view.beam_shape import field_outline_mm, frustum_mm
from rtsim.view.style import find_target, styles_for, with_target
from tests.unit.test_evaluate_grade import RX, SOURCE, bent_dose, goal, spine


def pixels(png: bytes) -> np.ndarray:
    from matplotlib.image import imread

    return imread(BytesIO(png), format="png")[..., :3]


def has_color(image: np.ndarray, hex_color: str, tolerance: float = 0.12) -> bool:
    """At least 40 pixels near that color."""
    wanted = np.array([int(hex_color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return int((np.abs(image - wanted).max(axis=-1) < tolerance).sum()) >= 40


@pytest.fixture(scope="module")
def can_render() -> None:
    try:
        require_rendering()
    except RenderingError as error:
        pytest.skip(str(error))


def test_import_of_view_loads_neither_vtk_nor_matplotlib() -> None:
    code = "import sys, rtsim.view; print([m for m in ('vtkmodules', 'pyvista', 'matplotlib') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_missing_package_is_named_with_the_install_line() -> None:
    with pytest.raises(MissingDependencyError, match="pip install no_such_plotter"):
        _backend._load("no_such_plotter")


def test_a_machine_that_cannot_render_says_so_and_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """VTK without OpenGL ends its process by a segmentation fault; the probe must turn that into an error."""
    monkeypatch.setattr(_backend, "_PROBE", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    _backend._rendering_problem.cache_clear()
    try:
        with pytest.raises(RenderingError, match=r"cannot render.*signal 11.*apt-get install libegl1"):
            require_rendering()
        html = report_html(spine(), bent_dose(), grade(bent_dose(), spine(), RX, []))
        assert "No 3-D picture: this machine cannot render" in html
    finally:
        _backend._rendering_problem.cache_clear()


def test_show_without_a_screen_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RenderingError, match=r"no screen.*save the picture to a file"):
        Scene(spine()).show()


def test_slices_show_cord_target_and_dose() -> None:
    image = pixels(figure_png(slice_figure(spine(), dose=bent_dose(), prescription_gy=24.0)))
    assert image.shape[0] > 400
    assert has_color(image, "#00E5FF"), "the cord"
    assert has_color(image, "#FFFFFF"), "the target"
    plain = pixels(figure_png(slice_figure(spine())))
    assert np.abs(image - plain).max() > 0.3


def test_the_color_bar_says_what_a_dose_stands_for() -> None:
    levels = (4.8, 12.0, 17.0, 24.0)
    figure = slice_figure(
        spine(), dose=bent_dose(), isodoses_gy=levels, prescription_gy=24.0, named_gy={17.0: "cord limit"}
    )
    labels = [t.get_text() for t in figure.axes[-1].get_yticklabels()]
    assert "17 cord limit" in labels
    assert "24 prescribed" in labels
    assert "12" in labels
    plain = slice_figure(spine(), dose=bent_dose())  # shares of a maximum that is no round number
    assert all(len(t.get_text()) <= 5 for t in plain.axes[-1].get_yticklabels())
    with pytest.raises(InputError, match=r"picture\.pdf does not end in \.png"):
        save_figure(plain, "picture.pdf")


def test_slice_orientation() -> None:
    """A block at the patient's left front top must appear right in axial, left in sagittal, top right in coronal."""
    grid_hu = np.full((40, 50, 60), -1000.0)
    grid_hu[30:38, 5:12, 45:55] = 1500.0  # superior (high k), anterior (low j), left (high i)
    phantom = Phantom.from_arrays(grid_hu, (2.0, 2.0, 2.0), (-59.0, -49.0, -39.0))
    point = (41.0, -32.0, 28.0)
    figure = slice_figure(phantom, at_mm=point, half_width_mm=200.0)
    where = {}
    for axes, plane in zip(figure.axes, (Plane.AXIAL, Plane.SAGITTAL, Plane.CORONAL), strict=False):
        image = axes.images[0]
        data, (x0, x1, y0, y1) = np.asarray(image.get_array()), image.get_extent()
        rows, columns = np.nonzero(data > 500.0)
        across = x0 + (columns.mean() + 0.5) / data.shape[1] * (x1 - x0)
        fraction = (rows.mean() + 0.5) / data.shape[0]
        height = y1 + fraction * (y0 - y1) if image.origin == "upper" else y0 + fraction * (y1 - y0)
        where[plane] = (axes.transData.transform((across, height)) - axes.bbox.min) / axes.bbox.size
    assert where[Plane.AXIAL][0] > 0.6, "patient left is on the right"
    assert where[Plane.AXIAL][1] > 0.6, "anterior is at the top"
    assert where[Plane.SAGITTAL][0] < 0.4, "anterior is on the left"
    assert where[Plane.SAGITTAL][1] > 0.6, "superior is at the top"
    assert where[Plane.CORONAL][0] > 0.6
    assert where[Plane.CORONAL][1] > 0.6
    letters = {t.get_text() for t in figure.axes[0].texts}
    assert {"R", "L", "A", "P"} <= letters


def test_slices_outside_the_ct_are_refused() -> None:
    with pytest.raises(GeometryError, match=r"at_mm is \(500, 0, 0\)"):
        slice_figure(spine(), at_mm=(500, 0, 0))
    with pytest.raises(InputError, match="planes is empty"):
        slice_figure(spine(), planes=())


def test_dvh_figure_has_every_curve_and_the_limit() -> None:
    from rtsim.protocol import Priority, Sense

    limit = goal("spinal_cord", "D0.035cc", Sense.AT_MOST, 17.0, "Gy", Priority.HARD)
    figure = dvh_figure(spine(), bent_dose(), prescription=RX, goals=[limit])
    labels = {line.get_label() for line in figure.axes[0].lines}
    assert {"PTV", "SpinalCord", "Lung_L", "Lung_R"} <= labels
    markers = [line for line in figure.axes[0].lines if line.get_marker() == "<"]
    assert [float(m.get_xdata()[0]) for m in markers] == [17.0]


def test_curves_are_compared_with_the_reference() -> None:
    depth = np.linspace(0.0, 200.0, 101)
    own = depth_curve("own", depth, np.exp(-depth / 150.0) * 3.0)
    reference = depth_curve("reference", depth[::4], np.exp(-depth[::4] / 150.0), is_reference=True)
    figure = curve_figure([own, reference], tolerance_percent=1.0)
    below = next(line for line in figure.axes[1].lines if len(line.get_xdata()) == reference.dose.size)
    np.testing.assert_allclose(below.get_ydata(), 0.0, atol=1e-9)
    with pytest.raises(InputError, match="must increase"):
        Curve(label="x", position_mm=np.array([0.0, 0.0]), dose=np.ones(2))
    with pytest.raises(InputError, match="2 curves are references"):
        curve_figure([reference, reference])


def test_styles_put_target_and_cord_forward() -> None:
    structures = tuple(spine().structures.values())
    styles = styles_for(structures, on_dark=False)
    assert {name for name, style in styles.items() if style.is_key} == {"PTV", "SpinalCord"}
    target = find_target(structures)
    assert target is not None
    assert target.name == "PTV"


@pytest.mark.usefixtures("can_render")
def test_scene_shows_cord_target_and_shells(tmp_path: Path) -> None:
    scene = Scene(spine()).add_structures().add_dose(bent_dose(), isodoses_gy=[12.0, 24.0])
    path = scene.add_cut_plane(dose=bent_dose()).save(tmp_path / "scene.png", size=(500, 400))
    image = pixels(path.read_bytes())
    assert image.shape == (400, 500, 3)
    assert has_color(image, "#00D0E8", 0.25), "the cord"
    assert image.std() > 0.05
    assert [p.name for p in tmp_path.iterdir()] == ["scene.png"]


@pytest.mark.usefixtures("can_render")
def test_scene_of_an_anisotropic_phantom_without_target() -> None:
    phantom = Phantom.from_arrays(np.zeros((10, 30, 20)), (2.0, 1.0, 5.0), (0.0, 0.0, 0.0))
    grid = phantom.grid
    dose = Dose(values_gy=np.broadcast_to(np.linspace(1.0, 2.0, 30)[None, :, None], grid.shape), grid=grid)
    image = pixels(Scene(phantom).add_dose(dose, isodoses_percent=[60.0, 80.0]).add_cut_plane().png(size=(300, 240)))
    assert image.std() > 0.01


@pytest.mark.usefixtures("can_render")
def test_scene_refuses_what_it_cannot_show() -> None:
    with pytest.raises(InputError, match="do not occur; the dose reaches"):
        Scene(spine()).add_dose(bent_dose(), isodoses_gy=[500.0])
    with pytest.raises(InputError, match="not both"):
        Scene(spine()).add_dose(bent_dose(), isodoses_gy=[5.0], isodoses_percent=[50.0])
    with pytest.raises(GeometryError, match="along z the CT reaches"):
        Scene(spine()).add_cut_plane(at_mm=999.0)
    with pytest.raises(InputError, match="unknown structure 'PTB'"):
        Scene(spine()).add_structures("PTB")


def test_report_is_one_file_that_escapes_and_leads_with_the_limits(tmp_path: Path) -> None:
    from rtsim.protocol import Priority, Sense

    broken = Certificate(
        structure="SpinalCord",
        metric="D0.035cc",
        limit_gy=3.0,
        reached_gy=5.5,
        held=False,
        statement="<script>alert('x')</script> exceeded",
        positions=PositionsHeld(
            scenarios="+-1 mm",
            promised=True,
            count=7,
            held=2,
            worst="1 mm left",
            worst_gy=6.1,
            recomputed=(),
            margin_percent=0.0,
        ),
    )
    limit = goal("spinal_cord", "D0.035cc", Sense.AT_MOST, 3.0, "Gy", Priority.HARD)
    report = grade(bent_dose(), spine(), RX, [limit], certificates=[broken])
    path = write_report(
        tmp_path / "report.html",
        spine(),
        bent_dose(),
        report,
        pictures=report_pictures(spine(), bent_dose(), report, has_scene=False),
    )
    html = path.read_text(encoding="utf-8")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<b>Cord limit NOT HELD in 2 of 7 positions (worst 6.10 of 3 Gy D0.035cc, 1 mm left)</b>" in html
    assert "not a medical device" in html.lower()
    assert html.index("HARD LIMIT VIOLATED") < html.index("<h2>Goals</h2>") < html.index("data:image/png;base64,")
    assert SOURCE.standing.label in html
    assert not re.search(r"(src|href)='(?!data:|#)", html), "nothing is loaded from elsewhere"
    assert html.count("data:image/png;base64,") == 2
    judged = grade(bent_dose(), spine(), RX, [])
    held = report_html(
        spine(), bent_dose(), judged, pictures=report_pictures(spine(), bent_dose(), judged, has_scene=False)
    )
    assert "HARD LIMIT VIOLATED" not in held
    assert "No hard limit was measured" in held


def test_a_structure_by_name_can_be_the_target() -> None:
    phantom = with_target(spine(), "vertebra_T8")
    assert phantom["vertebra_T8"].role is Role.PTV
    assert phantom["PTV"].role is Role.OAR
    figure = slice_figure(spine(), target="vertebra_T8")
    assert f"y = {spine()['vertebra_T8'].centroid_mm[1]:.1f} mm" in figure.axes[2].get_title()
    assert Scene(spine(), target="vertebra_T8").center_mm == spine()["vertebra_T8"].centroid_mm


def test_field_outline_of_jaws_leaves_and_beamlets() -> None:
    machine = load_machine("generic_6fff")
    beam = Beam.open_field(machine, (60.0, 40.0), gantry_deg=180.0)
    outline = field_outline_mm(beam)
    assert (outline.min(axis=0) == [-30.0, -20.0]).all()
    assert (outline.max(axis=0) == [30.0, 20.0]).all()
    at_source = frustum_mm(beam, outline, machine.sad_mm)
    np.testing.assert_allclose(at_source, np.broadcast_to(beam.source_mm, at_source.shape), atol=1e-9)
    half_way = frustum_mm(beam, outline, machine.sad_mm / 2)
    assert np.ptp(half_way[:, 0]) == pytest.approx(30.0)


def test_figures_are_written_whole(tmp_path: Path) -> None:
    path = save_figure(curve_figure([depth_curve("a", np.arange(5.0), np.ones(5))]), tmp_path / "deep" / "a.png")
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert len(list(path.parent.iterdir())) == 1
