"""Time that a run of many demos takes to end after SIGTERM, immediately after a resume and some time later.

    python benchmarks/stopping.py --demos 12000 --after 2,60 [--json]

A run of a few demos is killed, and its store is filled with copies of them, which take as long to write as other demos.
"""

import argparse
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import integers, machine

from isaaclab_mimic_ext.run.episode_files import episodes_folder
from isaaclab_mimic_ext.run.session import RunFolder

_SCRIPT = Path(__file__).parents[1] / "scripts" / "generate.py"
_COPY_TRIAL = "INSERT INTO trials SELECT trial + ?, {} FROM trials WHERE trial < ?"
_COPY_EPISODE = "INSERT INTO episodes SELECT trial + ?, attributes, rows FROM episodes WHERE trial < ?"


def start(folder: RunFolder, num_envs: int, *settings: str) -> subprocess.Popen[str]:
    fixed = ["sim=kinematic", f"num_envs={num_envs}", "video=false", "progress=false", f"output_dir={folder.path}"]
    target = ["generation_num_trials=1000000", "max_num_failures=null"]
    command = [sys.executable, str(_SCRIPT), *fixed, *target, *settings]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def fill(folder: RunFolder, num_demos: int) -> None:
    """Fill the store up to `num_demos` trials with copies of its trials."""
    with sqlite3.connect(folder.store) as database:
        # Keep only the trials before the first missing trial, so that there are no gaps.
        trials = [row[0] for row in database.execute("SELECT trial FROM trials ORDER BY trial")]
        count = next((index for index, trial in enumerate(trials) if trial != index), len(trials))
        database.execute("DELETE FROM trials WHERE trial >= ?", (count,))
        database.execute("DELETE FROM episodes WHERE trial >= ?", (count,))
        columns = [row[1] for row in database.execute("PRAGMA table_info(trials)") if row[1] != "trial"]
        for first in range(count, num_demos, count):
            database.execute(_COPY_TRIAL.format(", ".join(columns)), (first, count))
            database.execute(_COPY_EPISODE, (first, count))
            database.commit()


def measure(num_demos: int, seconds_after: int, num_envs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = RunFolder(Path(temporary) / "run")
        first = start(folder, num_envs)
        assert first.stderr is not None
        while sum(path.stat().st_size for path in episodes_folder(folder.store).glob("*")) < 4e7:
            time.sleep(0.05)
        first.kill()
        first.wait()
        time.sleep(1.0)
        fill(folder, num_demos)
        run = start(folder, num_envs, "resume=true")
        assert run.stderr is not None
        for line in run.stderr:
            if "Starting generation" in line:
                break
        time.sleep(seconds_after)
        began = time.perf_counter()
        run.send_signal(signal.SIGTERM)
        output = run.communicate()[1]
        result = {"demos": num_demos, "seconds_after_resuming": seconds_after, "exit_code": run.returncode}
        result |= {
            "seconds_to_the_end": time.perf_counter() - began,
            "last_line": output.strip().splitlines()[-1].replace(temporary, ""),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demos", type=int, default=12000)
    parser.add_argument("--after", default="2,60", help="seconds after which a resumed run is stopped")
    parser.add_argument("--num-envs", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    results = [measure(args.demos, seconds, args.num_envs) for seconds in integers(args.after)]
    if args.json:
        print(json.dumps({"machine": machine(), "results": results}, indent=2))
        return
    for result in results:
        print(result)


if __name__ == "__main__":
    main()
