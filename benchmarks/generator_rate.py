"""Speed of generator and recorder without physics: env-steps per second, from the first reset to the closed file.

    python benchmarks/generator_rate.py --num-envs 100,1000 --rounds 10 --compression none,lzf,gzip [--json]

The engine is kinematic; its share of the time is reported. The dataset is written to a folder on disk.
"""

import argparse
import json
from typing import Any

from common import Stages, generator, integers, machine


def measure(num_envs: int, num_trials: int, compression: str, overrides: list[str]) -> dict[str, Any]:
    """Measure one run of `num_trials` trials."""
    settings = [
        "sim=kinematic",
        f"num_envs={num_envs}",
        f"recorder.compression={compression}",
        "datagen_config.generation_guarantee=false",
        f"datagen_config.generation_num_trials={num_trials}",
    ]
    with generator([*settings, *overrides]) as (run, output):
        stages = Stages()
        stages.time(run.env, "step", "engine")
        run.run()
        report = run.close()
        size = output.stat().st_size
    return {
        "num_envs": num_envs,
        "compression": compression,
        "num_trials": num_trials,
        "success_rate": report.success_rate,
        "env_steps": report.env_steps,
        "seconds": report.elapsed,
        "env_steps_per_second": report.env_steps / report.elapsed,
        "engine_share": stages.seconds["engine"] / report.elapsed,
        "bytes_per_step": size / max(sum(report.lengths), 1),
    }


def show(result: dict[str, Any]) -> None:
    print(
        f"N={result['num_envs']:<5} {result['compression']:<5} {result['env_steps_per_second']:>9,.0f} env-steps/s"
        f"  {result['env_steps']:,} steps in {result['seconds']:.1f} s  success {result['success_rate']:.1%}"
        f"  engine {result['engine_share']:.0%} of the time  {result['bytes_per_step']:.0f} bytes per step on disk"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-envs", type=integers, default=[100, 1000])
    parser.add_argument("--rounds", type=int, default=10, help="number of trials per env")
    parser.add_argument("--compression", type=lambda text: text.split(","), default=["none", "lzf", "gzip"])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("overrides", nargs="*", help="overrides of generate.py")
    args = parser.parse_intermixed_args()
    results = []
    for num_envs in args.num_envs:
        for compression in args.compression:
            results.append(measure(num_envs, args.rounds * num_envs, compression, args.overrides))
            if not args.json:
                show(results[-1])
    if args.json:
        print(json.dumps({"machine": machine(), "results": results}, indent=2))


if __name__ == "__main__":
    main()
