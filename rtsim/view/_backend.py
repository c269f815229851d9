"""Loads matplotlib and PyVista when a picture is asked for, and finds out whether this machine can render at all."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

from rtsim.errors import InputError, MissingDependencyError, RtsimError

RENDERING_HELP: Final = (
    "3-D pictures need OpenGL. On Debian or Ubuntu without a screen: apt-get install libegl1 libgl1-mesa-dri "
    "(or libosmesa6). 2-D pictures (slices, DVH, report) need nothing of the kind"
)

_PROBE: Final = """
import vtkmodules.vtkRenderingOpenGL2
from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow
window = vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(16, 16)
window.AddRenderer(vtkRenderer())
window.Render()
raise SystemExit(0 if window.SupportsOpenGL() else 1)
"""


class RenderingError(RtsimError, RuntimeError):
    """This machine cannot render in three dimensions; the message says what to install."""


def pyvista() -> Any:
    """The PyVista module.

    Raises:
        MissingDependencyError: it is not installed.
    """
    return _load("pyvista")


def matplotlib_module(name: str) -> Any:
    """A submodule of matplotlib, e.g. ``matplotlib_module("figure")``.

    Raises:
        MissingDependencyError: it is not installed.
    """
    return _load("matplotlib", f"matplotlib.{name}")


def _load(package: str, module: str | None = None) -> Any:
    try:
        return importlib.import_module(module or package)
    except ImportError as error:
        raise MissingDependencyError(f"{package} is not installed; run: pip install {package}") from error


def require_rendering() -> None:
    """Returns when off-screen OpenGL works here.

    Raises:
        RenderingError: it does not. VTK ends the whole process (segmentation fault) where it finds no OpenGL, so that a
            child process tries first; the answer is kept for the life of this process.
    """
    problem = _rendering_problem()
    if problem:
        raise RenderingError(f"{problem}. {RENDERING_HELP}")


def require_screen() -> None:
    """Returns when a window can be opened.

    Raises:
        RenderingError: there is no screen (on Linux neither DISPLAY nor WAYLAND_DISPLAY is set), or no OpenGL.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise RenderingError(
            "this machine has no screen (DISPLAY is not set); save the picture to a file instead of showing it"
        )
    require_rendering()


@lru_cache(maxsize=1)
def _rendering_problem() -> str:
    _load("pyvista")
    try:
        found = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"this machine cannot render: the trial process failed ({error})"
    if found.returncode == 0:
        return ""
    how = f"ended by signal {-found.returncode}" if found.returncode < 0 else f"exit status {found.returncode}"
    return f"this machine cannot render: VTK found neither a display, nor EGL, nor OSMesa ({how})"


def quiet_vtk() -> None:
    """Keep VTK from writing to stderr that there is no X server, when it goes on to EGL."""
    logger = _load("vtkmodules", "vtkmodules.vtkCommonCore").vtkLogger
    logger.SetStderrVerbosity(logger.VERBOSITY_ERROR)


def write_png(path: str | Path, data: bytes) -> Path:
    """:func:`write_picture` for pictures that a user names.

    Raises:
        InputError: ``path`` does not end in .png.
    """
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"{path} does not end in .png; the picture is a PNG")
    return write_picture(path, data)


def write_picture(path: str | Path, data: bytes) -> Path:
    """Write ``data`` to ``path`` under a temporary name, then rename: an interrupted run leaves no half file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        file.write(data)
    Path(file.name).chmod(0o644)
    os.replace(file.name, path)
    return path
