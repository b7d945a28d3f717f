"""The same prompts of the micro world through both generation backends: do they agree, and which is faster?

The prompts are held-out problems in all seven languages, answered by the base model and by one with an adapter from a
few steps of the study's own training. Both backends take turns on blocks of prompts, so that whatever else the machine
does meets both.

Exit status 1 where fewer than 99 % of the answers are identical. Needs vLLM (docs/real-models.md, Backends).
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ldr_utils.method.training import build_trainer, start_policy, tokenize_pairs, train_once
from ldr_utils.micro.lexicon import LANGUAGES
from ldr_utils.micro.world import draw_distinct
from ldr_utils.policy.backends import open_generator
from ldr_utils.policy.generate import Completion, Generator
from ldr_utils.study.params import DecodingParams, TrainingParams

BLOCK = 100  # prompts
SHARE = 0.99  # of identical answers


def draw_prompts(n: int) -> list[str]:
    """Arithmetic and instructions in turn, the languages in turn."""
    tasks = draw_distinct(random.Random("backends"), n, "test", lambda k: ("arithmetic", "instruction")[k % 2])
    return [task.prompt[LANGUAGES[k % len(LANGUAGES)]] for k, task in enumerate(tasks)]


def train_adapter(run_dir: Path, prompts: list[str], threads: int) -> None:
    """M1 of a run folder: a few steps towards other answers."""
    params = TrainingParams(run_dir=str(run_dir), learning_rate=1e-3, warmup_steps=0, threads=threads)
    policy = start_policy(params)
    pairs = [{"prompt": text, "chosen": f"{k} {k + 1}.", "rejected": "..."} for k, text in enumerate(prompts[:200])]
    rows, _ = tokenize_pairs(policy, pairs, params.max_length)
    train_once(build_trainer(policy, rows, params, run_dir / "work"), run_dir / "M1" / "adapter")


def timed(generator: Generator, prompts: list[list[int]]) -> tuple[list[Completion], float]:
    """Completions, and tokens a second."""
    start = time.perf_counter()
    found = generator.complete(prompts)
    return found, sum(c.tokens for c in found) / (time.perf_counter() - start)


def compare(run_dir: Path, prompts: list[str], t: int, threads: int) -> tuple[list[Completion], float]:
    """What transformers answers, and the share of answers in which vLLM agrees; prints both and the speeds."""
    params = DecodingParams(run_dir=str(run_dir), threads=threads)
    both = [params.model_copy(update={"backend": name}) for name in ("transformers", "vllm")]
    answers: list[Completion] = []
    same, speeds = 0, []
    with open_generator(both[0], t) as ours, open_generator(both[1], t) as engine:
        ids = [ours.prompt_ids([{"role": "user", "content": text}]) for text in prompts]
        for generator in (ours, engine):
            generator.complete(ids[:2])  # the first call sets things up
        for k, start in enumerate(range(0, len(ids), BLOCK)):
            block = ids[start : start + BLOCK]
            order = (ours, engine) if k % 2 == 0 else (engine, ours)
            found = {id(generator): timed(generator, block) for generator in order}
            (expected, slow), (got, fast) = found[id(ours)], found[id(engine)]
            same += sum(a == b for a, b in zip(expected, got, strict=True))
            answers += expected
            speeds.append((slow, fast))
    ratios = sorted(fast / slow for slow, fast in speeds)
    means = [statistics.mean(values) for values in zip(*speeds, strict=True)]
    print(
        f"M{t}: {same} of {len(ids)} answers identical ({same / len(ids):.1%}); tokens a second: transformers "
        f"{means[0]:.0f}, vllm {means[1]:.0f}; ratio by block: median {statistics.median(ratios):.2f}, "
        f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    )
    return answers, same / len(ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    prompts = draw_prompts(args.prompts)
    with tempfile.TemporaryDirectory(prefix="ldr-") as folder:
        with redirect_stdout(StringIO()):  # the trainer prints every step
            train_adapter(Path(folder), prompts, args.threads)
        results = [compare(Path(folder), prompts, t, args.threads) for t in (0, 1)]
    (base, tuned), shares = (answers for answers, _ in results), [share for _, share in results]
    changed = sum(a != b for a, b in zip(base, tuned, strict=True))
    print(f"the adapter changed {changed} of {len(prompts)} answers")
    sys.exit(int(min(shares) < SHARE))


if __name__ == "__main__":
    main()
