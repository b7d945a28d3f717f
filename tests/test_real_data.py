"""The loaders of the real sets: on the real files where they are present, on hand-written folders for every error."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from ldr_utils.data import downloads, test_sets
from ldr_utils.data import files as module
from ldr_utils.data import sets as data_sets
from ldr_utils.data.coverage import check_languages, files_needed
from ldr_utils.data.train_sets import TRAIN_SETS
from ldr_utils.languages.numbers import extract, gold_number
from ldr_utils.report import tables
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import DataParams

Edit = Callable[[Path], object]
LANGS = ["en", "es"]
TEXT = {
    "en": ["Name a colour.", "Translate: one cat", "Count to three."],
    "es": ["Di un color.", "Traduce: one cat", "Cuenta hasta tres."],
}
PROBLEMS = {
    "en": [("Two and  two?", "4"), ("A thousand and one?", "1,001")],
    "es": [("¿2 y 2?", "4"), ("¿1000 y 1?", "1,001")],
}


def real_sets(languages: list[str], mgsm: list[str], alpaca: list[str], **options: Any) -> Any:
    return data_sets.real_sets(languages, {"mgsm": mgsm, "x_alpacaeval": alpaca}, **options)


def write(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(lines if path.suffix == ".jsonl" else json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def change(name: str, edit: Callable[[list[Any]], object]) -> Edit:
    """An edit of the rows of one file."""

    def apply(folder: Path) -> None:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        rows = json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.split("\n")]
        edit(rows)
        write(path, rows)

    return apply


def gsm8k(lang: str) -> list[Any]:
    return [
        {"id": f"gsm8k_{k}", "instruction": question, "final_answer": gold}
        for k, (question, gold) in enumerate(PROBLEMS[lang])
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny folder in two languages; Spanish has no reference answers."""
    root = tmp_path / "data"
    for lang in LANGS:
        for t in (0, 1):
            rows = [{"id": f"alpagasus-{1000 * t + k}", "instruction": text} for k, text in enumerate(TEXT[lang])]
            write(root / f"alpagasus/iter{t}/{lang}.jsonl", rows)
        write(root / f"gsm8k/{lang}.jsonl", gsm8k(lang))
        write(root / f"mgsm/mgsm_{lang}.jsonl", [{"query": query, "response": gold} for query, gold in PROBLEMS[lang]])
        prompts = [{"id": k, "dataset": "vicuna", "instruction": text} for k, text in enumerate(TEXT[lang], 1)]
        write(root / f"x-alpacaeval/prompts/{lang}.json", prompts)
    write(root / "alpagasus/translation_task_ids.json", ["alpagasus-1", "alpagasus-5000"])
    references = [{"instruction": text, "output": f"Answer {k}"} for k, text in enumerate(TEXT["en"])]
    write(root / "x-alpacaeval/reference/en.json", references)
    return root


def test_instruction_records(folder: Path) -> None:
    sets, _ = real_sets(LANGS, LANGS, LANGS, data_dir=folder)
    assert list(sets) == ["iteration0", "iteration1", "mgsm", "x_alpacaeval"]
    assert sets["iteration0"]["es"][1] == {
        "id": "alpagasus-1",
        "lang": "es",
        "family": "instruction",
        "kind": "alpagasus",
        "problem": "translate: one cat",
        "prompt": "Traduce: one cat",
        "translation_task": True,
    }
    assert [record["id"] for record in sets["iteration1"]["en"]] == [
        "alpagasus-1000",
        "alpagasus-1001",
        "alpagasus-1002",
    ]
    assert sum("translation_task" in record for record in sets["iteration1"]["en"] + sets["iteration0"]["en"]) == 1


def test_x_alpacaeval_records(folder: Path) -> None:
    sets, _ = real_sets(["en"], ["en"], LANGS, data_dir=folder)
    english, spanish = (sets["x_alpacaeval"][lang][2] for lang in LANGS)
    assert english["reference"] == "Answer 2"
    assert "reference" not in spanish
    assert (spanish["id"], spanish["kind"], spanish["family"]) == ("x-alpacaeval-3", "vicuna", "instruction")
    assert spanish["problem"] == english["problem"] == "count to three."


def test_arithmetic_records(folder: Path) -> None:
    sets, _ = real_sets(LANGS, LANGS, ["en"], data_dir=folder, prompts="gsm8k", prompts_per_iteration=1)
    assert [record["id"] for t in (0, 1) for record in sets[f"iteration{t}"]["es"]] == ["gsm8k_0", "gsm8k_1"]
    for record, example, kind in [
        (sets["mgsm"]["es"][1], "mgsm-0001", "mgsm"),
        (sets["iteration1"]["es"][0], "gsm8k_1", "gsm8k"),
    ]:
        assert record == {
            "id": example,
            "lang": "es",
            "family": "arithmetic",
            "kind": kind,
            "problem": "a thousand and one?",
            "prompt": module.PROBLEM_PREFIX.format(language="Spanish") + "\n\n¿1000 y 1?",
            "question": "¿1000 y 1?",
            "gold": "1001",
        }


def test_a_prefix_of_the_study_opens_word_problems_and_nothing_else(folder: Path) -> None:
    """Training prompts and test set alike; braces that are not {language} stay."""
    drawn, other = (
        real_sets(LANGS, LANGS, ["en"], data_dir=folder, prompts="gsm8k", prompts_per_iteration=1, problem_prefix=words)
        for words in ("In {language}, {please}.", "")
    )
    sets, plain = drawn[0], other[0]
    for record in (sets["mgsm"]["es"][1], sets["iteration1"]["es"][0]):
        assert record["prompt"] == "In Spanish, {please}.\n\n¿1000 y 1?"
    assert sets["x_alpacaeval"] == plain["x_alpacaeval"]


def test_without_english_the_id_is_the_problem(folder: Path) -> None:
    sets, _ = real_sets(["es"], ["es"], ["es"], data_dir=folder)
    assert sets["mgsm"]["es"][0]["problem"] == "mgsm-0000"


def test_limits_keep_the_first_rows(folder: Path) -> None:
    sets, _ = real_sets(
        LANGS,
        LANGS,
        LANGS,
        data_dir=folder,
        iterations=1,
        prompts_per_iteration=2,
        sizes={"mgsm": 1, "x_alpacaeval": 2},
    )
    assert {name: [len(records) for records in by.values()] for name, by in sets.items()} == {
        "iteration0": [2, 2],
        "mgsm": [1, 1],
        "x_alpacaeval": [2, 2],
    }
    assert sets["x_alpacaeval"]["es"][0]["id"] == "x-alpacaeval-1"


def test_sources_have_the_digest_of_every_file_read(folder: Path) -> None:
    _, sources = real_sets(["en"], LANGS, LANGS, data_dir=folder, iterations=1)
    found = {name: digest for source in sources for name, digest in source.sha256s.items()}
    assert set(found) == {
        "alpagasus/translation_task_ids.json",
        "alpagasus/iter0/en.jsonl",
        *(f"mgsm/mgsm_{lang}.jsonl" for lang in LANGS),
        *(f"x-alpacaeval/prompts/{lang}.json" for lang in LANGS),
        "x-alpacaeval/reference/en.json",
    }
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest for name, digest in found.items())
    assert {(source.name, source.licence) for source in sources} == {
        ("alpagasus", "CC BY-NC 4.0"),
        ("mgsm", "CC BY-SA 4.0"),
        ("x-alpacaeval", "CC BY-NC 4.0"),
    }
    assert {(source.origin, source.revision) for source in sources} == {("data_dir", "local folder")}
    table = module.source_table(sources)
    assert table["file"].tolist() == list(found)
    assert table["sha256"].tolist() == [digest[:12] for digest in found.values()]


def test_the_sets_of_a_study(folder: Path) -> None:
    values: dict[str, Any] = {"languages": LANGS, "unseen": [], "data_dir": str(folder)}
    sizes: dict[str, Any] = {"prompts_per_iteration": 3, "mgsm_problems": 2, "alpaca_prompts": 3}
    (folder / "mgsm/mgsm_en.jsonl").unlink()
    sets, _ = data_sets.draw_sets(DataParams(source="published", **values, **sizes))
    assert {name: list(by_language) for name, by_language in sets.items()} == {
        "iteration0": LANGS,
        "iteration1": LANGS,
        "mgsm": ["es"],
        "x_alpacaeval": LANGS,
    }
    assert list(data_sets.referenced(sets["x_alpacaeval"])) == ["en"]
    assert data_sets.gaps(sets, LANGS) == [
        "mgsm: not in en",
        "x_alpacaeval: no reference answers in es, which enter head to head only",
    ]
    with pytest.raises(InputError, match=r"alpaca_prompts: is 4, but the data have 3 for x_alpacaeval; lower it"):
        data_sets.draw_sets(DataParams(source="published", **values, **sizes | {"alpaca_prompts": 4}))


def test_a_byte_order_mark_is_no_error(folder: Path) -> None:
    path = folder / "mgsm/mgsm_en.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(real_sets(["en"], ["en"], ["en"], data_dir=folder)[0]["mgsm"]["en"]) == 2


def test_licences_cover_every_set_and_every_published_file() -> None:
    assert {file.layout.split("/")[0] for file in downloads.PUBLISHED} == set(downloads.LICENCES)


# Forms of a file, and of a gold

ROWS = [{"query": "¿2 y 2?", "response": "4"}, {"query": 'Dijo "mil y uno", ¿no?', "response": "1001"}]


def parquet_of(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(arrow.Table.from_pylist(rows), path)


def hub_rows(**more: Any) -> list[dict[str, Any]]:
    return [{"question": row["query"], "answer_number": int(row["response"]), **more} for row in ROWS]


FORMS: dict[str, Edit] = {
    "jsonl": lambda f: write(f / "mgsm/mgsm_es.jsonl", ROWS),
    "json": lambda f: write(f / "mgsm/mgsm_es.json", ROWS),
    "official tsv": lambda f: (f / "mgsm/mgsm_es.tsv").write_text(
        "".join(f"{r['query']}\t{r['response']}\n" for r in ROWS)
    ),
    "tsv of a spreadsheet": lambda f: (f / "mgsm/mgsm_es.tsv").write_bytes(
        '\ufeff¿2 y 2?\t4\r\n"Dijo ""mil y uno"", ¿no?"\t"1,001"\r\n'.encode()
    ),
    "parquet": lambda f: parquet_of(f / "mgsm/mgsm_es.parquet", ROWS),
    "a hub's parquet": lambda f: parquet_of(
        f / "mgsm/es/test-00000-of-00001.parquet", hub_rows(answer=None, equation_solution=None)
    ),
    "a hub's columns": lambda f: write(f / "mgsm/mgsm_es.jsonl", hub_rows(answer="Step by step: 2 + 2 = 4.")),
    "question and answer": lambda f: write(
        f / "mgsm/mgsm_es.jsonl", [{"question": row["query"], "answer": row["response"]} for row in ROWS]
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_word_problems_gives_the_same_records(folder: Path, form: str) -> None:
    (folder / "mgsm/mgsm_es.jsonl").unlink()
    FORMS[form](folder)
    sets, sources = real_sets(["en"], LANGS, ["en"], data_dir=folder)
    assert [(own["question"], own["gold"]) for own in sets["mgsm"]["es"]] == [(r["query"], r["response"]) for r in ROWS]
    (name,) = (name for source in sources for name in source.sha256s if name.startswith("mgsm") and "es" in name)
    assert (folder / name).is_file()


def test_any_file_of_a_language_may_be_parquet(folder: Path) -> None:
    expected = real_sets(LANGS, LANGS, LANGS, data_dir=folder)[0]
    for path in [*folder.rglob("*/es.json"), *folder.rglob("*/es.jsonl")]:
        text = path.read_text(encoding="utf-8")
        parquet_of(path.with_suffix(".parquet"), json.loads(text) if path.suffix == ".json" else rows_of(text))
        path.unlink()
    assert real_sets(LANGS, LANGS, LANGS, data_dir=folder)[0] == expected


def rows_of(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


GOLDS = [18, 18.0, "18", "18.0", "18 ", " 18", "$18", "18.00", '"18"']


@pytest.mark.parametrize("gold", GOLDS)
def test_golds_are_numbers_however_they_are_written(folder: Path, gold: Any) -> None:
    for lang, own in (("en", gold), ("es", "18")):
        write(folder / f"mgsm/mgsm_{lang}.jsonl", [{"query": "?", "response": own}])
    assert {own["gold"] for own in flat(real_sets(["en"], LANGS, ["en"], data_dir=folder)[0]["mgsm"])} == {"18"}


def flat(by_language: dict[str, Any]) -> list[Any]:
    return [own for records in by_language.values() for own in records]


@pytest.mark.parametrize(
    ("gold", "text"),
    [("1,234", "1234"), ("2.50", "2.5"), (-5, "-5"), (0.1, "0.1"), ("0.0", "0"), (10**30, "1" + "0" * 30)],
)
def test_a_gold_has_one_form(folder: Path, gold: Any, text: str) -> None:
    write(folder / "mgsm/mgsm_en.jsonl", [{"query": "?", "response": gold}])
    assert real_sets(["en"], ["en"], ["en"], data_dir=folder)[0]["mgsm"]["en"][0]["gold"] == text


def test_corrected_problems_take_the_place_of_mgsm(folder: Path) -> None:
    for lang in LANGS:
        (folder / "mgsm-rev2").mkdir(exist_ok=True)
        (folder / f"mgsm-rev2/mgsm_{lang}.tsv").write_text(f"Corrected {lang}?\t18\n")
    values: dict[str, Any] = {"languages": LANGS, "unseen": [], "data_dir": str(folder), "mgsm_set": "rev2"}
    params = DataParams(source="published", **values, prompts_per_iteration=1, mgsm_problems=1, alpaca_prompts=1)
    sets, sources = data_sets.draw_sets(params)
    assert [own["question"] for own in flat(sets["mgsm"])] == ["Corrected en?", "Corrected es?"]
    assert [source.name for source in sources] == ["alpagasus", "mgsm-rev2", "x-alpacaeval"]
    assert "MGSM-Rev2" in tables.deviations(params.model_dump())["mgsm"]
    assert "MGSM-Rev2" not in tables.deviations({"source": "published"})["mgsm"]
    public = DataParams(source="published", mgsm_set="rev2", unseen=["sw"])
    assert {lang for layout, lang in files_needed(public) if layout == downloads.MGSM_REV2} == {*TRAINED, "sw"}
    assert downloads.MGSM not in {layout for layout, _ in files_needed(public)}


ITER0, TASKS, MGSM = "alpagasus/iter0/es.jsonl", "alpagasus/translation_task_ids.json", "mgsm/mgsm_es.jsonl"
PROMPTS, REFERENCE = "x-alpacaeval/prompts/es.json", "x-alpacaeval/reference/en.json"
ERRORS: dict[str, tuple[Edit, str]] = {
    "missing language": (lambda f: (f / MGSM).unlink(), rf"{MGSM}: no such file, there is only en; remove 'es'"),
    "missing set": (
        lambda f: (f / "mgsm").rename(f / "gone"),
        "mgsm_en.jsonl: no such file, nor one in another",
    ),
    "missing tasks": (lambda f: (f / TASKS).unlink(), rf"{TASKS}: cannot be read \(No such file or directory\); add"),
    "missing key": (
        change(ITER0, lambda rows: rows[1].pop("instruction")),
        rf"{ITER0}: row 2: instruction: is missing",
    ),
    "empty text": (
        change(MGSM, lambda rows: rows[0].update(query=" ")),
        rf"{MGSM}: row 1: query: is missing or holds no",
    ),
    "no text": (
        change(PROMPTS, lambda rows: rows[0].update(instruction=7)),
        rf"{PROMPTS}: row 1: instruction: is missing",
    ),
    "no id": (
        change(PROMPTS, lambda rows: rows[2].pop("id")),
        rf"{PROMPTS}: row 3: id: is missing or not a whole number",
    ),
    "no object": (change(MGSM, lambda rows: rows.append(3)), rf"{MGSM}: row 3: query: is missing"),
    "latin-1": (
        lambda f: (f / MGSM).write_bytes('{"query": "¿"}'.encode("latin-1")),
        rf"{MGSM}: not UTF-8 text \(byte 11\)",
    ),
    "utf-16": (lambda f: (f / MGSM).write_text("{}", encoding="utf-16"), rf"{MGSM}: not UTF-8 text \(byte 0\)"),
    "torn line": (
        lambda f: (f / MGSM).write_text('{"query": "a", "response": "4"}\n\n{"que'),
        rf"{MGSM}: line 3 is not JSON",
    ),
    "torn list": (lambda f: (f / PROMPTS).write_text('[\n{"id": 1},\n'), rf"{PROMPTS}: line 3 is not JSON"),
    "no list": (lambda f: (f / PROMPTS).write_text('{"id": 1}'), rf"{PROMPTS}: holds no list of rows"),
    "no rows": (lambda f: (f / MGSM).write_text("\n"), rf"{MGSM}: holds no list of rows"),
    "order": (
        change(ITER0, lambda rows: rows.reverse()),
        rf"{ITER0}: row 1: alpagasus-2, but en has alpagasus-0; give",
    ),
    "too few": (
        change(MGSM, lambda rows: rows.pop()),
        rf"{MGSM}: row 2: no such row, but en has mgsm-0001 with answer",
    ),
    "too many": (
        change(PROMPTS, lambda rows: rows.append(rows[0] | {"id": 4})),
        rf"{PROMPTS}: row 4: x-alpacaeval-4, but en has no such row",
    ),
    "other answer": (
        change(MGSM, lambda rows: rows[0].update(response="5")),
        rf"{MGSM}: row 1: mgsm-0000 with answer 5, but en has mgsm-0000 with answer 4",
    ),
    "no number": (
        change(MGSM, lambda rows: rows[1].update(response="four")),
        rf"{MGSM}: row 2: response: 'four' is not one",
    ),
    "no finite number": (
        lambda f: (f / MGSM).write_text('{"query": "a", "response": NaN}'),
        rf"{MGSM}: row 1: response: 'nan' is not one number; correct it",
    ),
    "two forms": (
        lambda f: (f / "mgsm/mgsm_es.tsv").write_text("a\t4\n"),
        r"data_dir: \S+ has both mgsm/mgsm_es.jsonl and mgsm/mgsm_es.tsv; keep one of them",
    ),
    "tsv without golds": (
        lambda f: (f / MGSM).rename(f / "mgsm/mgsm_es.tsv").write_text("a\nb\n"),
        r"mgsm_es.tsv: row 1: response: is missing",
    ),
    "no parquet": (
        lambda f: (f / MGSM).rename(f / "mgsm/mgsm_es.parquet"),
        r"mgsm_es.parquet: cannot be read as parquet \(.*\); get the file again",
    ),
    "other iteration": (
        change(ITER0, lambda rows: rows[1].update(id="alpagasus-1001")),
        rf"{ITER0}: row 2: id: is 'alpagasus-1001', but alpagasus-0 to alpagasus-999 belong",
    ),
    "foreign id": (change(ITER0, lambda rows: rows[1].update(id="other-1")), rf"{ITER0}: row 2: id: is 'other-1', but"),
    "task id": (change(TASKS, lambda rows: rows.append(7)), rf"{TASKS}: row 3: id: is missing"),
    "reference order": (
        change(REFERENCE, lambda rows: rows.reverse()),
        rf"{REFERENCE}: row 1: instruction: is not the prompt's",
    ),
    "reference short": (
        change(REFERENCE, lambda rows: rows.pop()),
        rf"prompts/en.json: row 3: lacks its answer in .*{REFERENCE}",
    ),
    "reference empty": (
        change(REFERENCE, lambda rows: rows[0].update(output="")),
        rf"{REFERENCE}: row 1: output: is missing",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_broken_folder_is_one_clear_line(folder: Path, name: str) -> None:
    edit, message = ERRORS[name]
    real_sets(LANGS, LANGS, LANGS, data_dir=folder)
    edit(folder)
    with pytest.raises(InputError, match=message) as caught:
        real_sets(LANGS, LANGS, LANGS, data_dir=folder)
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value), "the remedy is missing"


def test_an_id_that_is_there_twice(folder: Path) -> None:
    for lang in LANGS:
        change(f"alpagasus/iter0/{lang}.jsonl", lambda rows: rows[2].update(id="alpagasus-0"))(folder)
    with pytest.raises(InputError, match=r"iter0/en.jsonl: row 3: id: alpagasus-0 is there twice; remove one"):
        real_sets(LANGS, LANGS, LANGS, data_dir=folder)


def test_questions_that_do_not_suffice(folder: Path) -> None:
    with pytest.raises(
        InputError, match=r"prompts_per_iteration: 2 iterations of 2 take 4 prompts, but \S*gsm8k/en.jsonl has 2; l"
    ):
        real_sets(LANGS, LANGS, LANGS, data_dir=folder, prompts="gsm8k", prompts_per_iteration=2)


def test_a_data_dir_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data_dir: .*nowhere is not a folder; give one"):
        real_sets(LANGS, LANGS, LANGS, data_dir=tmp_path / "nowhere")


def test_published_formats_give_the_records_of_the_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(file: downloads.Published, lang: str) -> Path:
        path = tmp_path / "published" / file.path.format(lang=lang)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".tsv":
            path.write_text("".join(f"{query}\t{gold}\n" for query, gold in PROBLEMS[lang]), encoding="utf-8")
        elif file.layout == downloads.TRANSLATION_TASKS:
            write(path, [{"prompt": "Translate", "id": "alpagasus-1"}])
        elif file.layout == downloads.GSM8K and lang == "en":
            write(
                path,
                [{"question": question, "answer": f"2 + 2 = <<4>>\n#### {gold}"} for question, gold in PROBLEMS["en"]],
            )
        elif file.layout == downloads.GSM8K:
            write(path, [row | {"id": lang + row["id"], "answer": ""} for row in gsm8k(lang)])
        else:
            path.write_bytes((folder / file.layout.format(lang=lang)).read_bytes())
        return path

    (folder / "x-alpacaeval/reference/es.json").write_bytes(
        json.dumps([{"instruction": text, "output": "Sí"} for text in TEXT["es"]]).encode()
    )
    monkeypatch.setattr(downloads.Published, "fetch", fetch)
    for prompts in ("alpagasus", "gsm8k"):
        local, _ = real_sets(LANGS, LANGS, LANGS, data_dir=folder, prompts=prompts, prompts_per_iteration=1)
        public, sources = real_sets(LANGS, LANGS, LANGS, prompts=prompts, prompts_per_iteration=1)
        assert public == local
        assert all(re.fullmatch(r"[0-9a-f]{40}", source.revision) for source in sources)


def test_every_published_file_is_pinned_to_a_commit() -> None:
    for file in downloads.PUBLISHED:
        assert re.fullmatch(r"(github\.com|huggingface\.co/datasets)/[\w-]+/[\w.-]+@[0-9a-f]{40}", file.pin)
        assert all(isinstance(getattr(file, field.name), str) for field in fields(file))
        assert "{lang}" in file.path or len(file.languages.split()) <= 1


def test_published_languages() -> None:
    assert set(module.languages_published(downloads.MGSM)) == {
        "en",
        "es",
        "fr",
        "de",
        "ru",
        "zh",
        "ja",
        "th",
        "sw",
        "bn",
        "te",
    }
    assert set(module.languages_published(downloads.ALPACA_PROMPTS)) >= {
        "ar",
        "de",
        "en",
        "es",
        "fr",
        "it",
        "ja",
        "ko",
        "ru",
        "th",
        "zh",
    }
    referenced = {"en", "es", "ru", "de", "fr", "th", "zh", "bn", "sw"}
    assert set(module.languages_published(downloads.ALPACA_REFERENCES)) == referenced
    with pytest.raises(InputError, match=r"mgsm/mgsm_it.jsonl: no such file, there is only .*; remove 'it'"):
        test_sets.read_mgsm(module.Files(None), downloads.MGSM, ["it"], None)
    with pytest.raises(InputError, match=r"iter2/en.jsonl: no such file, nor one in another language"):
        module.Files(None).rows(downloads.ALPAGASUS.format(t=2), "en")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty download cache."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "cache"


def test_no_network_names_data_dir(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreachable(*args: object, **kwargs: object) -> None:
        raise URLError("Name or service\nnot known")

    def not_cached(*args: object, **kwargs: object) -> None:
        raise huggingface_hub.errors.LocalEntryNotFoundError("Cannot find the file\nin the cache " + "x" * 500)

    monkeypatch.setattr(downloads, "urlopen", unreachable)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", not_cached)
    for layout in (downloads.GSM8K, downloads.MGSM):
        with pytest.raises(
            InputError, match=r"cannot be downloaded from \S+@[0-9a-f]{40} .*; .*set data_dir"
        ) as caught:
            module.Files(None).rows(layout, "en")
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400


def test_offline_mode_is_respected(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(downloads, "urlopen", lambda *args, **kwargs: pytest.fail("used the network"))
    with pytest.raises(InputError, match=r"HF_HUB_OFFLINE is set.*data_dir"):
        module.Files(None).rows(downloads.GSM8K, "en")


def test_a_download_is_pinned_and_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def reply(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(b'{"id": "degsm8k_0", "instruction": "Zwei?", "final_answer": "2"}')

    monkeypatch.setattr(downloads, "urlopen", reply)
    assert downloads.find(downloads.GSM8K, "de").cached("de") is None
    for _ in range(2):
        files = module.Files(None)
        assert TRAIN_SETS["gsm8k"].draw(files, ["de"], 1, 1)[0]["de"][0]["id"] == "gsm8k_0"
    (url,) = asked
    repo = "ZNLP/Language-Imbalance-Driven-Rewarding/7ac3aa2c105d793ff0dd2bd52460fe309744ab94"
    assert url == f"https://raw.githubusercontent.com/{repo}/data/gsm8k/train/de.jsonl"
    (source,) = files.sources()
    assert source.revision in url
    assert source.origin == "github.com/ZNLP/Language-Imbalance-Driven-Rewarding"
    assert not list(cache.rglob("*.tmp"))
    kept = downloads.find(downloads.GSM8K, "de").cached("de")
    assert kept
    assert kept.is_relative_to(cache)


def test_a_hub_download_is_pinned(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def download(repo: str, path: str, repo_type: str, revision: str) -> str:
        assert (repo, path, repo_type) == ("juletxara/mgsm", "mgsm_en.tsv", "dataset")
        assert re.fullmatch(r"[0-9a-f]{40}", revision)
        (tmp_path / path).write_text("Two and two?\t4\n")
        return str(tmp_path / path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    files = module.Files(None)
    assert test_sets.read_mgsm(files, downloads.MGSM, ["en"], None)["en"][0]["gold"] == "4"
    assert files.sources()[0].origin == "huggingface.co/datasets/juletxara/mgsm"


TRAINED = ["en", "es", "ru", "de", "fr"]


def test_real_files(real_data: Path) -> None:
    mgsm = [*TRAINED, "zh", "ja", "th", "sw", "bn", "te"]
    alpaca = [*TRAINED, "it", "ja", "ko", "th", "zh", "ar"]
    referenced = [lang for lang in alpaca if (real_data / "x-alpacaeval" / "reference" / f"{lang}.json").exists()]
    sets, sources = real_sets(TRAINED, mgsm, alpaca, data_dir=real_data)
    sizes = {"iteration0": 1000, "iteration1": 1000, "mgsm": 250, "x_alpacaeval": 805}
    assert {name: {len(records) for records in by.values()} for name, by in sets.items()} == {
        name: {size} for name, size in sizes.items()
    }
    assert not any(data_sets.misaligned(by) for by in sets.values())
    assert list(sets["mgsm"]) == mgsm
    assert list(sets["x_alpacaeval"]) == alpaca
    answered = [lang for lang, records in sets["x_alpacaeval"].items() if all("reference" in one for one in records)]
    assert answered == referenced
    assert set(TRAINED) <= set(referenced) < set(alpaca)
    tasks = [[one["id"] for one in sets[f"iteration{t}"]["ru"] if one.get("translation_task")] for t in (0, 1)]
    assert [len(ids) for ids in tasks] == [7, 10]
    assert all(
        extract(one["gold"], lang).value == gold_number(one["gold"]) for lang, by in sets["mgsm"].items() for one in by
    )
    assert sum(len(source.sha256s) for source in sources) == 10 + 1 + 11 + 11 + len(referenced)
    problems = data_sets.shared_problems(sets, "fr").to_numpy()
    assert problems.sum() == problems.trace(), "a training prompt is a test prompt"


LOW_RESOURCE = ["en", "th", "zh", "bn", "sw"]


def test_the_low_resource_languages_have_prompts_tests_and_references(real_data: Path) -> None:
    sets, sources = real_sets(
        LOW_RESOURCE,
        LOW_RESOURCE,
        LOW_RESOURCE,
        data_dir=real_data,
        prompts="ultrafeedback",
        prompts_per_iteration=400,
        sizes={"mgsm": 5},
    )
    assert not any(data_sets.misaligned(by) for by in sets.values())
    ids = [{own["id"] for own in sets[f"iteration{t}"]["sw"]} for t in (0, 1)]
    assert [len(own) for own in ids] == [400, 400]
    assert not ids[0] & ids[1]
    assert {lang: len(records) for lang, records in sets["x_alpacaeval"].items()} == dict.fromkeys(LOW_RESOURCE, 805)
    assert all("reference" in one for one in flat(sets["x_alpacaeval"]))
    assert [source.name for source in sources] == ["ultrafeedback", "mgsm", "x-alpacaeval"]


@pytest.mark.parametrize("where", ["published", "folder"])
def test_more_prompts_than_ultrafeedback_has_are_refused_before_work(where: str, real_data: Path) -> None:
    values: dict[str, Any] = {"source": "published", "train_set": "ultrafeedback", "prompts_per_iteration": 501}
    params = DataParams(**values, unseen=[], data_dir=str(real_data) if where == "folder" else "")
    look = data_sets.check_files if where == "folder" else check_languages
    with pytest.raises(
        InputError, match=r"2 iterations of 501 take 1,002 prompts, but \S+ has 1,000; lower it, or iter"
    ):
        look(params)


def test_real_questions(real_data: Path) -> None:
    sets, _ = real_sets(TRAINED, ["en"], ["en"], data_dir=real_data, prompts="gsm8k", prompts_per_iteration=250)
    ids = [[record["id"] for record in sets[f"iteration{t}"]["ru"]] for t in (0, 1)]
    assert ids == [[f"gsm8k_{k}" for k in range(250)], [f"gsm8k_{k}" for k in range(250, 500)]]
    assert "in Russian." in sets["iteration0"]["ru"][0]["prompt"]


def test_the_published_mgsm_gives_the_records_of_the_real_folder(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (real_data / "mgsm/mgsm_ja.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    content = "".join(f"{row['query']}\t{row['response']}\n" for row in rows).encode()
    # The digest of mgsm_ja.tsv of google-research/url-nlp, as other projects pin it.
    digest = "59a2b50debe77981fd784cb3b2bef1505e3abf2a37116dc9d7a366ab029b4637"
    assert hashlib.sha256(content).hexdigest() == digest
    path = tmp_path / "mgsm_ja.tsv"
    path.write_bytes(content)
    monkeypatch.setattr(downloads.Published, "fetch", lambda file, lang: path)
    files = module.Files(None)
    local = test_sets.read_mgsm(module.Files(real_data), downloads.MGSM, ["ja"], None)
    assert test_sets.read_mgsm(files, downloads.MGSM, ["ja"], None) == local
    assert files.sources()[0].sha256s == {"mgsm/mgsm_ja.jsonl": digest}
