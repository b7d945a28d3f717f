"""The sets of a study: which languages they have, where they come from, and what travels on with a prompt."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest

from ldr_utils.commands.execute import execute
from ldr_utils.commands.run import run_study
from ldr_utils.data import sets as data_sets
from ldr_utils.data.coverage import check_languages, files_needed, unevaluated
from ldr_utils.data.downloads import ALPACA_REFERENCES, GSM8K, TRANSLATION_TASKS
from ldr_utils.data.files import LOCAL, Source, languages_published, source_table
from ldr_utils.data.test_sets import TEST_SETS
from ldr_utils.method.pairs import build_pairs
from ldr_utils.report import claims, gains, paper
from ldr_utils.study.arms import MAIN
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import dumps, read_jsonl, write_text
from ldr_utils.study.params import DataParams, PairsParams, ReportParams, StudyParams
from ldr_utils.study.paths import Run

TRAINED = ["en", "es", "ru", "de", "fr"]


def published(**values: Any) -> DataParams:
    return DataParams(**{"source": "published", "unseen": [], **values})


def refusal(params: DataParams) -> str:
    with pytest.raises(InputError) as caught:
        check_languages(params)
    message = str(caught.value)
    assert "\n" not in message
    assert ";" in message, "the remedy is missing"
    return message


# Languages


def test_the_micro_world_has_every_language_in_every_set() -> None:
    params = DataParams()
    assert check_languages(params) == {"mgsm": params.all_languages, "x_alpacaeval": params.all_languages}
    assert refusal(DataParams(unseen=["th", "ja"])).startswith("languages: th, ja not in the micro world")


def test_published_test_sets_have_languages_of_their_own() -> None:
    params = published(unseen=["it", "ko", "sw", "bn", "te", "zh"])
    assert check_languages(params) == {
        "mgsm": [*TRAINED, "sw", "bn", "te", "zh"],
        "x_alpacaeval": [*TRAINED, "it", "ko", "sw", "bn", "zh"],
    }
    assert set(languages_published(ALPACA_REFERENCES)) == {*TRAINED, "th", "zh", "bn", "sw"}


def test_files_needed_are_those_of_the_study() -> None:
    files = files_needed(published(languages=["en", "it"], unseen=["sw"], iterations=1))
    assert (TRANSLATION_TASKS, "") in files
    assert [lang for layout, lang in files if layout == ALPACA_REFERENCES] == ["en", "sw"]
    assert ("mgsm/mgsm_{lang}.jsonl", "it") not in files
    assert len(files) == len(set(files)) == 2 + 1 + 2 + 3 + 2
    assert {GSM8K} == {layout for layout, _ in files_needed(published(train_set="gsm8k")) if "gsm8k" in layout}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"languages": ["en", "sw"]}, "languages: the published data lacks alpagasus/iter0/sw.jsonl; change languages"),
        ({"languages": ["en", "it"], "train_set": "gsm8k"}, "lacks gsm8k/it.jsonl; change languages, or set data_dir"),
        ({"iterations": 3}, "iterations: there are training prompts for 2 only"),
        ({"data_dir": "/no/such/folder"}, "data_dir: /no/such/folder is not a folder"),
    ],
)
def test_what_is_not_published_is_refused(values: dict[str, Any], said: str) -> None:
    assert said in refusal(published(**values))


def test_a_folder_is_refused_for_each_thing_it_lacks(tmp_path: Path) -> None:
    def add(*names: str) -> None:
        for name in names:
            write_text(tmp_path / name, "")

    params = published(data_dir=str(tmp_path), languages=["en", "es"], unseen=["zh"], iterations=2)
    assert f"languages: {tmp_path} lacks alpagasus/iter0/en.jsonl, alpagasus/iter0/es.jsonl;" in refusal(params)
    add("alpagasus/iter0/en.jsonl", "alpagasus/iter0/es.jsonl")
    assert "iterations: there are training prompts for 1 only" in refusal(params)
    add("alpagasus/iter1/en.jsonl", "alpagasus/iter1/es.jsonl")
    assert "lacks alpagasus/translation_task_ids.json; add it" in refusal(params)
    add("alpagasus/translation_task_ids.json")
    assert "languages: none has mgsm/mgsm_<lang>.jsonl, of which one is needed;" in refusal(params)
    add("mgsm/mgsm_es.jsonl")
    assert "none has x-alpacaeval/prompts/<lang>.json" in refusal(params)
    add("x-alpacaeval/prompts/en.json", "x-alpacaeval/reference/es.json")
    assert "none has x-alpacaeval/reference/<lang>.json" in refusal(params), "that of the prompts is missing"
    add("x-alpacaeval/reference/en.json")
    assert check_languages(params) == {"mgsm": ["es"], "x_alpacaeval": ["en"]}
    assert unevaluated(params) == ["zh"]
    add("x-alpacaeval/prompts/zh.json")
    assert check_languages(params) == {"mgsm": ["es"], "x_alpacaeval": ["en", "zh"]}
    assert unevaluated(params) == []


def test_a_study_is_refused_before_it_leaves_anything(tmp_path: Path) -> None:
    values: dict[str, Any] = {"judge": "local", "judge_model": "models/micro", "unseen": []}
    params = StudyParams(source="published", languages=["en", "sw"], **values)
    with pytest.raises(InputError, match="lacks alpagasus/iter0/sw"):
        run_study(params, tmp_path / "out", cores=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"data_dir": "somewhere"}, "data_dir"),
        ({"train_set": "gsm8k"}, "train_set"),
        ({"source": "published", "arithmetic_share": 0.5}, "arithmetic_share"),
    ],
)
def test_keys_of_the_other_source_are_refused(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=f"{key}: has no meaning with source: "):
        DataParams(**values)


# Sources


PINNED = Source("mgsm", "CC BY-SA 4.0", "github.com/a/b", "0" * 40, {"mgsm/mgsm_en.jsonl": "1" * 64})


def test_a_file_that_changed_at_its_commit_is_refused(tmp_path: Path) -> None:
    run = Run.at(tmp_path)
    data_sets.check_unchanged(run, [PINNED])  # nothing recorded yet
    data_sets.write_sets(run, {}, [PINNED])
    data_sets.check_unchanged(run, [PINNED])
    other = replace(PINNED, sha256s={"mgsm/mgsm_en.jsonl": "2" * 64})
    with pytest.raises(InputError, match=r"mgsm/mgsm_en.jsonl: github.com/a/b@0{40} gave another file before; clear"):
        data_sets.check_unchanged(run, [other])
    data_sets.check_unchanged(run, [replace(other, revision="3" * 40)])


def test_a_folder_of_the_users_own_may_change(tmp_path: Path) -> None:
    run, mine = Run.at(tmp_path), replace(PINNED, revision=LOCAL)
    data_sets.write_sets(run, {}, [mine])
    data_sets.check_unchanged(run, [replace(mine, sha256s={"mgsm/mgsm_en.jsonl": "2" * 64})])


def test_the_micro_world_is_a_source_without_files() -> None:
    sets, sources = data_sets.draw_sets(DataParams(seed=3, prompts_per_iteration=4, mgsm_problems=2, alpaca_prompts=2))
    table = source_table([*sources, PINNED])
    assert table["revision"].tolist() == ["seed 3", "0" * 12]
    assert table["file"].tolist() == ["", "mgsm/mgsm_en.jsonl"]
    assert data_sets.gaps(sets, DataParams().all_languages) == ["every test set is complete in every language"]


# Real data, through the notebooks


def run_notebook(name: str, folder: Path, real_data: Path, **values: Any) -> int:
    base = {"study": "real", "run_dir": str(folder), "languages": TRAINED, "unseen": ["zh"]}
    own = {"source": "published", "data_dir": str(real_data)} if name == "01_data" else {"threads": 1}
    return execute(name, folder / "notebooks" / f"{name}.ipynb", base | own | values)


UNSEEN = ["zh", "ko", "te"]  # in both test sets, in X-AlpacaEval alone, in MGSM alone


def with_references(real_data: Path) -> list[str]:
    """Those of the languages that have reference answers in the folder."""
    folder = real_data / "x-alpacaeval" / "reference"
    return [lang for lang in [*TRAINED, "zh", "ko"] if (folder / f"{lang}.json").exists()]


@pytest.fixture(scope="module")
def real_run(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """01_data on the real files, a few rows of each."""
    folder = tmp_path_factory.mktemp("real")
    sizes = {"prompts_per_iteration": 8, "mgsm_problems": 5, "alpaca_prompts": 6}
    assert run_notebook("01_data", folder, real_data, unseen=UNSEEN, **sizes) == 0
    return Run.at(folder)


def test_real_sets_are_written_in_the_languages_they_have(real_run: Run, real_data: Path) -> None:
    every = [*TRAINED, *UNSEEN]
    expected = {
        "iteration0": (TRAINED, 8),
        "iteration1": (TRAINED, 8),
        "mgsm": ([*TRAINED, "zh", "te"], 5),
        "x_alpacaeval": ([*TRAINED, "zh", "ko"], 6),
    }
    for name, (languages, size) in expected.items():
        assert data_sets.languages_in_run(real_run, name, every) == languages
        by_language = data_sets.read_set(real_run, name, languages)
        assert {len(records) for records in by_language.values()} == {size}
        assert data_sets.misaligned(by_language) == []
        assert {path.stem for path in (real_run.data / name).iterdir()} == set(languages)
    alpaca = data_sets.read_set(real_run, "x_alpacaeval", expected["x_alpacaeval"][0])
    assert list(data_sets.referenced(alpaca)) == with_references(real_data)


def test_the_manifest_and_the_record_name_every_source(real_run: Run, real_data: Path) -> None:
    manifest = json.loads((real_run.data / "manifest.json").read_text())
    assert [source["set"] for source in manifest["counts"]["sources"]] == ["alpagasus", "mgsm", "x-alpacaeval"]
    assert manifest["counts"]["sources"][1]["licence"] == "CC BY-SA 4.0"
    recorded = json.loads((real_run.data / "sources.json").read_text())
    assert sum(len(source["sha256s"]) for source in recorded) == 5 * 2 + 1 + 7 + 7 + len(with_references(real_data))
    assert str(real_data) not in (real_run.data / "sources.json").read_text()


def test_the_notebook_says_what_is_missing(real_run: Run, real_data: Path) -> None:
    notebook = nbformat.read(real_run.root / "notebooks" / "01_data.ipynb", as_version=4)
    printed = "".join(out["text"] for cell in notebook.cells for out in cell.get("outputs", []) if "text" in out)
    bare = ", ".join(lang for lang in ("zh", "ko") if lang not in with_references(real_data))
    assert "mgsm: not in ko\nx_alpacaeval: not in te\n" in printed
    assert f"no reference answers in {bare}, which enter head to head only" in printed


def test_too_few_rows_are_refused(real_data: Path) -> None:
    params = published(data_dir=str(real_data), train_set="gsm8k", prompts_per_iteration=300)
    with pytest.raises(InputError, match=r"2 iterations of 300 take 600 prompts, but \S*gsm8k/en.jsonl has 500; lower"):
        data_sets.draw_sets(params)
    with pytest.raises(InputError, match=r"mgsm_problems: is 251, but the data have 250 for mgsm; lower it"):
        data_sets.draw_sets(published(data_dir=str(real_data), mgsm_problems=251))


def test_the_micro_model_answers_real_problems(real_run: Run, real_data: Path) -> None:
    """Levels and languages that a real test set lacks stop nothing."""
    values = {"unseen": UNSEEN, "base_model": "models/micro", "evaluation_max_new_tokens": 16}
    assert run_notebook("05b_answers", real_run.root, real_data, **values) == 0
    assert run_notebook("07_mgsm", real_run.root, real_data, **values) == 0
    results = pd.read_csv(real_run.stage(0, "mgsm") / "results.csv")
    assert set(results["lang"]) == {*TRAINED, "zh", "te", "avg"}
    assert set(results[~results["metric"].isin(["line_pass", "word_pass"])]["n"]) == {5}


def test_translation_tasks_reach_the_pairs(real_data: Path, tmp_path: Path) -> None:
    params = published(data_dir=str(real_data), languages=["en", "es"], iterations=1, prompts_per_iteration=1000)
    sets, sources = data_sets.draw_sets(params)
    ids = set(json.loads((real_data / "alpagasus/translation_task_ids.json").read_text()))
    few = {
        lang: [own for position, own in enumerate(records) if position < 3 or own["id"] in ids]
        for lang, records in sets["iteration0"].items()
    }
    run = Run.at(tmp_path)
    data_sets.write_sets(run, {"iteration0": few}, sources)
    write_text(
        run.data / "manifest.json",
        dumps({"stage": "01_data", "outputs": {}, "counts": {"languages": {"iteration0": list(few)}}}),
    )
    values = {"languages": ["en", "es"], "unseen": [], "base_model": "models/micro", "max_new_tokens": 8}
    assert run_notebook("02_generation", tmp_path, real_data, **values) == 0
    responses: dict[str, list[Any]] = {
        lang: [
            own | {"response": f"{lang} answer", "finished": True}
            for own in read_jsonl(run.stage(0, "responses") / f"{lang}.jsonl")
        ]
        for lang in params.languages
    }
    reply: list[Any] = [{"id": own["id"], "response": "translation</translated>"} for own in few["en"]]
    translations = {("en", "es"): reply, ("es", "en"): reply}
    pairs = build_pairs(responses, translations, PairsParams(languages=["en", "es"], unseen=[]))
    assert pairs.dropped == []
    spanish = {pair["id"]: pair["chosen"] for pair in pairs.kept if pair["lang"] == "es"}
    assert len(spanish) == 7 + 3
    assert {own for own, chosen in spanish.items() if chosen == "en answer"} == ids & spanish.keys()
    assert {chosen for own, chosen in spanish.items() if own not in ids} == {"translation"}


# Tables of test sets that lack languages


def write_scores(run: Run, task: str, languages: list[str], seed: int) -> None:
    test = TEST_SETS[task]
    rng = np.random.default_rng(seed)
    for t in (0, 1):
        rows = [
            {"id": f"{k}", "lang": lang, test.column: float(rng.random() < 0.3 + 0.4 * t)}
            for lang in languages
            for k in range(12)
        ]
        path = run.stage(t, task) / test.scores
        write_text(path, pd.DataFrame(rows).to_csv(index=False))


def test_gains_and_levels_use_the_languages_that_a_test_set_has(tmp_path: Path) -> None:
    run = Run.at(tmp_path)
    params = ReportParams(languages=["en", "es", "it"], unseen=["sw"], iterations=1, arms=[MAIN])
    write_scores(run, "mgsm", ["en", "es", "sw"], seed=1)
    write_scores(run, "x_alpacaeval", ["en"], seed=2)
    table = gains.gains([run], params)
    groups = {task: own["languages"].tolist() for task, own in table.groupby("task")}
    assert groups == {
        "mgsm": ["non-dominant (es only)", "dominant", "trained (en, es only)", "unseen"],
        "x_alpacaeval": ["dominant", "trained (en only)"],
    }
    trained = table[(table["task"] == "mgsm") & table["languages"].str.startswith("trained")].iloc[0]
    scores = [gains.problem_scores([run], "mgsm", MAIN, t)[["en", "es"]].to_numpy().mean() for t in (0, 1)]
    assert trained["ours"] == pytest.approx(100 * (scores[1] - scores[0]))
    assert gains.headline(table).startswith("MGSM M1 - M0 in the non-dominant languages: ")
    assert "no test set" in gains.headline(table[table["task"] == "x_alpacaeval"])
    assert set(gains.levels([run], params, "mgsm")["lang"]) == {"en", "es", "sw", "avg"}


# The table of test sets


def test_every_test_set_has_a_size_among_the_parameters_a_stage_and_figures_of_the_paper() -> None:
    for name, test in TEST_SETS.items():
        assert test.name == name
        assert test.size in DataParams.model_fields
        assert len(paper.values(name, test.paper_metric))
        assert test.micro.endswith(".")
        assert test.published.endswith(".")
    assert list(claims.CLAIM_NAMES.values()) == [
        "X-AlpacaEval win rate, average over the languages trained on",
        "MGSM accuracy, average over the languages trained on and the unseen ones",
        "MGSM accuracy in the language asked for (lc accuracy), average over the languages trained on and the unseen"
        " ones",
    ]
