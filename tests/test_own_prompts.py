"""Training prompts of the user's own: every form of a folder gives the same sets, every fault is one line."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from ldr_utils.data import sets
from ldr_utils.data.coverage import check_languages, files_needed, languages_lacking_prompts, unevaluated
from ldr_utils.data.files import PROBLEM_PREFIX
from ldr_utils.languages.table import LANGUAGES
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import DataParams, validate
from ldr_utils.study.records import DataSet

RECORDS = {
    lang: {"name": name, "flores": flores, "answer_phrases": ["x:"]}
    for lang, name, flores in [
        ("pt", "Portuguese", "por_Latn"),
        ("nl", "Dutch", "nld_Latn"),
        ("uk", "Ukrainian", "ukr_Cyrl"),
    ]
}
TEXTS = {
    "en": ["Name a colour; any.", 'Say "two", please.', "How many?\nSay so."],
    "pt": ["Diz uma cor.", 'Diz "dois", por favor.', "Quantos?\nDiz."],
    "uk": ["Назви колір.", 'Скажи "два", будь ласка.', "Скільки?\nСкажи."],
}
LANGS = list(TEXTS)
Rows = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def _languages() -> Any:
    """Ours alone again, whatever a study brought."""
    yield
    validate(DataParams, {}, "test")


def of(folder: Path, **values: Any) -> DataParams:
    base = {"source": "published", "languages": LANGS, "unseen": [], "language_records": RECORDS, "iterations": 2}
    return validate(DataParams, base | {"train_set": str(folder), "prompts_per_iteration": 1} | values, "test")


def drawn(folder: Path, **values: Any) -> dict[str, DataSet]:
    params = of(folder, **values)
    sets.check_files(params)
    return sets._draw(params, {}, params.iterations)[0]


def write(path: Path, rows: Rows, delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".parquet":
        parquet.write_table(arrow.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def a_file_a_language(folder: Path, suffix: str, key: str = "prompt", **more: list[Any]) -> Path:
    """The rows of every language but English are turned round: ids bring them together."""
    for lang, texts in TEXTS.items():
        rows = [
            {"id": f"p{k}", key: text, **{name: values[k] for name, values in more.items()}}
            for k, text in enumerate(texts)
        ]
        write(folder / f"{lang}{suffix}", rows if lang == "en" else rows[::-1])
    return folder


def one_table(folder: Path, suffix: str, delimiter: str = ",", **more: list[Any]) -> Path:
    rows = [
        {"id": f"p{k}", **{lang: texts[k] for lang, texts in TEXTS.items()}, **{n: v[k] for n, v in more.items()}}
        for k in range(3)
    ]
    write(folder / f"prompts{suffix}", rows, delimiter)
    return folder


FORMS: dict[str, Callable[[Path], Path]] = {
    **{f"a{suffix} a language": lambda f, s=suffix: a_file_a_language(f, s) for suffix in (".jsonl", ".json", ".csv")},  # type: ignore[misc]
    **{f"one{suffix}": lambda f, s=suffix: one_table(f, s) for suffix in (".jsonl", ".json", ".csv", ".parquet")},  # type: ignore[misc]
    "a .parquet a language": lambda f: a_file_a_language(f, ".parquet", "instruction"),
    "semicolons": lambda f: one_table(f, ".csv", ";"),
    "tabs": lambda f: one_table(f, ".csv", "\t"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_sets(form: str, tmp_path: Path) -> None:
    found = drawn(FORMS[form](tmp_path))
    assert list(found) == ["iteration0", "iteration1"]
    for t, by_language in enumerate(found.values()):
        assert {lang: [own["prompt"] for own in rows] for lang, rows in by_language.items()} == {
            lang: [texts[t]] for lang, texts in TEXTS.items()
        }
        assert {own["id"] for rows in by_language.values() for own in rows} == {f"p{t}"}
        assert {(own["family"], own["kind"]) for rows in by_language.values() for own in rows} == {
            ("instruction", "own")
        }
    assert found["iteration0"]["uk"][0]["problem"] == "name a colour; any."


def test_the_source_is_the_users_own(tmp_path: Path) -> None:
    params = of(one_table(tmp_path, ".csv"))
    _, (source,) = sets._draw(params, {}, 1)
    assert (source.name, source.origin, list(source.sha256s)) == ("own prompts", "train_set", ["prompts.csv"])
    assert {layout.split("/")[0] for layout, _ in files_needed(params)} == {"mgsm", "x-alpacaeval"}
    assert unevaluated(params) == ["pt", "uk"]


def test_ids_may_be_numbers_or_left_out_of_a_table(tmp_path: Path) -> None:
    write(tmp_path / "a" / "prompts.csv", [{lang: texts[k] for lang, texts in TEXTS.items()} for k in range(3)])
    assert drawn(tmp_path / "a")["iteration1"]["pt"][0]["id"] == "2"
    for lang, texts in TEXTS.items():
        number = {"en": int, "pt": str, "uk": float}[lang]
        write(tmp_path / "b" / f"{lang}.jsonl", [{"id": number(k), "query": text} for k, text in enumerate(texts)])
    assert drawn(tmp_path / "b")["iteration1"]["uk"][0]["id"] == "1"


@pytest.mark.parametrize("key", ["gold", "final_answer", "answer"])
@pytest.mark.parametrize("folder", [a_file_a_language, one_table])
def test_numbers_make_word_problems(folder: Callable[..., Path], key: str, tmp_path: Path) -> None:
    found = drawn(folder(tmp_path, ".jsonl", **{key: [18, "$1,234", "2.50"]}), prompts_per_iteration=3, iterations=1)
    records = found["iteration0"]["pt"]
    assert [own["gold"] for own in records] == ["18", "1234", "2.5"]
    assert records[0]["family"] == "arithmetic"
    assert records[0]["prompt"] == PROBLEM_PREFIX.format(language="Portuguese") + "\n\nDiz uma cor."
    assert records[0]["question"] == "Diz uma cor."


def test_answers_in_words_are_no_golds(tmp_path: Path) -> None:
    found = drawn(a_file_a_language(tmp_path, ".jsonl", answer=["red", "two", "none"]))
    assert found["iteration0"]["en"][0]["family"] == "instruction"


def test_a_row_more_in_another_language_is_left_out(tmp_path: Path) -> None:
    a_file_a_language(tmp_path, ".jsonl")
    with (tmp_path / "pt.jsonl").open("a") as file:
        file.write('{"id": "extra", "prompt": "a mais"}\n')
    assert len(drawn(tmp_path, prompts_per_iteration=3, iterations=1)["iteration0"]["pt"]) == 3


# Languages without prompts


@pytest.mark.parametrize("folder", [a_file_a_language, one_table])
def test_what_lacks_prompts_is_known_and_may_be_translated(folder: Callable[..., Path], tmp_path: Path) -> None:
    where, languages = folder(tmp_path, ".csv"), ["en", "nl", "pt"]
    assert languages_lacking_prompts(of(where, languages=languages)) == ["nl"]
    with pytest.raises(InputError, match=r"languages: \S+ has no prompts in nl; add them, .* or set translate_prompts"):
        check_languages(of(where, languages=languages))
    params = of(where, languages=languages, translate_prompts="self")
    check_languages(params)
    assert list(sets._draw(params, {}, 1)[0]["iteration0"]) == ["en", "pt"]
    with pytest.raises(InputError, match=r"has no prompts in nl; add them$"):
        check_languages(of(where, languages=languages, dominant="nl", translate_prompts="self"))


def test_published_prompts_that_lack_a_language_may_be_translated() -> None:
    low = validate(DataParams, {"source": "published", "languages": ["en", "th", "bn", "sw"], "unseen": []}, "test")
    assert languages_lacking_prompts(low) == ["bn", "sw"]
    with pytest.raises(InputError, match=r"lacks alpagasus/iter0/bn.jsonl, .*sw.jsonl; .*, or set translate_prompts"):
        check_languages(low)
    check_languages(low.model_copy(update={"translate_prompts": "self"}))
    assert languages_lacking_prompts(low.model_copy(update={"train_set": "ultrafeedback"})) == []
    assert languages_lacking_prompts(DataParams()) == []


# Faults


def changed(name: str, edit: Callable[[Rows], object]) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        rows = [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
        edit(rows)
        write(folder / name, rows)

    return apply


def raw(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text, encoding="utf-8")


def only(name: str, text: str) -> Callable[[Path], object]:
    """One table in place of the files of the languages."""

    def apply(folder: Path) -> None:
        for path in folder.iterdir():
            path.unlink()
        (folder / name).write_text(text, encoding="utf-8")

    return apply


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a row without its partner": (
        changed("pt.jsonl", lambda rows: rows.pop(0)),
        r"pt.jsonl: id p2: no such row, but en.jsonl has p2; complete",
    ),
    "an id twice": (
        changed("pt.jsonl", lambda rows: rows[1].update(id="p2")),
        r"pt.jsonl: row 2: id: p2 is there twice; remove one",
    ),
    "no id": (changed("en.jsonl", lambda rows: rows[1].pop("id")), r"en.jsonl: row 2: id: is missing"),
    "an id that is a list": (changed("en.jsonl", lambda rows: rows[1].update(id=[1])), r"en.jsonl: row 2: id: is mis"),
    "an empty text": (
        changed("uk.jsonl", lambda rows: rows[0].update(prompt=" ")),
        r"uk.jsonl: row 1: prompt: is missing or holds no text; add it",
    ),
    "two texts": (
        changed("en.jsonl", lambda rows: [row.update(question="?") for row in rows]),
        r"en.jsonl: has prompt and question; call the text",
    ),
    "no text at all": (
        changed("en.jsonl", lambda rows: [row.update(text=row.pop("prompt")) for row in rows]),
        r"en.jsonl: has none of prompt, instruction, question, query; call",
    ),
    "a text in capitals": (
        changed("en.jsonl", lambda rows: [row.update(Prompt=row.pop("prompt")) for row in rows]),
        r"en.jsonl: the column 'Prompt' would be passed over; rename it to prompt",
    ),
    "half of a prompt elsewhere": (
        changed("en.jsonl", lambda rows: rows[1].update(input="Read this.")),
        r"en.jsonl: row 2: input: would be left out; write it into prompt",
    ),
    "a gold that is no number": (
        changed("en.jsonl", lambda rows: [row.update(answer=a) for row, a in zip(rows, (1, "two", 3), strict=True)]),
        r"en.jsonl: row 2: answer: 'two' is not one number; correct it",
    ),
    "golds that differ": (
        lambda f: [
            changed(f"{lang}.jsonl", lambda rows, g=gold: [row.update(gold=g) for row in rows])(f)  # type: ignore[misc]
            for lang, gold in (("en", 1), ("pt", "1.0"), ("uk", 2))
        ],
        r"uk.jsonl: id p0: p0 with answer 2, but en.jsonl has p0 with answer 1; complete or correct it",
    ),
    "too few": (
        changed("en.jsonl", lambda rows: rows.__delitem__(slice(1, 3))),
        r"2 iterations of 1 take 2 .* has 1; l",
    ),
    "a language in capitals": (
        lambda f: (f / "pt.jsonl").rename(f / "PT.jsonl"),
        r"train_set: \S+PT.jsonl would be passed over; rename it to pt.jsonl",
    ),
    "a language by its name": (
        lambda f: (f / "pt.jsonl").rename(f / "Portuguese.jsonl"),
        r"Portuguese.jsonl is none of a language's files; call it by its code",
    ),
    "two forms of one file": (
        raw("pt.csv", "id,prompt\n1,a\n"),
        r"train_set: \S+ has both pt.csv and pt.jsonl; keep one of them",
    ),
    "a broken line": (raw("pt.jsonl", '{"id": 1'), r"pt.jsonl: line 1 is not JSON"),
    "nothing": (only("notes.txt", "a"), r"train_set: \S+ holds no prompts; give one file a language"),
    "two tables": (
        lambda f: [only("a.csv", "id,en\n1,a\n")(f), raw("b.csv", "id,en\n1,a\n")(f)],
        r"train_set: \S+ holds a.csv and b.csv; give",
    ),
    "a column by its name": (
        only("prompts.csv", "id,en,Portuguese,uk\n1,a,b,c\n2,a,b,c\n"),
        r"prompts.csv: the column 'Portuguese' would be passed over; rename it to pt",
    ),
    "a column in capitals": (
        only("prompts.csv", "id,en,PT,uk\n1,a,b,c\n2,a,b,c\n"),
        r"prompts.csv: the column 'PT' would be passed over; rename it to pt",
    ),
    "an empty cell": (only("prompts.csv", "id,en,pt,uk\n1,a,b,c\n2,a,,c\n"), r"prompts.csv: row 2: pt: is missing"),
    "a comma without quotes": (
        only("prompts.csv", "id,en,pt,uk\n1,a, b,c,d\n"),
        r"prompts.csv: row 1: has more columns than the header; put its texts in double quotes",
    ),
    "a column twice": (only("prompts.csv", "id,en,pt,pt\n1,a,b,c\n"), r"prompts.csv: two columns are called 'pt'; r"),
    "no CSV": (only("prompts.csv", 'id,en,pt,uk\n1,"a"b,c,d\n'), r"prompts.csv: is not CSV near line 2 .*; repair it"),
    "no parquet": (
        only("prompts.parquet", "PAR1"),
        r"prompts.parquet: cannot be read as parquet .*; get the file again",
    ),
    "no rows with names": (only("prompts.json", "[1, 2]"), r"prompts.json: row 1: is no row with names"),
}


def looked_at(params: DataParams) -> None:
    """As ``ldr run`` does it, before anything is written."""
    check_languages(params)
    sets.check_files(params)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_line_before_anything_is_made(name: str, tmp_path: Path) -> None:
    edit, message = FAULTS[name]
    params = of(a_file_a_language(tmp_path / "own", ".jsonl"))
    looked_at(params)
    edit(tmp_path / "own")
    with pytest.raises(InputError) as caught:
        looked_at(params)
    assert re.search(message, str(caught.value)), caught.value
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value), "the remedy is missing"


def test_a_folder_that_is_none_of_ours() -> None:
    with pytest.raises(InputError, match=r"train_set: alpagsus is no folder, nor alpagasus, gsm8k, ultrafeedback; c"):
        check_languages(of(Path("alpagsus")))


def test_a_language_called_like_the_column_of_ids(tmp_path: Path) -> None:
    """Indonesian's code is id: one file a language."""
    records = {"id": {"name": "Indonesian", "flores": "ind_Latn", "answer_phrases": ["x:"]}}
    write(tmp_path / "a" / "prompts.csv", [{"id": "1", "en": "one"}])
    with pytest.raises(InputError, match="has no prompts in id"):
        check_languages(of(tmp_path / "a", languages=["en", "id"], language_records=records))
    for lang in ("en", "id"):
        write(tmp_path / "b" / f"{lang}.csv", [{"id": "1", "prompt": lang}])
    found = drawn(tmp_path / "b", languages=["en", "id"], language_records=records, iterations=1)
    assert found["iteration0"]["id"][0]["prompt"] == "id"
    assert LANGUAGES["id"].name == "Indonesian"
