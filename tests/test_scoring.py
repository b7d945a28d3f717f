"""`ldr score-mgsm`: rates and verdicts by hand, and every kind of bad row refused in one line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest  # type: ignore[import-untyped]

from ldr_utils.cli import main
from ldr_utils.commands.score_mgsm import LABELS, score_file
from ldr_utils.scores.mgsm import MGSM_METRICS

SPANISH = "Al principio Ana tiene 12 libros. Después quedan pocos libros."
ROWS: list[dict[str, Any]] = [
    {"response": f"{SPANISH} La respuesta es 1.234.", "answer": "1,234"},
    {"response": f"{SPANISH} La respuesta es 7. Son 9 días.", "answer": 7},
    {"response": f"{SPANISH} Quedan 7", "answer": 7.0, "id": "kept out of the way"},
    {"response": f"{SPANISH} La respuesta es -7.", "answer": 7},
    {"response": "In the beginning Anna has twelve books. Later only a few of them are left.", "answer": "7"},
]


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_language_of_a_study_is_graded_by_its_own_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        "languages: [en, nl]\nlanguage_records:\n"
        "  nl: {name: Dutch, flores: nld_Latn, answer_phrases: [Het antwoord is], magnitudes: {miljoen: 1000000}}\n"
    )
    rows = write(tmp_path / "a.jsonl", [{"response": "Het antwoord is 2 miljoen in 3 jaar.", "answer": 2_000_000}])
    assert main(["score-mgsm", str(rows), "--lang", "nl", "--params", str(study)]) == 0
    assert "a.jsonl: 1 answers in Dutch" in (printed := capsys.readouterr().out)
    assert f"{LABELS['accuracy_phrase']:<43} 100.0 %" in printed


def test_rates_and_intervals_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score-mgsm", str(write(tmp_path / "a.jsonl", ROWS)), "--lang", "es"]) == 0
    first, *lines = capsys.readouterr().out.rstrip("\n").split("\n")
    assert first.endswith("a.jsonl: 5 answers in Spanish")
    values = {label: line.removeprefix(label).split() for label, line in zip(LABELS.values(), lines, strict=True)}
    assert {label: float(value[0]) for label, value in values.items()} == {
        LABELS["accuracy"]: 60.0,
        LABELS["lc_accuracy"]: 60.0,
        LABELS["accuracy_phrase"]: 40.0,
        LABELS["no_answer"]: 20.0,
        LABELS["no_phrase"]: 40.0,
        LABELS["off_target"]: 20.0,
        LABELS["undecided"]: 0.0,
    }
    assert all(value[-1] == "5" and "95" in value for value in values.values())


def test_intervals_are_those_of_a_binomial(tmp_path: Path) -> None:
    text = score_file(write(tmp_path / "a.jsonl", ROWS * 200), "es")
    bounds = binomtest(600, 1000).proportion_ci(method="wilson")
    assert f"60.0 %   95 % interval {100 * bounds.low:.1f} to {100 * bounds.high:.1f}   n 1000" in text


def test_verdicts_by_row(tmp_path: Path) -> None:
    source, out = write(tmp_path / "a.jsonl", ROWS), tmp_path / "new" / "rows.csv"
    source.write_text("\n" + source.read_text(encoding="utf-8"), encoding="utf-8")  # lines count, records do not
    score_file(source, "es", out)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["line", "answer", "phrase", "last", *MGSM_METRICS, "no_phrase"]
    shown = ("line", "answer", "phrase", "last", "accuracy", "lc_accuracy", "accuracy_phrase", "off_target")
    assert [tuple(row[name] for name in (*shown, "no_answer", "no_phrase")) for row in rows] == [
        ("2", "1234", "1234", "1234", "1", "1", "1", "0", "0", "0"),
        ("3", "7", "7", "9", "1", "1", "1", "0", "0", "0"),
        ("4", "7.0", "", "7", "1", "1", "0", "0", "0", "1"),
        ("5", "7", "-7", "-7", "0", "0", "0", "0", "0", "0"),
        ("6", "7", "", "", "0", "0", "0", "1", "1", "1"),
    ]
    assert [(row["undecided"], row["line_pass"], row["word_pass"]) for row in rows] == [("0", "1", "")] * 4 + [
        ("0", "0", "")
    ]


GOOD = ROWS[1]
BAD: dict[str, tuple[list[Any], list[str]]] = {
    "no response": ([GOOD, {"answer": 7}], ["line 2", "no key response", "add it"]),
    "no answer": ([{"response": "7"}], ["line 1", "no key answer", "add it"]),
    "response is null": ([GOOD, GOOD, {"response": None, "answer": 7}], ["line 3", "response is not text", "string"]),
    "answer is words": ([{"response": "7", "answer": "seven"}], ["line 1", "answer is not one number", "such as 18"]),
    "answer holds two numbers": ([{"response": "7", "answer": "7 or 8"}], ["line 1", "answer is not one number"]),
    "answer is a list": ([{"response": "7", "answer": [7]}], ["line 1", "answer is not one number"]),
    "answer is true": ([{"response": "7", "answer": True}], ["line 1", "answer is not one number"]),
    "answer is NaN": ([{"response": "7", "answer": float("nan")}], ["line 1", "answer is not one number"]),
    "answer is null": ([{"response": "7", "answer": None}], ["line 1", "answer is not one number"]),
    "row is a list": ([GOOD, [1]], ["line 2", "not a JSON object", "remove"]),
    "no rows": ([], ["no records", "fill it"]),
}


def refused(arguments: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score-mgsm", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.strip().split("\n")) == 1
    assert all(part in shown.err for part in parts), shown.err


@pytest.mark.parametrize(("rows", "parts"), BAD.values(), ids=BAD)
def test_a_bad_row_is_refused_and_nothing_written(
    rows: list[Any], parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write(tmp_path / "a.jsonl", rows), tmp_path / "rows.csv"
    refused([str(path), "--lang", "es", "--out", str(out)], [str(path), *parts], capsys)
    assert not out.exists()


def test_a_bad_out_is_refused_and_the_answers_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "a.jsonl", ROWS)
    before = source.read_bytes()
    (tmp_path / "folder").mkdir()
    for out, part in ((source, "is the file with the answers"), (tmp_path / "folder", "cannot be written")):
        refused([str(source), "--lang", "es", "--out", str(out)], [f"--out {out}: {part}", "name another"], capsys)
    below = source / "rows.csv"  # a file where a folder should be
    refused([str(source), "--lang", "es", "--out", str(below)], ["cannot be written"], capsys)
    assert source.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "folder"]


def test_a_bad_file_or_language_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, broken, binary = (tmp_path / name for name in ("good.jsonl", "broken.jsonl", "binary.jsonl"))
    write(good, ROWS)
    broken.write_text('{"response": "7", "answer": 7}\n{"response": ', encoding="utf-8")
    binary.write_bytes(b"\xff\xfe\x00")
    refused([str(tmp_path / "none.jsonl"), "--lang", "es"], ["none.jsonl", "no such file", "give"], capsys)
    refused([str(tmp_path), "--lang", "es"], ["no such file"], capsys)
    refused([str(broken), "--lang", "es"], ["line 2", "not JSON", "repair"], capsys)
    refused([str(binary), "--lang", "es"], ["not UTF-8", "re-save"], capsys)
    refused([str(good), "--lang", "xx"], ["--lang xx", "es"], capsys)
