"""Pictures: 3-D scenes, slices, DVH, curves, and the HTML report. matplotlib and PyVista load when one is drawn."""

from rtsim.view._backend import RenderingError, require_rendering, write_picture
from rtsim.view.arc_plot import arc_figure, arc_picture
from rtsim.view.check_picture import check_picture
from rtsim.view.dvh_plot import dvh_figure
from rtsim.view.profiles import Curve, curve_figure, depth_curve
from rtsim.view.report_html import report_html, write_report
from rtsim.view.report_pictures import Picture, ReportPictures, report_pictures
from rtsim.view.scene import Scene
from rtsim.view.slices import Plane, figure_png, save_figure, slice_figure
from rtsim.view.tradeoff_plot import tradeoff_figure, tradeoff_picture
from rtsim.view.whole_scene import save, scene_of, show

__all__ = [
    "Curve",
    "Picture",
    "Plane",
    "RenderingError",
    "ReportPictures",
    "Scene",
    "arc_figure",
    "arc_picture",
    "check_picture",
    "curve_figure",
    "depth_curve",
    "dvh_figure",
    "figure_png",
    "report_html",
    "report_pictures",
    "require_rendering",
    "save",
    "save_figure",
    "scene_of",
    "show",
    "slice_figure",
    "tradeoff_figure",
    "tradeoff_picture",
    "write_picture",
    "write_report",
]
