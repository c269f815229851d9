"""An import never runs up the road, kernels know no objects, and ``import rtsim`` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "rtsim"

FLOOR = {
    "errors": 0,
    "units": 0,
    "threads": 0,
    "typing": 0,
    "sources": 0,
    "geometry": 1,
    "materials": 1,
    "ct": 2,
    "phantom": 3,
    "machine": 3,
    "protocol": 3,
    "biology": 3,
    "beams": 4,
    "dose": 5,
    "optimize": 6,
    "commission": 6,
    "evaluate": 7,
    "clinic": 7,
    "io": 8,
    "view": 9,
    "cli": 10,
}
HEAVY = {"pyvista": "view", "vtk": "view", "matplotlib": "view", "pydicom": "io", "rich": "cli"}
UPWARD = {"dose/__init__.py": "users find rt.dose.recompute beside the engines; nothing in the floor calls it"}
"""Files that may import the whole package, which leads to every floor, and why."""
FILES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


def _floor_name(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; name the floor"
            if node.module == "rtsim":
                names += [f"rtsim.{a.name}" for a in node.names]
            elif node.module:
                names.append(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            named = node.args[0] if node.args else None
            names += [named.value] if isinstance(named, ast.Constant) and isinstance(named.value, str) else []
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_from_floors_below(path: Path) -> None:
    own = _floor_name(path)
    if own == "__main__":
        return
    for name in _imports(path):
        top, _, rest = name.partition(".")
        if name == "rtsim":
            allowed = own == "cli" or str(path.relative_to(PACKAGE)) in UPWARD
            assert allowed, f"{path}: a bare 'import rtsim' leads to every floor; import the floor that is meant"
        if top == "rtsim" and rest:
            other = rest.split(".")[0]
            if other == "__version__":
                continue
            assert other in FLOOR, f"{path.name} imports {name}: not a floor"
            assert other == own or FLOOR[other] < FLOOR[own], f"{own} (F{FLOOR[own]}) imports {other} (F{FLOOR[other]})"
        elif top in HEAVY:
            assert own == HEAVY[top], f"{top} may be imported in rtsim/{HEAVY[top]} only; found in {path}"


def _is_kernel(path: Path) -> bool:
    return path.name == "_kernels.py" or path.parent.name == "_kernels"


@pytest.mark.parametrize("path", [p for p in FILES if _is_kernel(p)], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_kernels_know_no_objects(path: Path) -> None:
    allowed = {"math", "numpy", "numba", "__future__"}
    others = {n for n in _imports(path) if n.split(".")[0] not in allowed}
    if path.parent.name == "_kernels":  # one idea in several files, which know each other only
        folder = "rtsim." + ".".join(path.parent.relative_to(PACKAGE).parts)
        others = {n for n in others if n != folder and not n.startswith(folder + ".")}
        if path.name == "__init__.py":  # hashes its folder for the cache of the compiled kernel
            others -= {"hashlib", "pathlib"}
    assert not others


def test_every_folder_is_on_the_road() -> None:
    folders = {p.name for p in PACKAGE.iterdir() if p.is_dir() and not p.name.startswith("_")}
    assert folders <= set(FLOOR), f"folders that stand on no floor: {folders - set(FLOOR)}"


def test_import_stays_light() -> None:
    code = "import sys, rtsim; print([m for m in ('vtk', 'pyvista', 'pydicom', 'matplotlib') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
