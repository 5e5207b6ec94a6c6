"""Success rate of generation, and reasons of failure.

python benchmarks/success_rate.py --trials 400 --seeds 1,2,3 [task=desktop_organizer_wide] [--json]
"""

import argparse
import json
import math
from typing import Any

from common import generator, integers, machine


def measure(seed: int, num_trials: int, overrides: list[str]) -> dict[str, Any]:
    """Count the successes and failures of one run of `num_trials` trials."""
    settings = [
        f"datagen_config.seed={seed}",
        "datagen_config.generation_guarantee=false",
        f"datagen_config.generation_num_trials={num_trials}",
        "datagen_config.max_num_failures=null",
    ]
    with generator([*settings, *overrides]) as (run, _):
        run.run()
        report = run.close()
    return {"seed": seed, "trials": report.num_attempts, "successes": report.num_successes, "failures": report.failures}


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a rate (Wilson 1927)."""
    z = 1.96
    rate, scale = successes / trials, 1 + z * z / trials
    middle = (rate + z * z / (2 * trials)) / scale
    half = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials)) / scale
    return middle - half, middle + half


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400, help="number of trials per seed")
    parser.add_argument("--seeds", type=integers, default=[1, 2, 3])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("overrides", nargs="*", help="overrides of generate.py")
    args = parser.parse_intermixed_args()
    results = [measure(seed, args.trials, args.overrides) for seed in args.seeds]
    successes, trials = (sum(result[key] for result in results) for key in ("successes", "trials"))
    low, high = wilson_interval(successes, trials)
    if args.json:
        print(json.dumps({"machine": machine(), "results": results, "rate": successes / trials, "interval": [low, high]}))
        return
    for result in results:
        print(
            f"seed {result['seed']}: {result['successes']} of {result['trials']} succeeded; failures: {result['failures']}"
        )
    print(f"{100 * successes / trials:.1f} % of {trials} trials (95 % confidence: {100 * low:.1f} to {100 * high:.1f} %)")


if __name__ == "__main__":
    main()
