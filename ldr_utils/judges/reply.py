"""What a judge model replied, and the one rule by which it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ldr_utils.judges.verdicts import Status
from ldr_utils.languages.thoughts import CLOSES, OPENS

# Decides how an unusable reply is counted, never what a verdict is.
REFUSAL = re.compile(
    r"(i['’]?m |i am )?(very )?(sorry|unable|not able)\b|i (cannot|can['’]?t|won['’]?t)\b", re.IGNORECASE
)
# A server's page, or a gateway's, where the model's reply should be.
PAGE = re.compile(
    r"^\s*(<!doctype|<html|<head|<body|<\?xml|\{\s*\"error\")|rate.?limit|too many requests|quota exceeded|overloaded"
    r"|temporarily unavailable|service unavailable|bad gateway|gateway time-?out|internal server error",
    re.IGNORECASE,
)

# Some templates write the opening mark of thoughts into the prompt, so that only the end is seen.
THINKS = re.compile(rf"\s*({OPENS.pattern})")

# What may stand around a label: marks of emphasis, quotes and brackets, LaTeX, a tag, a word that announces a verdict.
MARKS = re.compile(r"[*_`~#$\"'“”„‟‘’«»‹›「」『』【】〖〗〔〕《》\[\](){}]|\\(?:boxed|text|textbf|mathbf|mathrm)\b")
TAG = re.compile(r"</?(?:answer|verdict|choice|final|result|rating|score|output|response|label)>", re.IGNORECASE)
ANNOUNCED = re.compile(
    r"(?:(?:the|my|die|der|das|la|le|el|il|lo|final|correct|better|best|overall) )*"
    r"(?:answer|verdict|choice|response|assistant|rating|score|winner|option|decision|preference|result|output"
    r"|judge?ment|grade|antwort|bewertung|urteil|note|punktzahl|respuesta|puntuación|veredicto|réponse|verdict"
    r"|risposta|voto|valutazione|punteggio|ответ|оценка|вердикт|jibu|alama|الجواب|الإجابة|التقييم|উত্তর|রেটিং|জবাব"
    r"|సమాధానం|జవాబు|คำตอบ|คะแนน|答案|回答|评分|得分|选择|评价|答え|評価|点数|정답|대답|답변|답|점수|평가)"
    r"(?: ?(?:[:=—–]|->|→)| - | (?:is|are|ist|lautet|es|est|è|é|это|равен|ni|হল|হলো) ?:?"
    r"| ?(?:是|为|為|は|은|는|คือ|:))? *",
    re.IGNORECASE,
)
NARROW = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}  # full-width letters, digits and marks
END = re.compile(r"[\s.。．!！,;؛،।]+$")


@dataclass(frozen=True)
class Reply:
    """A judge model's reply.

    Attributes
    ----------
    status : str
        See ``judging.Verdict``.
    weights : dict of str to float
        Probability of every label, summing to 1; empty unless ``status`` is ok.
    usd : float
        What it cost.
    said : str
        Where there is no verdict: the beginning of the reply, or the server's words, for whoever looks for the cause.
    """

    status: Status
    weights: dict[str, float] = field(default_factory=dict)
    usd: float = 0.0
    said: str = field(default="", compare=False)


def without_thoughts(text: str) -> str | None:
    """``text`` after the model's thoughts; None where they do not end: nothing in them is a reply."""
    *_, last = CLOSES.split(text)
    return None if THINKS.match(last) else last


def spelled_label(text: str, labels: Sequence[str]) -> str | None:
    """The label that ``text`` is, blanks around it aside; None for anything else."""
    found = text.strip()
    return found if found in labels else None


def parse_label(text: str, labels: Sequence[str]) -> str | None:
    """The label that ``text`` is, after its thoughts and with what models put around a label; None for anything else.

    Full-width letters, small ones (unless labels differ by that alone), marks of emphasis, quotes, brackets, a full
    stop, a word that announces a verdict, and a digit's scale (7/9) are put aside. A label inside a longer reply does
    not count, so that nothing quoted from an answer can pose as a verdict.
    """
    reply = without_thoughts(text)
    if reply is None:
        return None
    bare = MARKS.sub(" ", TAG.sub(" ", reply.translate(NARROW)))
    bare = END.sub("", " ".join(bare.split())).removeprefix(": ")
    if announced := ANNOUNCED.match(bare):
        bare = bare[announced.end() :].strip()
    if "9" in labels:
        bare = re.sub(r"^(\d) ?/ ?9$", r"\1", bare)
    if bare in labels:
        return bare
    small = {label.casefold(): label for label in labels}
    return small.get(bare.casefold()) if len(small) == len(labels) else None


def unusable_status(text: str) -> Status:
    """How a reply that is no label is counted."""
    return "refused" if REFUSAL.match(text.strip()) else "unparsable"


def is_page(text: str) -> bool:
    """Whether a server wrote ``text``, not the model: a verdict may still come."""
    return PAGE.search(text[:1000]) is not None


def normalised(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights that sum to 1."""
    total = sum(weights.values())
    return {label: weight / total for label, weight in weights.items()}
