"""Multilingual MT-Bench (Zheng et al., 2023): M_t answers two turns a question, and the study's judge scores each.

The folder ``mt_bench_dir`` has one file a language, ``<lang>.jsonl``, in the format of FastChat's questions: one object
a line with ``question_id`` (a whole number), ``category``, ``turns`` (the two user turns) and, where there is one,
``reference`` (a right answer to each turn, which the judge is shown). Other keys are ignored. Every language has the
same questions, in any order; a language of the study without a file is left out.

Against the original: decoding is greedy throughout, where MT-Bench samples with a temperature by category, and the
judge is asked in our own words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict, cast

import pandas as pd

from ldr_utils.judges.verdicts import Answer, Judge, judged, unusable
from ldr_utils.policy.generate import Generator, Request, generate_file
from ldr_utils.scores.rows import Rows, plain
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import read_jsonl
from ldr_utils.study.params import MtBenchParams, MtBenchQuestions
from ldr_utils.study.paths import Run, check_names, from_root
from ldr_utils.study.records import Asked, ByLanguage, Exchange, Record, Reply

TURNS = (1, 2)
METRICS = {"score": [1, 2], "score_turn1": [1], "score_turn2": [2]}  # the turns that each is the mean of
POINTS = 10  # of the judge's scale


class Question(TypedDict):
    """A question of both turns; ``references`` are empty where the file has none."""

    id: str
    lang: str
    category: str
    turns: list[str]
    references: list[str]


class Turn(Asked, Reply):
    """M_t's answer to one turn, and what was said before it."""

    category: str
    turn: int
    earlier: list[list[str]]
    reference: str


def question_files(params: MtBenchQuestions) -> dict[str, Path]:
    """Files with questions, by language of the study; none without ``mt_bench_dir``.

    Raises
    ------
    InputError
        When the folder is missing, has no file of the dominant language, or one that is nearly named as a language.
    """
    if not params.mt_bench_dir:
        return {}
    folder = from_root(params.mt_bench_dir)
    name = f"{params.dominant}.jsonl"
    if not folder.is_dir():
        raise InputError(f"mt_bench_dir: {folder} is not a folder; give one that has {name}, and so on by language")
    check_names("mt_bench_dir", folder, (f"{lang}.jsonl" for lang in params.all_languages))
    if not (folder / name).is_file():
        raise InputError(f"mt_bench_dir: {folder} lacks {name}, the questions in the dominant language; add it")
    files = {lang: folder / f"{lang}.jsonl" for lang in params.all_languages}
    return {lang: path for lang, path in files.items() if path.is_file()}


def read_questions(params: MtBenchQuestions) -> dict[str, list[Question]]:
    """Questions by language, in the order of the dominant language's file.

    Raises
    ------
    InputError
        When a file is missing or broken, or has other questions than the dominant language's.
    """
    files = question_files(params)
    sets = {lang: _read(path, lang) for lang, path in files.items()}
    for lang, own in sets.items():
        if odd := sorted(own.keys() ^ sets[params.dominant].keys()):
            where = f"{files[lang]}: question_id: {odd[0]} is"
            there = f"here, but not in {params.dominant}.jsonl" if odd[0] in own else "missing"
            raise InputError(f"{where} {there}; give every language the same questions")
    return {lang: [own[number] for number in sets[params.dominant]] for lang, own in sets.items()}


def _read(path: Path, lang: str) -> dict[int, Question]:
    found: dict[int, Question] = {}
    for line, row in enumerate(read_jsonl(path), 1):
        where, number = f"{path}: row {line}", row.get("question_id")
        if type(number) is not int or not 0 <= number < 10**9:
            raise InputError(f"{where}: question_id: is missing or not a whole number below 10^9; correct it")
        if number in found:
            raise InputError(f"{where}: question_id: {number} is there twice; remove one")
        if not _is_text(row.get("category")):
            raise InputError(f"{where}: category: is missing or holds no text; add it")
        found[number] = _question(number, row, lang, where)
    return found


def _question(number: int, row: Record, lang: str, where: str) -> Question:
    turns, references = row.get("turns"), row.get("reference") or []
    if not isinstance(turns, list) or len(turns) != len(TURNS) or not all(_is_text(turn) for turn in turns):
        raise InputError(f"{where}: turns: is not a list of two texts; give both user turns")
    if not isinstance(references, list) or len(references) > len(TURNS) or not all(map(_is_reference, references)):
        raise InputError(f"{where}: reference: is not a list of at most two texts; correct or remove it")
    padded = [*(reference or "" for reference in references), "", ""][: len(TURNS)]
    return {
        "id": f"mt-bench-{number}",
        "lang": lang,
        "category": row["category"],
        "turns": turns,
        "references": padded,
    }


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _is_reference(value: Any) -> bool:
    return value is None or value == "" or _is_text(value)


def answer(generator: Generator, questions: ByLanguage[Question], folder: Path) -> dict[str, list[Turn]]:
    """Let M_t answer both turns of every question, the second with the first and its own answer before it.

    Returns
    -------
    dict of language to list of Turn
        Kept in ``folder``/turn1 and /turn2, a file a language: ``id``, ``lang``, ``category``, ``turn``, ``prompt``,
        ``earlier`` (what was said before, as [user, assistant]), ``reference``, ``response``, ``tokens``, ``finished``.
    """
    answers: dict[str, list[Turn]] = {}
    for lang, own in questions.items():
        opening = [_request(question, 1, []) for question in own]
        first = generate_file(generator, opening, folder / "turn1" / f"{lang}.jsonl", f"{lang}, turn 1")
        following = [
            _request(question, 2, [(question["turns"][0], reply["response"])])
            for question, reply in zip(own, first, strict=True)
        ]
        second = generate_file(generator, following, folder / "turn2" / f"{lang}.jsonl", f"{lang}, turn 2")
        answers[lang] = cast(list[Turn], first + second)
    return answers


def read_answers(run: Run, params: MtBenchParams) -> ByLanguage[Turn]:
    """What M_t answered (05b), both turns, by language."""
    folder = run.stage(params.t, "answers", params.arm) / "mt_bench"
    turns = {lang: [folder / f"turn{turn}" / f"{lang}.jsonl" for turn in TURNS] for lang in question_files(params)}
    return {lang: [record for path in paths for record in read_jsonl(path, Turn)] for lang, paths in turns.items()}


def _request(question: Question, turn: int, earlier: list[Exchange]) -> Request:
    prompt, reference = question["turns"][turn - 1], question["references"][turn - 1]
    fields = {"id": question["id"], "lang": question["lang"], "category": question["category"]}
    said = {"earlier": [list(exchange) for exchange in earlier], "reference": reference}
    return Request(fields | {"turn": turn, "prompt": prompt} | said, prompt, earlier=tuple(earlier))


def score(judge: Judge, answers: ByLanguage[Turn]) -> pd.DataFrame:
    """Have every answer scored, in the light of what was said before it and of its reference.

    Returns
    -------
    DataFrame
        One row an answer: ``id``, ``lang``, ``category``, ``turn``, ``score`` (0 to 10; NaN where the judge gave none),
        ``status``.
    """
    records = [record for own in answers.values() for record in own]
    scores = judge.score([_shown(record) for record in records])
    table = pd.DataFrame(records, columns=["id", "lang", "category", "turn"])
    table["score"] = [float("nan") if found.points is None else found.points for found in scores]
    return table.assign(status=[found.status for found in scores]).astype({"score": float})


def _shown(record: Turn) -> Answer:
    earlier = [(user, assistant) for user, assistant in record["earlier"]]
    return Answer(record, record["response"], earlier, record["reference"])


def category_table(scores: pd.DataFrame, languages: list[str]) -> pd.DataFrame:
    """Mean scores (both turns) by category and language."""
    return scores.pivot_table(index="category", columns="lang", values="score", sort=False).reindex(columns=languages)


def result_rows(scores: pd.DataFrame, params: MtBenchParams) -> list[dict[str, Any]]:
    """Rows of results.csv, task ``mt_bench``: ``METRICS`` with 95 % bounds, and counts of answers without a verdict.

    A question counts where all turns of a metric have a score: without missing verdicts ``score`` is MT-Bench's mean
    over all turns. The questions are the unit of resampling, in all of their languages.
    """
    found = Rows(params, "mt_bench")
    by_turn = judged(scores).pivot(index=["id", "lang"], columns="turn", values="score").reindex(columns=TURNS)
    for metric, turns in METRICS.items():
        shares = (by_turn[turns].mean(axis=1, skipna=False).dropna() / POINTS).clip(upper=1)  # sums of weights round
        if len(shares):
            found.add(metric, shares.rename(metric).reset_index(), points=POINTS)
    return found.rows + _count_rows(scores, params)


def _count_rows(scores: pd.DataFrame, params: MtBenchParams) -> list[dict[str, Any]]:
    """Answers without a verdict by status; counts have no bounds, ``n`` is all answers of the language."""
    asked, found = scores.groupby("lang").size(), Rows(params, "mt_bench")
    for status, counts in unusable(scores).items():
        present = [lang for lang in params.all_languages if lang in counts]
        found.add_values(str(status), {lang: plain(counts[lang], int(asked[lang])) for lang in present})
    return found.rows
