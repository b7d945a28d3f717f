"""The protocol by which the paper was judged: AlpacaEval 2's, as its package publishes it.

One call a case in one order, one token at temperature 1, and the probabilities of the labels ``m`` (shown first) and
``M`` for a weighted preference (Dubois et al., 2024). The prompt is read from the installed package ``alpaca_eval``;
nothing of it is imported, for version 0.6.6 fails at that.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, files

from ldr_utils.judges.prompted import PromptedJudge, Question
from ldr_utils.judges.verdicts import Case
from ldr_utils.policy.prompts import quoted
from ldr_utils.study.errors import InputError

TEMPLATE = "alpaca_eval/evaluators_configs/alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt"
LABELS = ("m", "M")
TURN = re.compile(r"<\|im_start\|>(system|user)\n(.*?)<\|im_end\|>", re.DOTALL)
SLOT = re.compile(r"\{(instruction|output_1|output_2)\}")


class AlpacaEvalJudge(PromptedJudge):
    """A language model asked by AlpacaEval's published protocol; scores of single answers are asked for as ever."""

    protocol = "alpaca_eval"

    def pairwise(self, case: Case) -> Question:
        """AlpacaEval's question which of two models is better."""
        system, user = read_template()
        texts = {"instruction": case.record["prompt"], "output_1": case.first, "output_2": case.second}
        prompt = SLOT.sub(lambda slot: quoted(texts[slot[1]]), user)
        return Question(f"{system}\n{user}", prompt, LABELS, system=system, sampled=True)


@lru_cache(maxsize=1)
def read_template() -> tuple[str, str]:
    """System and user turn of AlpacaEval's prompt, the latter with slots for the texts.

    Raises
    ------
    InputError
        When the package is not installed, or its file is not what it was in version 0.6.6.
    """
    try:
        found = next((file for file in files("alpaca_eval") or [] if file.as_posix() == TEMPLATE), None)
    except PackageNotFoundError:
        found = None
    if found is None:
        raise InputError("judge_protocol: alpaca_eval is not installed; pip install --no-deps alpaca_eval==0.6.6")
    turns = dict(TURN.findall(found.read_text(encoding="utf-8")))
    if set(turns) != {"system", "user"} or set(SLOT.findall(turns["user"])) != {"instruction", "output_1", "output_2"}:
        raise InputError(f"judge_protocol: {found} is of another form; pip install --no-deps alpaca_eval==0.6.6")
    return turns["system"].strip(), turns["user"].strip()
