"""The test sets of a study, one record each: where its problems are published, and where the scores of M_t lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ldr_utils.data.downloads import ALPACA_PROMPTS, MGSM


@dataclass(frozen=True)
class TestSet:
    """One test set.

    Attributes
    ----------
    name : str
        Of its folder in a run, and the ``task`` of its rows in results.csv.
    title : str
        As people write it.
    size : str
        The parameter that says how many of its problems a study takes.
    layout : str
        Its files where it is published, or in ``data_dir``.
    scores : str
        The file in the folder of its stage that has the scores by problem.
    column : str
        The scores in that file.
    paper_metric : str
        Their mean, as results.csv and the paper's figures call it.
    claim_over : {"all", "trained"}
        The languages that the paper's abstract averages it over.
    micro, published : str
        What differs from the paper's set-up, in the micro world and with the published data.
    """

    __test__: ClassVar[bool] = False  # pytest would take the name for a class of tests

    name: str
    title: str
    size: str
    layout: str
    scores: str
    column: str
    paper_metric: str
    claim_over: Literal["all", "trained"]
    micro: str
    published: str


TEST_SETS: dict[str, TestSet] = {
    one.name: one
    for one in (
        TestSet(
            name="mgsm",
            title="MGSM",
            size="mgsm_problems",
            layout=MGSM,
            scores="scores.csv",
            column="accuracy",
            paper_metric="accuracy",
            claim_over="all",
            micro="word problems come from templates (paper: MGSM's 250). The paper's ja, th, zh and bn have no"
            " counterpart.",
            published="the problems are the paper's, the number extractor is ours, the prompt follows the paper's"
            " description.",
        ),
        TestSet(
            name="x_alpacaeval",
            title="X-AlpacaEval",
            size="alpaca_prompts",
            layout=ALPACA_PROMPTS,
            scores="verdicts_reference.csv",
            column="preference",
            paper_metric="win_rate",
            claim_over="trained",
            micro="instructions come from templates (paper: AlpacaEval's 805), references of middling quality from"
            " their generator (paper: GPT-4 Turbo), verdicts from a rubric (paper: GPT-4 Turbo). The paper's eight"
            " other models have no counterpart.",
            published="every pair is judged in both orders, in our own wording. The paper's eight other models have no"
            " counterpart.",
        ),
    )
}
