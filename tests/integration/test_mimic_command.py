"""The command `mimic`: its verbs and help. The scripts accept the same command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from isaaclab_mimic_ext.commands.main import VERBS, _with_defaults
from isaaclab_mimic_ext.config import SCRIPT_SCHEMAS

ROOT = Path(__file__).resolve().parents[2]
ORDER = [
    "demo",
    "studio",
    "record",
    "annotate",
    "check",
    "generate",
    "collect",
    "watch",
    "regenerate",
    "report",
    "split",
    "merge",
    "inspect",
    "show",
    "render",
    "validate",
    "replay",
    "import",
    "import-config",
    "export",
    "prepare",
    "train",
    "evaluate",
    "pipeline",
    "sweep-report",
    "check-engine",
]


def mimic(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "isaaclab_mimic_ext", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def test_help_lists_all_verbs_in_the_order_of_their_use(tmp_path: Path) -> None:
    done = mimic("--help", cwd=tmp_path)
    assert done.returncode == 0
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [verb for verb, _ in lines[: len(ORDER)]] == ORDER
    assert all(summary and not summary.endswith(".") for _, summary in lines[: len(ORDER)])


def test_help_takes_less_than_a_second(tmp_path: Path) -> None:
    """CPU time, which does not depend on the load of the machine."""
    code = "import sys, time, atexit; atexit.register(lambda: print(time.process_time(), file=sys.stderr)); "
    code += "sys.argv = ['mimic', '--help']; from isaaclab_mimic_ext.commands.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert float(done.stderr) < 1.0


def test_unknown_verb_is_refused_with_the_nearest_verb_and_exit_code_2(tmp_path: Path) -> None:
    done = mimic("genrate", "num_envs=3", cwd=tmp_path)
    assert done.returncode == 2
    assert "UsageError: 'genrate' is not a verb of mimic" in done.stderr and "did you mean 'generate'?" in done.stderr


def test_missing_verb_shows_the_help_with_exit_code_2(tmp_path: Path) -> None:
    done = mimic(cwd=tmp_path)
    assert done.returncode == 2 and "usage: mimic" in done.stdout


@pytest.mark.parametrize("verb", ["demo", "record", "split", "sweep-report"])
def test_help_of_a_verb_lists_its_fields(verb: str, tmp_path: Path) -> None:
    done = mimic(verb, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "overwrite = false" in done.stdout or "input_file = " in done.stdout


def test_help_of_demo_shows_its_defaults_and_only_end_effectors_with_subtasks(tmp_path: Path) -> None:
    text = mimic("demo", "--help", "output_dir=run", cwd=tmp_path).stdout
    defaults = "task=desktop_organizer num_envs=100 headless=true output_dir=datasets/demo resume=true"
    assert text.startswith(f"mimic demo is mimic generate with {defaults}.\n"), text[:500]
    assert "subtask_configs.franka.0: object_ref=ketchup" in text and ".left." not in text and "$" not in text
    assert "\n  output_dir = run  " in text and "\n  headless = true  " in text


def test_every_schema_has_a_verb_and_a_script() -> None:
    assert {verb.config for verb in VERBS.values()} == set(SCRIPT_SCHEMAS)
    assert {path.stem for path in (ROOT / "scripts").glob("*.py")} == set(SCRIPT_SCHEMAS)


def test_module_and_script_accept_the_same_command_line(tmp_path: Path) -> None:
    words = ("--cfg", "job", "num_envs=7", "seed=3", "subtask_configs.franka.0.num_fixed_steps=2", "output_dir=run")
    script = [sys.executable, str(ROOT / "scripts" / "generate.py"), *words]
    shown = subprocess.run(script, capture_output=True, text=True, cwd=tmp_path, check=True).stdout
    assert "num_envs: 7" in shown
    assert mimic("generate", *words, cwd=tmp_path).stdout == shown


def test_demo_is_generate_with_defaults_that_can_be_overridden(tmp_path: Path) -> None:
    done = mimic("demo", "--cfg", "job", "--num_envs", "5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "num_envs: 5" in done.stdout and "headless: true" in done.stdout and "name: desktop_organizer" in done.stdout
    assert "output_dir: datasets/demo\n" in done.stdout


@pytest.mark.parametrize(
    ("words", "added"),
    [
        ([], ["output_dir=datasets/demo", "resume=true"]),
        (["output_dir=run"], ["resume=true"]),
        (["--overwrite"], ["output_dir=datasets/demo"]),
        (["-m", "seed=1,2"], []),
        (["hydra.run.dir=multirun/0", "hydra.job.num=0"], []),
    ],
)
def test_demo_has_its_own_folder_except_in_a_sweep(words: list[str], added: list[str]) -> None:
    completed = _with_defaults(words, VERBS["demo"].defaults)
    assert [word for word in completed if word.startswith(("output_dir", "resume")) and word not in words] == added


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_a_reader_that_ends_early_is_not_an_error(flag: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "isaaclab_mimic_ext", flag]
    read_end, write_end = os.pipe()
    os.close(read_end)  # The first write of the command fails.
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=120)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "")
