"""Coverage of the 95 % intervals of `ldr_utils.stats` on simulated problems with known truth.

A problem passes in a language where a latent normal falls below the quantile of that language's accuracy. The latent
is shared in part by the languages of a problem and in part by the two models, so cells are correlated as real scores
are, while every true accuracy and every true difference is known exactly.

Exit status 1 where a coverage lies outside 93-97 %, or the permutation test rejects a true null too often.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ldr_utils.stats import Difference, Interval, mean_interval, paired_difference

BEFORE = {"de": 0.90, "es": 0.75, "ru": 0.60, "th": 0.45, "sw": 0.30}
AFTER = {"de": 0.90, "es": 0.78, "ru": 0.64, "th": 0.51, "sw": 0.38}
PROBLEMS = 150
# Variance of the latent: problem (all languages, both models), cell (one language, both models), answer (neither).
SHARES = {"problem": 0.5, "cell": 0.2, "answer": 0.3}
WITHIN = (0.93, 0.97)


def simulate(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of the two models (before, after), each of shape (problems, languages)."""
    shared = math.sqrt(SHARES["problem"]) * rng.standard_normal((PROBLEMS, 1))
    shared = shared + math.sqrt(SHARES["cell"]) * rng.standard_normal((PROBLEMS, len(BEFORE)))
    tables = []
    for rates in (BEFORE, AFTER):
        latent = shared + math.sqrt(SHARES["answer"]) * rng.standard_normal(shared.shape)
        limits = [NormalDist().inv_cdf(rate) for rate in rates.values()]
        tables.append(pd.DataFrame((latent < limits).astype(float), columns=list(rates)))
    return tables[0], tables[1]


def contains(bounds: Interval | Difference, truth: float) -> bool:
    """Whether the closed interval holds the truth; scores over 150 problems often put a bound exactly on it."""
    return bounds.low - 1e-9 <= truth <= bounds.high + 1e-9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000)
    simulations = parser.parse_args().simulations
    means = BEFORE | {"avg": sum(BEFORE.values()) / len(BEFORE)}
    gains = {key: AFTER[key] - BEFORE[key] for key in BEFORE}
    gains["avg"] = sum(gains.values()) / len(gains)
    null = [key for key, gain in gains.items() if gain == 0]

    rng, rejected = np.random.default_rng(0), 0
    covered = dict.fromkeys([*(("mean", key) for key in means), *(("gain", key) for key in gains)], 0)
    for number in range(simulations):
        before, after = simulate(rng)
        level = mean_interval(before, seed=number)
        change = paired_difference(after, before, seed=number)
        for key in means:
            covered["mean", key] += contains(level[key], means[key])
            covered["gain", key] += contains(change[key], gains[key])
        rejected += sum(change[key].p <= 0.05 for key in null)
        if (number + 1) % max(1, simulations // 10) == 0:
            print(f"{number + 1}/{simulations} simulations", file=sys.stderr, flush=True)

    failed = False
    for (what, key), count in covered.items():
        truth, share = (means if what == "mean" else gains)[key], count / simulations
        error = math.sqrt(share * (1 - share) / simulations)
        outside = not WITHIN[0] <= share <= WITHIN[1]
        failed |= outside
        flag = "  OUTSIDE 93-97 %" if outside else ""
        print(f"{what} {key:<3}  truth {truth:.3f}  coverage {100 * share:.1f} +- {100 * error:.1f} %{flag}")
    rate = rejected / (simulations * len(null))
    print(f"true null ({', '.join(null)}) rejected at 0.05: {100 * rate:.1f} %")
    # The test is valid, perhaps conservative: only an excess beyond three Monte Carlo errors is a fault.
    failed |= rate > 0.05 + 3 * math.sqrt(0.05 * 0.95 / (simulations * len(null)))
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
