"""How sure a rate is."""

from math import sqrt

CONFIDENCE = 0.95
_NORMAL_QUANTILE = 1.959963984540054
"""Of the normal distribution at (1 + CONFIDENCE) / 2."""


def wilson_interval(num_successes: int, num_trials: int) -> tuple[float, float]:
    """The 95 % confidence interval of a rate (Wilson, "Probable inference, the law of succession", JASA 22, 1927).

    Unlike the normal one it stays within [0, 1], and says something where every trial succeeded. (0, 1) without trials.
    """
    if num_trials == 0:
        return 0.0, 1.0
    rate, z2 = num_successes / num_trials, _NORMAL_QUANTILE**2
    middle = rate + z2 / (2 * num_trials)
    half = _NORMAL_QUANTILE * sqrt(rate * (1 - rate) / num_trials + z2 / (4 * num_trials**2))
    scale = 1 + z2 / num_trials
    # At 0 and 1 the bound is exact in theory, and must not fall short of it by rounding.
    low = 0.0 if num_successes == 0 else (middle - half) / scale
    high = 1.0 if num_successes == num_trials else (middle + half) / scale
    return low, high
