"""Read hundreds of damaged variants of a source file and a dataset with each reader.

    python benchmarks/fuzz.py --variants 500 [--json]

Damage: flipped bits, zeroed blocks, truncation; groups and datasets that are missing, have a different type or length, or
are not finite. Outcomes: `refused`: a clear error. `same`: the data of the undamaged file, or a variant that is a valid
file. `changed`: different data without an error. `escaped`: an exception that is not an error of this package. `crashed`,
`hung`: the reading process.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from common import machine

sys.path.insert(0, str(Path(__file__).parents[1]))

from isaaclab_mimic_ext.run.generate import generate_run
from tests.fuzzing import add_digests, count, fuzz
from tests.kinematic_sources import generate_cfg, write_source_file

READERS = {
    "source": ("source",),
    "dataset": ("inspect", "split", "demos", "stream", "playback", "validate", "merge"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=500, help="number of variants of each file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    report, num_bad = {}, 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = {"source": write_source_file(folder / "source.hdf5", num_demos=2), "dataset": folder / "run" / "demo.hdf5"}
        add_digests(files["source"])
        generate_run(generate_cfg(files["source"], folder / "run", "num_envs=2", "datagen_config.generation_num_trials=2"))
        for name, path in files.items():
            outcomes, bad = count(fuzz(path, folder, args.variants, READERS[name], args.seed))
            report[name] = {"variants": args.variants, "reads": outcomes.total(), **outcomes}
            num_bad += len(bad)
            for each in bad:
                print(*each, file=sys.stderr)
            if not args.json:
                print(f"{name}: " + ", ".join(f"{count} {key}" for key, count in report[name].items()), flush=True)
    if args.json:
        print(json.dumps({"machine": machine(), **report}, indent=2))
    sys.exit(num_bad > 0)


if __name__ == "__main__":
    main()
