"""Pictures: 3-D scenes, slices, DVH, curves, and the HTML report. matplotlib and PyVista load when one is drawn."""

from rtsim.view._backend import RenderingError, require_rendering, write_picture
from rtsim.view.arc_plot import arc_figure, arc_picture
from rtsim.view.check_picture import check_picture
from rtsim.view.compare_html import comparison_html, write_comparison
from rtsim.view.compare_model import ComparedPatient, ComparedPlan, compared_patient, compared_plan
from rtsim.view.compare_plots import balance_figure, dvh_comparison_figure
from rtsim.view.compare_slices import dose_comparison_figure
from rtsim.view.dvh_plot import dvh_figure
from rtsim.view.profiles import Curve, curve_figure, depth_curve
from rtsim.view.report_html import report_html, write_report
from rtsim.view.report_pictures import Picture, ReportPictures, report_pictures
from rtsim.view.scene import Scene
from rtsim.view.slices import Plane, figure_png, save_figure, slice_figure
from rtsim.view.tradeoff_plot import tradeoff_figure, tradeoff_picture
from rtsim.view.whole_scene import save, scene_of, show

__all__ = [
    "ComparedPatient",
    "ComparedPlan",
    "Curve",
    "Picture",
    "Plane",
    "RenderingError",
    "ReportPictures",
    "Scene",
    "arc_figure",
    "arc_picture",
    "balance_figure",
    "check_picture",
    "compared_patient",
    "compared_plan",
    "comparison_html",
    "curve_figure",
    "depth_curve",
    "dose_comparison_figure",
    "dvh_comparison_figure",
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
    "write_comparison",
    "write_picture",
    "write_report",
]
