"""Check that a dataset depends only on configuration, source file and seed: print its digest for several numbers of envs.

python benchmarks/reproducibility.py --num-envs 1,7,64 --threads 1,2 [generation_num_trials=20] [--json]
"""

import argparse
import json
import sys

from common import generator, integers, machine

from isaaclab_mimic_ext.files.digest import dataset_digest


def digest(num_envs: int, num_threads: int, overrides: list[str]) -> str:
    """Return the digest of the dataset of one run."""
    with generator([f"num_envs={num_envs}", f"sim.num_threads={num_threads}", *overrides]) as (run, output):
        run.run()
        run.close()
        return dataset_digest(output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-envs", type=integers, default=[1, 7, 64])
    parser.add_argument("--threads", type=integers, default=[0], help="number of physics threads; 0: one per core")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("overrides", nargs="*", help="overrides of generate.py; default: 20 successful trials")
    args = parser.parse_intermixed_args()
    overrides = ["datagen_config.generation_num_trials=20", *args.overrides]
    digests = {(n, t): digest(n, t, overrides) for n in args.num_envs for t in args.threads}
    if args.json:
        rows = [{"num_envs": n, "num_threads": t, "digest": value} for (n, t), value in digests.items()]
        print(json.dumps({"machine": machine(), "results": rows}))
    else:
        for (num_envs, num_threads), value in digests.items():
            print(f"num_envs={num_envs:<5} num_threads={num_threads}  {value}")
    sys.exit(len(set(digests.values())) != 1)


if __name__ == "__main__":
    main()
