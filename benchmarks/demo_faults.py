"""Compare the findings of `mimic check` with the success rate: plant a fault into every source demo, check, generate.

python benchmarks/demo_faults.py --trials 40 [--faults "targets 2 cm off,cropped end"]
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from common import generator

from isaaclab_mimic_ext.checks.examine import examine
from isaaclab_mimic_ext.checks.findings import CheckReport
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.errors import MimicError
from isaaclab_mimic_ext.task.definition import load_task

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests import planted

SOURCE = Path(__file__).resolve().parents[1] / "tasks/desktop_organizer/data/source_demos.hdf5"
FAULTS: dict[str, planted.PlantInDemo] = {
    "none": lambda demo: None,
    "targets scaled by 0.05": planted.scale_targets(0.05),
    "targets scaled by 2": planted.scale_targets(2),
    "targets scaled by 5": planted.scale_targets(5),
    "targets scaled by 10": planted.scale_targets(10),
    "targets scaled by 20": planted.scale_targets(20),
    "motions turned by 90 degrees": planted.turn_targets(1.5708),
    "targets 1 cm off": planted.shift_targets((0.01, 0, 0)),
    "targets 2 cm off": planted.shift_targets((0.02, 0, 0)),
    "targets 3 cm off": planted.shift_targets((0.03, 0, 0)),
    "relative taken for absolute": planted.read_actions_as_positions,
    "order of quaternions": planted.misread_quaternions,
    "gripper 16 steps early": planted.move_gripper(-16),
    "gripper 24 steps early": planted.move_gripper(-24),
    "cropped end": planted.keep_steps(0, -40),
    "cropped start": planted.keep_steps(40, None),
    "subtask order": planted.shift_signal("lift", lambda demo: 40),
    "same frame": planted.shift_signal("grasp", planted.rise_of("reach")),
}


def check(path: Path) -> CheckReport:
    cfg = load_config("check_demos", [f"input_file={path}"])
    return examine(path, load_task(cfg.task.name), cfg, cfg.num_draws).report


def generate(path: Path, num_trials: int) -> str:
    """Success rate of generation from a file, or `refused` with the error."""
    settings = [f"input_file={path}", "datagen_config.generation_guarantee=false", "datagen_config.max_num_failures=null"]
    try:
        with generator([*settings, "num_envs=40", f"datagen_config.generation_num_trials={num_trials}"]) as (run, _):
            run.run()
            return f"{run.close().success_rate:.0%}"
    except MimicError as error:
        return f"refused ({type(error).__name__})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--faults", default=",".join(FAULTS))
    args = parser.parse_args()
    print("fault | trials that succeed | errors | warnings")
    with tempfile.TemporaryDirectory() as folder:
        for name in args.faults.split(","):
            path = planted.planted_file(SOURCE, Path(folder) / f"{name.replace(' ', '_')}.hdf5", FAULTS[name])
            report = check(path)
            checks = {
                level: ", ".join(sorted(Counter(f.check for f in report.findings if f.level == level)))
                for level in ("error", "warning")
            }
            print(f"{name} | {generate(path, args.trials)} | {checks['error']} | {checks['warning']}", flush=True)


if __name__ == "__main__":
    main()
