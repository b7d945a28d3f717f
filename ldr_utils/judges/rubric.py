"""The micro world's judge: a deterministic rubric in place of an LLM, behind the same pairwise interface."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ldr_utils.judges.verdicts import Answer, Case, Score, Verdict
from ldr_utils.languages.identify import closest
from ldr_utils.study.records import Asked, Rubric

CONTENT, LANGUAGE, COMPLETE = 6.0, 2.0, 2.0
EVEN = 0.5  # scores closer than this are a tie


class RubricJudge:
    """Score answers from 0 to 10: six points for content, two for the language, two for completeness.

    Parameters
    ----------
    languages : list of str
        The languages that an answer may be in.
    """

    name = "rubric"
    protocol = "both_orders"

    def __init__(self, languages: list[str]) -> None:
        self.languages = languages

    def prefer(self, cases: Sequence[Case]) -> list[Verdict]:
        """Preferences for the first answer: 1 better, 0 worse, 0.5 a tie."""
        return [Verdict(self._preference(case)) for case in cases]

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """Points of every answer."""
        return [Score(self.points(answer.record, answer.text)) for answer in answers]

    def points(self, record: Asked, answer: str) -> float:
        """Points of ``answer`` to the prompt of ``record`` (which carries its ``rubric``)."""
        rubric = record["rubric"]
        if not answer.strip():
            return 0.0
        points = CONTENT * content_share(rubric, answer)
        points += LANGUAGE * (closest(answer, self.languages) == rubric["lang"])
        points += COMPLETE * is_complete(answer, rubric["words"])
        return float(points)

    def _preference(self, case: Case) -> float:
        difference = self.points(case.record, case.first) - self.points(case.record, case.second)
        if abs(difference) < EVEN:
            return 0.5
        return 1.0 if difference > 0 else 0.0


def content_share(rubric: Rubric, answer: str) -> float:
    """Share of the required content in ``answer``, 0 to 1.

    Every required fact counts once, every forbidden one takes a fact away, and in arithmetic the final number weighs
    as much as all equations together.
    """
    hits = sum(_mentions(answer, fact) for fact in rubric["facts"])
    hits -= sum(_mentions(answer, fact) for fact in rubric["wrong"])
    share = max(0.0, hits / len(rubric["facts"]))
    if rubric["value"] is None:
        return share
    numbers = re.findall(r"\d+", answer)
    return (share + (bool(numbers) and int(numbers[-1]) == rubric["value"])) / 2


def is_right(rubric: Rubric, answer: str) -> bool:
    """Whether ``answer`` holds all the content of a right answer."""
    return content_share(rubric, answer) == 1.0


def _mentions(answer: str, fact: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(fact)}(?!\w)", answer) is not None


def is_complete(answer: str, words: int) -> bool:
    """Whether ``answer`` ends a sentence and is neither much shorter nor much longer than a full answer."""
    return answer.rstrip().endswith((".", "!", "?")) and 0.7 * words <= len(answer.split()) <= 1.5 * words
