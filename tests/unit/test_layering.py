"""Import rules: allowed imports between packages, and libraries that light imports must not load."""

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "isaaclab_mimic_ext"
SIMULATORS = {"mujoco", "mujoco_warp", "isaaclab", "isaacsim", "omni", "pxr"}

BELOW_ALL = {"progress", "command_lines", "texts", "trees", "uploads"}
MAY_IMPORT = {
    "errors": set(),
    "texts": set(),
    "command_lines": set(),
    "trees": set(),
    "uploads": set(),
    "progress": set(),
    "math": set(),
    "kernels": {"math"},
    "rng": {"errors", "kernels"},
    "files": {"errors"},
    "task": {"errors", "math", "rng", "tasks"},
    "config": {"errors", "task", "tasks"},
    "envs": {"config", "errors", "files", "kernels", "math", "rng", "task", "tasks"},
    "demos": {"config", "errors", "files", "math"},
    "plan": {"config", "demos", "errors", "kernels", "math", "rng"},
    "run": {"config", "demos", "envs", "errors", "files", "math", "plan", "rng", "task"},
    "datasets": {"config", "demos", "envs", "errors", "files", "math", "run", "task"},
    "checks": {"config", "datasets", "demos", "envs", "errors", "files", "math", "plan", "rng", "task"},
    "learn": {"config", "datasets", "demos", "envs", "errors", "files", "rng", "run", "task"},
    "report": {"checks", "config", "datasets", "demos", "envs", "errors", "files", "learn", "run", "task"},
    "studio": {"checks", "config", "datasets", "demos", "envs", "errors", "files", "learn", "math", "report", "run", "task"},
    "commands": {
        "__version__",
        "checks",
        "config",
        "datasets",
        "envs",
        "errors",
        "files",
        "learn",
        "report",
        "run",
        "studio",
        "task",
    },
}
"""Package or module -> the packages that it may import, in addition to itself and those in `BELOW_ALL`.

files <- task <- config <- envs, demos <- plan <- run <- datasets <- checks, learn <- report <- studio <- commands.
"""

PARTS_OF_COMMANDS = {
    "test_auto_engine.py": {"commands.launch"},
    "test_command_line.py": {"commands.launch", "commands.overrides"},
    "test_command_lines.py": {"commands.program"},
    "test_common_names.py": {"commands.overrides"},
    "test_config.py": {"commands.overrides"},
    "test_process_launcher.py": {"commands.sweep_job"},
    "test_pipeline.py": {"commands.overrides", "commands.pipeline", "commands.pipeline_settings", "commands.pipeline_steps"},
    "test_replay_task.py": {"commands.overrides"},
    "test_registered_tasks.py": {"commands.overrides"},
    "test_studio_end.py": {"commands.signals", "commands.studio"},
    "test_mesh_lists.py": {"commands.overrides"},
    "test_meshes.py": {"commands.overrides"},
    "test_two_robots.py": {"commands.overrides"},
    "test_schemas.py": {"commands.messages", "commands.overrides"},
    "test_resumed.py": {"commands.resumed"},
    "test_run_texts.py": {"commands.app"},
    "test_task_of_file.py": {"commands.recorded"},
    "test_text_values.py": {
        *("commands.overrides", "commands.pipeline", "commands.pipeline_steps", "commands.recorded", "commands.resumed"),
    },
    "test_any_locale.py": {"commands.pipeline_steps", "commands.resumed"},
}
"""Tests of parts of the command line -> these parts."""

MAY_CALL_KERNELS = {"plan", "rng", "envs", "kernels"}


def sources() -> list[Path]:
    return sorted([*(ROOT / PACKAGE).rglob("*.py"), *(ROOT / "tasks").rglob("*.py")])


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def module_name(path: Path) -> str:
    """Dotted name below the package: `plan.select`, `tasks.desktop_organizer.task`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[1:] if parts[0] == PACKAGE else parts).removesuffix(".__init__")


def imported(nodes: Iterator[ast.AST]) -> set[str]:
    """Absolute names of the imported modules."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"relative import of {node.module}"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def at_import_time(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes that run when a module is imported: all but function bodies and `if TYPE_CHECKING`."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        yield node
        type_checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not type_checking and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pending.extend(ast.iter_child_nodes(node))


def parts_imported(path: Path) -> set[str]:
    """The modules of this package that a file imports, below the package."""
    names = imported(ast.walk(parse(path)))
    return {name.removeprefix(f"{PACKAGE}.") for name in names if name.startswith(f"{PACKAGE}.")}


def is_below(name: str, parts: set[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_package_imports_only_allowed_packages(part: str) -> None:
    for path in sources():
        if is_below(module_name(path), {part}):
            wrong = {name for name in parts_imported(path) if not is_below(name, MAY_IMPORT[part] | {part} | BELOW_ALL)}
            assert not wrong, f"{path}: {part} may import {sorted(MAY_IMPORT[part])}, not {sorted(wrong)}"


def test_tests_and_benchmarks_import_no_internals_of_commands() -> None:
    for path in [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]:
        behind = {name for name in parts_imported(path) if name.startswith("commands.")}
        allowed = {"commands.main"} | PARTS_OF_COMMANDS.get(path.name, set())
        wrong = {name for name in behind if not is_below(name, allowed)}
        assert not wrong, f"{path}: imports {sorted(wrong)}; use isaaclab_mimic_ext's public names"


def part_of(name: str) -> str:
    """The package or top-level module that a module belongs to; the package itself for its own `__init__`."""
    return name.split(".")[0]


def imports_between_parts() -> dict[str, set[str]]:
    """Part -> other parts that any of its modules imports, also late.

    Without `tasks`: task folders are plug-ins, found by name.
    """
    parts = {part_of(module_name(path)) for path in sources()} - {PACKAGE, "tasks"}
    edges: dict[str, set[str]] = {part: set() for part in parts}
    for path in sources():
        part = part_of(module_name(path))
        if part in parts:
            edges[part] |= ({part_of(name) for name in parts_imported(path)} & parts) - {part}
    return edges


def test_packages_import_each_other_without_cycles() -> None:
    try:
        TopologicalSorter(imports_between_parts()).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])), pytrace=False)


def test_each_package_has_a_row() -> None:
    without = set(imports_between_parts()) - {part_of(part) for part in MAY_IMPORT} - {"__init__", "__main__"}
    assert not without, f"add rows to MAY_IMPORT: {sorted(without)}"


def test_kernels_are_called_only_from_plan_rng_and_engines() -> None:
    for path in sources():
        if is_below("kernels", {name.split(".")[0] for name in parts_imported(path)}):
            assert is_below(module_name(path), MAY_CALL_KERNELS), path


def test_only_engines_and_scene_modules_import_a_simulator() -> None:
    for path in sources():
        simulators = {name.split(".")[0] for name in imported(ast.walk(parse(path)))} & SIMULATORS
        is_scene = path.parts[-2] == "isaaclab" or path.stem == "mujoco_scene"
        assert not simulators or is_below(module_name(path), {"envs"}) or is_scene, f"{path} imports {simulators}"


def test_simulators_are_not_imported_at_module_level() -> None:
    at_once = {module_name(path): imported(at_import_time(parse(path))) for path in sources()}
    bound = {name for name, names in at_once.items() if {other.split(".")[0] for other in names} & SIMULATORS}
    # A task's scene for Isaac Lab is imported after the launch, as a whole.
    bound |= {name for name in at_once if name.startswith("tasks.") and name.split(".")[2:3] == ["isaaclab"]}
    for name, names in at_once.items():
        if name not in bound:
            wrong = bound & {other.removeprefix(f"{PACKAGE}.") for other in names}
            assert not wrong, f"{name} imports {sorted(wrong)}, which import a simulator, when it is imported itself"


def loaded_after(*steps: Sequence[str]) -> list[set[str]]:
    """Top-level modules of a fresh interpreter after each step, which imports modules of the package."""
    show = "print(*{name.split('.')[0] for name in sys.modules})"
    lines = [f"import {', '.join(f'{PACKAGE}.{name}' if name else PACKAGE for name in step)}\n{show}" for step in steps]
    code = "\n".join(["import sys", *lines])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.anchor)
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_command_line_does_not_import_torch() -> None:
    (command_line,) = loaded_after(["commands.app"])
    assert not command_line & ({"torch", "warp", "h5py"} | SIMULATORS)


@pytest.mark.slow
def test_modules_import_large_libraries_only_where_they_need_them() -> None:
    """In one interpreter, whose start takes most of the time: each step also loads what the steps before it load."""
    package, planning_core, engines, drawing = loaded_after(
        [""],
        ["math", "rng", "task", "envs.base", "plan.planner"],
        ["envs.factory", "envs.kinematic"],
        [f"report.{name}" for name in ("run_page", "pipeline_page", "timeline", "curves")],
    )
    heavy = {"torch", "numpy", "warp", "h5py", "hydra", "omegaconf", "rich", "imageio", "matplotlib", "jinja2"}
    assert not package & (heavy | SIMULATORS)
    assert not planning_core & ({"hydra", "rich", "imageio", "scipy", "matplotlib"} | SIMULATORS)
    assert not engines & SIMULATORS
    assert not drawing & {"matplotlib", "PIL"}
