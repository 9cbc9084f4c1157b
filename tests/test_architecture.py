"""The laws of the house, read from the imports; and each checker tried on a planted offence."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "simsens"

# Who stands on whom: a folder imports from itself and from lower floors only.
FLOOR = {
    "version": 0,
    "particles": 1,
    "implicit": 1,
    "projection": 2,
    "prox": 3,
    "optimality": 4,
    "solvers": 5,
    "response": 6,
    "learning": 6,
    "io": 7,
    "plots": 8,
    "studies": 9,
    "cli": 10,
    "__main__": 11,
}
# Heavy packages and the only places that may import them.
DOORS = {
    "jax_md": ("particles/jax_md_door.py",),
    "h5py": ("io/",),
    "matplotlib": ("plots.py", "plots/"),
    "click": ("cli/",),
    "dask": ("studies/",),
}
NAMELESS = {"utils", "misc", "helpers", "common", "base"}


def sources():
    """Every module of the package: its path below simsens/ and its text."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(ROOT.rglob("*.py"))
    }


def module_name(path):
    parts = ["simsens", *Path(path).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def folder(path):
    return Path(path).parts[0].removesuffix(".py")


def imports(path, text):
    """All modules named by imports anywhere in the file, relative ones resolved."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                package = ["simsens", *Path(path).parent.parts]
                package = package[: len(package) - node.level + 1]
                origin = ".".join([*package, origin]).rstrip(".")
            found |= {f"{origin}.{alias.name}" for alias in node.names} | {origin}
    return found


def order_offences(path, text):
    """Imports of the same floor's other folders, or of a floor above."""
    own = folder(path)
    if path == "__init__.py":
        return []
    offences = []
    for name in imports(path, text):
        parts = name.split(".")
        if parts[0] != "simsens" or len(parts) < 2 or parts[1] == own:
            continue
        floor = FLOOR.get(parts[1])
        if floor is None or floor >= FLOOR[own]:
            offences.append(f"{path} imports {name}")
    return offences


def face_offences(path, text):
    """``import simsens``, ``from simsens import relax``: the face is for those outside.

    ``from simsens import io`` names a folder, not the face; the order of the folders judges it.
    """
    if path == "__init__.py":
        return []
    bare = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            bare += [a.name for a in node.names if a.name == "simsens"]
        elif isinstance(node, ast.ImportFrom) and node.module == "simsens":
            bare += [a.name for a in node.names if a.name not in FLOOR]
    return [f"{path} imports simsens' face: {name}" for name in bare]


def door_offences(path, text):
    """Heavy packages imported elsewhere than at their door."""
    offences = []
    for name in imports(path, text):
        allowed = DOORS.get(name.split(".")[0])
        if allowed is not None and not path.startswith(allowed):
            offences.append(f"{path} imports {name}")
    return offences


def disguised_offences(path, text):
    """``importlib.import_module("jax_md...")`` elsewhere than at the door."""
    if path in DOORS["jax_md"]:
        return []
    calls = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call) and n.args]
    return [
        f"{path}: {ast.unparse(call)}"
        for call in calls
        if "import" in ast.unparse(call.func)
        and ast.unparse(call.args[0]).lstrip("f").strip("'\"").startswith(tuple(DOORS))
    ]


def print_offences(path, text):
    if path.startswith("cli/"):
        return []
    calls = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)]
    return [f"{path}:{c.lineno} prints" for c in calls if ast.unparse(c.func) == "print"]


def docstring_offences(path, text):
    """Public functions, classes and methods without a docstring; the module itself too."""
    offences = []

    def visit(node, prefix):
        if not ast.get_docstring(node):
            offences.append(f"{path}: {prefix or 'the module'}")
        for child in ast.iter_child_nodes(node):
            kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
            inner = not isinstance(node, (ast.Module, ast.ClassDef))
            if isinstance(child, kinds) and not child.name.startswith("_") and not inner:
                visit(child, f"{prefix}.{child.name}")

    visit(ast.parse(text), "")
    return offences


def import_circles(texts):
    """Modules that reach themselves again through imports, function-level ones included."""
    modules = {module_name(path): path for path in texts}
    graph = {}
    for name, path in modules.items():
        named = imports(path, texts[path])
        # `from package import module` names the module; the package alone is its initialiser.
        graph[name] = {n for n in named if n in modules and n != name}
        graph[name] -= {n for n in graph[name] if any(m.startswith(n + ".") for m in graph[name])
                        and _only_as_package(texts[path], n, modules)}  # fmt: skip
    circles = set()
    for start in graph:
        seen, waiting = set(), list(graph[start])
        while waiting:
            name = waiting.pop()
            if name == start:
                circles.add(start)
                break
            if name not in seen:
                seen.add(name)
                waiting += graph[name]
    return sorted(circles)


def _only_as_package(text, package, modules):
    """Whether ``package`` is only used to reach modules in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            if any(f"{package}.{alias.name}" not in modules for alias in node.names):
                return False
        elif isinstance(node, ast.Import) and any(a.name == package for a in node.names):
            return False
    return True


CHECKS = {
    "folders import only what is below them": order_offences,
    "nobody inside imports the face": face_offences,
    "heavy packages come through their door": door_offences,
    "and not in disguise": disguised_offences,
    "prints are for the command line": print_offences,
    "what is public is documented": docstring_offences,
}


@pytest.mark.parametrize("law", CHECKS)
def test_law_holds(law):
    offences = [o for path, text in sources().items() for o in CHECKS[law](path, text)]
    assert offences == []


@pytest.mark.parametrize(
    ("law", "path", "text"),
    [
        (order_offences, "particles/space.py", "from simsens.implicit import root"),
        (order_offences, "implicit/root.py", "import simsens.particles.space"),
        (order_offences, "response/hessian.py", "def f():\n    from simsens.io import h5md"),
        (order_offences, "io/h5md.py", "from simsens.plots import packing"),
        (order_offences, "particles/space.py", "from ..response import relaxation"),
        (order_offences, "response/hessian.py", "from simsens.strangers import x"),
        (face_offences, "particles/space.py", "import simsens"),
        (face_offences, "cli/main.py", "from simsens import relax"),
        (door_offences, "response/descent.py", "from jax_md import minimize"),
        (door_offences, "particles/space.py", "import jax_md.space"),
        (door_offences, "response/hessian.py", "import h5py"),
        (door_offences, "io/h5md.py", "import matplotlib.pyplot as plt"),
        (door_offences, "io/h5md.py", "import click"),
        (disguised_offences, "io/h5md.py", "import_module('jax_md.energy')"),
        (print_offences, "io/h5md.py", "def f():\n    print('x')"),
        (docstring_offences, "io/h5md.py", "'''doc'''\ndef public(): pass"),
        (docstring_offences, "io/h5md.py", "'''doc'''\nclass A:\n  '''doc'''\n  def f(s): pass"),
        (docstring_offences, "io/h5md.py", "x = 1"),
    ],
)
def test_planted_offence_is_found(law, path, text):
    assert len(law(path, text)) >= 1


def test_no_circles_between_modules():
    assert import_circles(sources()) == []


def test_planted_circle_is_found():
    texts = {
        "a/__init__.py": "",
        "a/one.py": "from simsens.a import two",
        "a/two.py": "def f():\n    from simsens.a.three import x",
        "a/three.py": "from . import one",
        "a/four.py": "from simsens.a import one",
    }
    assert import_circles(texts) == ["simsens.a.one", "simsens.a.three", "simsens.a.two"]


def test_calculus_knows_nothing_of_the_package():
    named = {
        name
        for path, text in sources().items()
        if path.startswith("implicit/")
        for name in imports(path, text)
        if name.startswith("simsens")
    }
    assert named  # its own modules
    assert {name for name in named if not name.startswith("simsens.implicit")} == set()


def test_files_are_named_after_what_they_hold():
    parts = {part.removesuffix(".py") for path in sources() for part in Path(path).parts}
    assert parts & NAMELESS == set()


def test_every_folder_has_its_floor():
    assert {folder(path) for path in sources()} - {"__init__"} <= set(FLOOR)


def test_public_names_exist():
    import simsens

    for name in simsens.__all__:
        assert getattr(simsens, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = simsens.nonsense


HEAVY = ("jax", "jax_md", "numpy", "scipy", "h5py", "matplotlib", "ase")

AFTER = """
import json, sys
try:
    {code}
except SystemExit as stop:
    assert not stop.code, stop.code
sys.stderr.write(json.dumps([name for name in {names!r} if name in sys.modules]))
"""


def loaded_after(code, names=HEAVY):
    """Which of the names a fresh interpreter holds after running the code."""
    script = AFTER.format(code=code, names=names)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stderr.splitlines()[-1])


def test_importing_simsens_loads_nothing():
    assert loaded_after("import simsens") == []
    assert loaded_after("import numpy") == ["numpy"]  # the instrument shows what is there


@pytest.mark.parametrize("arguments", [["--help"], ["relax", "--help"], ["--version"]])
def test_help_loads_nothing_heavier_than_click(arguments):
    code = f"from simsens.cli.main import main; main({arguments!r})"
    assert loaded_after(code, (*HEAVY, "click")) == ["click"]


def test_importing_everything_leaves_precision_and_backend_alone():
    code = (
        "import simsens, jax; [getattr(simsens, name) for name in simsens.__all__]; "
        "from jax._src import xla_bridge; "
        "assert not jax.config.jax_enable_x64; assert not xla_bridge._backends"
    )
    assert "jax_md" not in loaded_after(code)
