"""The labelled pairs, what a judge's verdicts on them come to, and the published protocol of judging."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ldr_utils import cli
from ldr_utils.commands import doctor
from ldr_utils.commands.preflight import check_inputs
from ldr_utils.judges.cache import VerdictCache
from ldr_utils.judges.chat import Completion, read_reply
from ldr_utils.judges.labelled import KINDS, SENTENCES, labelled_pairs
from ldr_utils.judges.open import make_judge
from ldr_utils.judges.prompted import Question
from ldr_utils.judges.published import LABELS, AlpacaEvalJudge, read_template
from ldr_utils.judges.reply import Reply
from ldr_utils.judges.rubric import RubricJudge
from ldr_utils.judges.verdicts import Answer, Case, Score, Verdict, against, agrees, compare
from ldr_utils.languages.table import LANGUAGES
from ldr_utils.report import calibration
from ldr_utils.scores.judge_check import COLUMNS, check_judge, summary
from ldr_utils.scores.x_alpacaeval import result_rows, verdict_table
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import AlpacaParams, JudgeParams, ReportParams, StudyParams
from ldr_utils.study.paths import Run
from ldr_utils.study.records import Asked


class Taste:
    """A judge by a rule, in the terms of the answers' texts."""

    name = "taste"
    protocol = "both_orders"

    def __init__(self, prefers: Any) -> None:
        self.prefers = prefers

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        return [Score(5.0) for _ in answers]

    def prefer(self, cases: Sequence[Case]) -> list[Verdict]:
        return [self.prefers(case) for case in cases]


FIRST = Taste(lambda case: Verdict(1.0))
LONGER = Taste(lambda case: Verdict((1 + np.sign(len(case.first) - len(case.second))) / 2))
MUTE = Taste(lambda case: Verdict(None, "unparsable"))
MICRO = ["en", "es", "ru", "de", "fr", "it", "sw"]


def agreement(judge: Any, languages: list[str] = MICRO) -> dict[str, float]:
    found = summary(judge, check_judge(judge, languages))
    return dict(found[found["lang"] == "avg"].set_index("kind")["agreement"])


# The pairs


def test_every_language_of_a_study_has_its_sentences() -> None:
    assert SENTENCES.keys() == LANGUAGES.keys()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_pairs_are_of_every_kind_and_complete(lang: str) -> None:
    pairs = labelled_pairs([lang])
    assert {pair.kind for pair in pairs} == set(KINDS)
    assert len({(pair.kind, pair.case.record["id"]) for pair in pairs}) == len(pairs)
    for pair in pairs:
        texts = (pair.case.record["prompt"], pair.case.first, pair.case.second)
        assert not any("{" in text or "}" in text for text in texts)
        assert pair.case.first != pair.case.second


def test_the_better_answer_is_right_and_the_other_is_not() -> None:
    judge = RubricJudge(MICRO)
    for pair in labelled_pairs(MICRO):
        right, other = (judge.points(pair.case.record, text) for text in (pair.case.first, pair.case.second))
        assert right == 10.0, pair
        assert other == right if pair.kind == "position" else other < right, pair


def test_a_language_without_sentences_is_left_out() -> None:
    assert {pair.case.record["lang"] for pair in labelled_pairs(["en", "xx"])} == {"en"}


# Figures


def test_each_trap_catches_the_judge_that_falls_into_it() -> None:
    assert agreement(RubricJudge(MICRO)) == dict.fromkeys(KINDS, 1.0)
    by_place, by_length = agreement(FIRST), agreement(LONGER)
    assert by_place["position"] == 0.0
    assert by_place["winner"] == 0.5, "both orders make a tie of it"
    assert by_length["length"] == by_length["injection"] == 0.0
    assert by_length["position"] == 1.0


def test_summary_by_hand() -> None:
    """Of two pairs one is seen as it is labelled, one is not."""
    checked = pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "lang": ["en"] * 3,
            "kind": ["winner"] * 3,
            "agrees": [1.0, 0.0, math.nan],
            "consistent": [1.0, 0.0, math.nan],
            "status": ["ok", "ok", "failed"],
        }
    )
    found = summary(FIRST, checked)
    assert list(found.columns) == COLUMNS
    row = found[found["lang"] == "en"].iloc[0]
    assert (row["agreement"], row["consistency"], row["n"], row["failed"]) == (0.5, 0.5, 2, 1)
    assert row["low"] < 0.5 < row["high"]


def test_a_judge_without_a_verdict_has_no_agreement() -> None:
    found = summary(MUTE, check_judge(MUTE, ["en", "de"]))
    assert found["agreement"].isna().all()
    assert (found["unparsable"] > 0).all()
    assert list(calibration.table(found).index) == ["en", "de", "avg"]


def test_the_command_writes_what_the_report_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["judge-check", "params/micro.yaml", "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "| sw | 100 (" in said
    run = Run(tmp_path / "run")
    assert calibration.files(ReportParams(run_dir=str(run.root))) == [run.judge_check]
    ((name, table),) = calibration.tables(calibration.read(run)).items()
    assert name == "rubric"
    assert list(table.columns) == [*KINDS, "consistent", "no_verdict"]
    assert list(table.index) == [*MICRO, "avg"]


def test_a_run_that_was_not_checked_has_nothing_to_show(tmp_path: Path) -> None:
    assert calibration.files(ReportParams(run_dir=str(tmp_path))) == []
    assert calibration.tables(calibration.read(Run(tmp_path))) == {}


# The published protocol


TURNS = (
    "<|im_start|>system\nYou compare.\n<|im_end|>\n<|im_start|>user\nDo: {instruction}\n{\n m: {output_1}\n"
    " M: {output_2}\n}\nBest?\n<|im_end|>"
)


@pytest.fixture
def alpaca_eval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that has its prompt where AlpacaEval has it, in our words."""
    file = tmp_path / "alpaca_eval/evaluators_configs/alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt"
    file.parent.mkdir(parents=True)
    file.write_text(TURNS)
    info = tmp_path / "alpaca_eval-0.6.6.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: alpaca_eval\nVersion: 0.6.6\n")
    (info / "RECORD").write_text(f"{file.relative_to(tmp_path).as_posix()},,\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    read_template.cache_clear()
    yield file
    read_template.cache_clear()


class Sure:
    """Says that the longer output is the better one."""

    name = "sure"

    def __init__(self) -> None:
        self.asked: list[Question] = []

    def replies(self, questions: Any, cache: VerdictCache) -> Any:
        for key, question in questions.items():
            self.asked.append(question)
            first, second = (part.split("\n")[0] for part in question.prompt.split("m: ")[1].split(" M: "))
            yield key, Reply("ok", {"m": 0.9, "M": 0.1} if len(first) > len(second) else {"m": 0.1, "M": 0.9})


def prompts(n: int) -> list[Asked]:
    return [{"id": str(k), "lang": "en", "prompt": f"question {k}"} for k in range(n)]


def test_the_published_prompt_is_read_and_filled(alpaca_eval: Path, tmp_path: Path) -> None:
    model = Sure()
    case = Case({"id": "1", "lang": "en", "prompt": "say {output_2}"}, "one<|im_end|>", "two {instruction}")
    AlpacaEvalJudge(model, VerdictCache(tmp_path / "cache.jsonl")).prefer([case])
    (question,) = model.asked
    assert question.messages == [
        {"role": "system", "content": "You compare."},
        {
            "role": "user",
            "content": "Do: say {output_2}\n{\n m: one< |im_end|>\n M: two {instruction}\n}\nBest?",
        },
    ]
    assert (question.labels, question.sampled) == (LABELS, True)


def test_one_order_a_case_and_both_occur(alpaca_eval: Path, tmp_path: Path) -> None:
    model = Sure()
    judge = AlpacaEvalJudge(model, VerdictCache(tmp_path / "cache.jsonl"))
    found = against(judge, prompts(40), ["long answer"] * 40, ["short"] * 40)
    assert len(model.asked) == 40
    assert found["preference"].tolist() == pytest.approx([0.9] * 40)
    asked_first = found["ours_first"].notna()
    assert 5 < asked_first.sum() < 35
    assert (asked_first != found["ours_second"].notna()).all()
    again = against(judge, prompts(40), ["another answer"] * 40, ["short"] * 40)
    assert (again["ours_first"].notna() == asked_first).all(), "the prompt decides, whatever the answers"
    assert agrees(judge, [Case(prompts(1)[0], "long answer", "short")])["agrees"][0] == 1.0


def test_flips_are_not_known_where_one_order_is_asked(alpaca_eval: Path, tmp_path: Path) -> None:
    judge = AlpacaEvalJudge(Sure(), VerdictCache(tmp_path / "cache.jsonl"))
    verdicts = compare(judge, [Case(record, "long answer", "short") for record in prompts(4)])
    verdicts = verdicts.assign(id=list("abcd"), lang="en", length_difference=6)
    assert verdicts["flip"].isna().all()
    assert verdict_table(verdicts, verdicts, ["en"])["flip_rate"].isna().all()
    checks = verdicts[["id", "lang"]].assign(off_target=0.0, undecided=0.0, line_pass=1.0, word_pass=float("nan"))
    rows = result_rows(verdicts, verdicts, {}, checks, AlpacaParams(languages=["en", "de"], unseen=[]))
    assert "flip_rate" not in {row["metric"] for row in rows}


def test_the_probabilities_of_a_drawn_token_count_whatever_was_drawn() -> None:
    top = [{"token": "m", "logprob": math.log(0.3)}, {"token": "M", "logprob": math.log(0.1)}]
    logprobs = [{"token": "Both", "top_logprobs": [*top, {"token": "Both", "logprob": math.log(0.5)}]}]
    found = Completion("Both", False, True, False, None, logprobs)
    assert read_reply(found, LABELS, sampled=True).weights == pytest.approx({"m": 0.75, "M": 0.25})
    assert read_reply(found, LABELS).status == "unparsable"


def test_the_protocol_is_named_where_it_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    params = StudyParams(
        judge="openai", judge_model="m", judge_url="http://localhost:9/v1", judge_protocol="alpaca_eval"
    )
    read_template.cache_clear()
    with pytest.raises(InputError, match=r"^judge_protocol: alpaca_eval is not installed; pip install --no-deps"):
        check_inputs(params)
    assert doctor.check_protocol().verdict == "fail"
    with pytest.raises(ValueError, match="judge_protocol: the rubric"):
        JudgeParams(judge_protocol="alpaca_eval")


def test_the_params_choose_the_protocol(alpaca_eval: Path, tmp_path: Path) -> None:
    own: dict[str, Any] = {
        "judge": "openai",
        "judge_model": "m",
        "judge_url": "http://localhost:9/v1",
        "run_dir": str(tmp_path),
    }
    assert make_judge(JudgeParams(**own, judge_protocol="alpaca_eval"), ["en"]).protocol == "alpaca_eval"
    assert make_judge(JudgeParams(**own), ["en"]).protocol == "both_orders"
    assert doctor.check_protocol().verdict == "ok"


def test_a_package_of_another_form_is_not_guessed_at(alpaca_eval: Path) -> None:
    alpaca_eval.write_text("<|im_start|>user\n{instruction}<|im_end|>")
    with pytest.raises(InputError, match=r"^judge_protocol: .*alpaca_eval_clf.txt is of another form"):
        read_template()
