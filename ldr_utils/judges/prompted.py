"""A language model as a judge: the questions it is asked, and what its replies mean."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ldr_utils.judges.cache import VerdictCache
from ldr_utils.judges.reply import Reply
from ldr_utils.judges.verdicts import Answer, Case, Score, Verdict
from ldr_utils.policy import prompts
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import JudgeParams
from ldr_utils.study.progress import track
from ldr_utils.study.text import one_line

LETTERS = ("A", "B")
DIGITS = tuple("0123456789")
QUOTED = 120  # characters of a reply that is no verdict, in the line that says so
SCALE = 10 / 9  # from the digits asked for, 0 to 9, to scores from 0 to 10


@dataclass(frozen=True)
class Question:
    """One user turn, and the replies that answer it.

    Attributes
    ----------
    template : str
        The prompt without its texts.
    prompt : str
        The user turn.
    labels : tuple of str
        A reply is one of these and nothing else; each is one token.
    system : str
        What comes before the user turn, if anything.
    sampled : bool
        Whether one token is drawn at temperature 1, as AlpacaEval does; the probabilities there are the verdict.
    """

    template: str = field(repr=False)
    prompt: str
    labels: tuple[str, ...]
    system: str = ""
    sampled: bool = False

    @property
    def messages(self) -> list[dict[str, str]]:
        """The chat up to the judge's turn."""
        turns = (("system", self.system), ("user", self.prompt))
        return [{"role": role, "content": text} for role, text in turns if role == "user" or text]

    def key(self, judge: str) -> str:
        """Identity of the verdict: who judges, by which template, what."""
        template = hashlib.sha256(self.template.encode()).hexdigest()
        return hashlib.sha256(json.dumps([judge, template, self.messages]).encode()).hexdigest()


def full_name(params: JudgeParams) -> str:
    """Kind and model of a judge, and what its template is told: other settings give other verdicts."""
    told = json.dumps(params.judge_template_kwargs, sort_keys=True) if params.judge_template_kwargs else ""
    return f"{params.judge}:{params.judge_model}{told and f' {told}'}"


class JudgeModel(Protocol):
    """A model that answers questions.

    Attributes
    ----------
    name : str
        Kind and model; part of every verdict's key.
    """

    name: str

    def replies(self, questions: Mapping[str, Question], cache: VerdictCache) -> Iterator[tuple[str, Reply]]:
        """Replies to those of ``questions`` (by key) that ``cache`` lacks, each as soon as it is there."""
        ...


class PromptedJudge:
    """Any language model behind the judges' interface; no question is asked twice.

    Parameters
    ----------
    model : JudgeModel
        Answers the questions.
    cache : VerdictCache
        What was answered before.
    """

    protocol = "both_orders"

    def __init__(self, model: JudgeModel, cache: VerdictCache) -> None:
        self.name = model.name
        self.model = model
        self.cache = cache

    def prefer(self, cases: Sequence[Case]) -> list[Verdict]:
        """Preferences for the first answer, weighted: the probability of its letter against the other one's.

        This is AlpacaEval 2's weighted preference (Dubois et al., 2024): finer than a plain verdict, and steadier.
        """
        questions = [self.pairwise(case) for case in cases]
        return [
            Verdict(reply.weights.get(question.labels[0], 0.0) if reply.status == "ok" else None, reply.status)
            for question, reply in zip(questions, self._ask(questions), strict=True)
        ]

    def pairwise(self, case: Case) -> Question:
        """The question which of two answers is better; the first of its labels stands for the one shown first."""
        prompt = prompts.pairwise_prompt(case.record["prompt"], case.first, case.second)
        return Question(prompts.PAIRWISE, prompt, LETTERS)

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """Probability-weighted mean digit, stretched from 0-9 to 0-10.

        The judge is asked for one digit because "10" is one token in some vocabularies and two in others, where "1"
        alone could begin either; so every score is read from one token, and 9 stands for the 10 of other scales.
        """
        replies = self._ask([_rating(answer) for answer in answers])
        return [Score(_mean_digit(reply) if reply.status == "ok" else None, reply.status) for reply in replies]

    def _ask(self, questions: list[Question]) -> list[Reply]:
        keys = [question.key(self.name) for question in questions]
        unique = dict(zip(keys, questions, strict=True))
        missing = sum(key not in self.cache for key in unique)
        for key, reply in track(self.model.replies(unique, self.cache), "judging", total=missing):
            self.cache.add(key, reply)
        replies = [self.cache[key] for key in keys]
        if replies and not any(reply.status == "ok" for reply in replies):
            counts = ", ".join(f"{n} {status}" for status, n in Counter(reply.status for reply in replies).items())
            said = next((one_line(reply.said) for reply in replies if reply.said), "")
            quoted = f', such as "{said[:QUOTED]}"' if said else ""
            raise InputError(
                f"judge_model: {self.name} gave no usable verdict ({counts}{quoted}); choose another model"
            )
        return replies


def _rating(answer: Answer) -> Question:
    instruction = answer.record["prompt"]
    if not answer.earlier and not answer.reference:
        return Question(prompts.SCORE, prompts.score_prompt(instruction, answer.text), DIGITS)
    prompt = prompts.conversation_prompt(answer.earlier, instruction, answer.text, answer.reference)
    return Question(prompts.CONVERSATION, prompt, DIGITS)


def _mean_digit(reply: Reply) -> float:
    return SCALE * sum(int(digit) * weight for digit, weight in reply.weights.items())
