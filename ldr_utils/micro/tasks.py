"""What a micro-world problem is, before it is turned into records."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Task:
    """One problem in every language of the micro world.

    Attributes
    ----------
    family : str
        ``arithmetic`` (micro-MGSM) or ``instruction`` (micro X-AlpacaEval).
    kind : str
        The template family, e.g. ``order``.
    level : int
        Difficulty, 1 to 3.
    key : str
        The problem without its language or its wording; two tasks with one key are one problem.
    prompt, answer : dict of str to str
        Surface text by language code.
    facts : dict of str to list of str
        What a right answer must contain, by language.
    wrong : dict of str to list of str
        What a right answer must not contain, by language.
    value : int or None
        The final number, for arithmetic.
    """

    family: str
    kind: str
    level: int
    key: str
    prompt: dict[str, str]
    answer: dict[str, str]
    facts: dict[str, list[str]]
    wrong: dict[str, list[str]] = field(default_factory=dict)
    value: int | None = None
