"""The test sets of a study, one record each: how their files are read, and where the scores of M_t lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ldr_utils.data.alignment import aligned, first_rows, problem_of, record_of
from ldr_utils.data.downloads import ALPACA_PROMPTS, ALPACA_REFERENCES, MGSM, MGSM_REV2
from ldr_utils.data.files import Files, Row, languages_published
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import DataParams
from ldr_utils.study.records import DataSet, Prompt


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
        Its files where it is published, or in ``data_dir``; see ``layout_in``.
    read : function of Files, layout, languages and a number
        Reads that many of its problems, from the first on, in every language; all for None.
    scores : str
        The file in the folder of its stage that has the scores by problem.
    column : str
        The scores in that file.
    checks : str
        The file in that folder that says of every answer which language it is in.
    paper_metric : str
        Their mean, as results.csv and the paper's figures call it.
    claim_over : {"all", "trained"}
        The languages that the paper's abstract averages it over.
    micro, published : str
        What differs from the paper's set-up, in the micro world and with the published data.
    corrected : str
        The same where a study takes a corrected edition; see ``published_in``.
    """

    __test__: ClassVar[bool] = False  # pytest would take the name for a class of tests

    name: str
    title: str
    size: str
    layout: str
    read: Callable[[Files, str, Sequence[str], int | None], DataSet]
    scores: str
    column: str
    checks: str
    paper_metric: str
    claim_over: Literal["all", "trained"]
    micro: str
    published: str
    corrected: str = ""

    def published_in(self, mgsm_set: str) -> str:
        """What differs from the paper's set-up with the published data, or with a corrected edition of them."""
        return self.corrected if self.corrected and mgsm_set == "rev2" else self.published

    def layout_in(self, params: DataParams) -> str:
        """Its files in a study, which may take a corrected edition of them."""
        return MGSM_REV2 if self.layout == MGSM and params.mgsm_set == "rev2" else self.layout


def read_mgsm(files: Files, layout: str, languages: Sequence[str], limit: int | None) -> DataSet:
    """MGSM's problems, with their gold numbers: of the paper's files, or of MGSM-Rev2's."""

    def record(row: Row, position: int, lang: str) -> Prompt:
        question = row.text(row.key("question", "query"))
        gold = row.number(row.key("answer_number", "answer", "response"))
        return problem_of(f"mgsm-{position:04d}", lang, "mgsm", question, gold, files.problem_prefix)

    return first_rows(aligned(files, layout, languages, record), limit)


def read_x_alpacaeval(files: Files, layout: str, languages: Sequence[str], limit: int | None) -> DataSet:
    """X-AlpacaEval's instructions, with reference answers in the languages that have them."""
    answered = [lang for lang in languages if lang in languages_published(ALPACA_REFERENCES, files.data_dir)]
    references = {lang: files.rows(ALPACA_REFERENCES, lang) for lang in answered}

    def record(row: Row, position: int, lang: str) -> Prompt:
        number = row.values.get("id")
        if not isinstance(number, int):
            raise InputError(f"{row.where}: id: is missing or not a whole number; add it")
        made = record_of(f"x-alpacaeval-{number}", lang, row.text("dataset"), row.text("instruction"))
        if lang in references:
            if position >= len(references[lang]):
                raise InputError(f"{row.where}: lacks its answer in {files.name(ALPACA_REFERENCES, lang)}; complete it")
            answer = references[lang][position]
            if answer.text("instruction") != made["prompt"]:
                raise InputError(f"{answer.where}: instruction: is not the prompt's; keep the order of the prompts")
            made["reference"] = answer.text("output")
        return made

    return first_rows(aligned(files, layout, languages, record), limit)


TEST_SETS: dict[str, TestSet] = {
    one.name: one
    for one in (
        TestSet(
            name="mgsm",
            title="MGSM",
            size="mgsm_problems",
            layout=MGSM,
            read=read_mgsm,
            scores="scores.csv",
            column="accuracy",
            checks="scores.csv",
            paper_metric="accuracy",
            claim_over="all",
            micro="word problems come from templates (paper: MGSM's 250). The paper's ja, th, zh and bn have no"
            " counterpart.",
            published="the problems are the paper's, the number extractor is ours, the prompt follows the paper's"
            " description.",
            corrected="the problems are MGSM-Rev2's (Peter et al. 2025), in which translations and questions were"
            " corrected (paper: MGSM as it was), the number extractor is ours, the prompt follows the paper's"
            " description.",
        ),
        TestSet(
            name="x_alpacaeval",
            title="X-AlpacaEval",
            size="alpaca_prompts",
            layout=ALPACA_PROMPTS,
            read=read_x_alpacaeval,
            scores="verdicts_reference.csv",
            column="preference",
            checks="checks.csv",
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
