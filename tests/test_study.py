"""The whole chain on params/smoke.yaml, as a user runs it: real notebooks, real models, papermill and Snakemake."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path

import nbformat
import pandas as pd
from conftest import Server
from conftest import run_smoke as run

from ldr_utils.commands.site import clean_html
from ldr_utils.scores.rows import COLUMNS
from ldr_utils.study.jsonl import read_jsonl
from ldr_utils.study.paths import ROOT
from ldr_utils.study.provenance import sha256

MODELS = ("M0", "M1", "M2")


def test_results_follow_the_contract(study: Path) -> None:
    results = pd.read_csv(study / "results.csv")
    assert list(results.columns) == COLUMNS
    assert set(results["study"]) == {"smoke"}
    assert set(results["arm"]) == {"lidr", "sft"}
    assert set(results["split"]) == {"train", "unseen", "all"}
    assert set(results["lang"]) == {"en", "es", "ru", "sw", "avg"}
    language = {"off_target", "undecided", "line_pass", "word_pass"}
    metrics = {task: set(group["metric"]) for task, group in results.groupby("task")}
    assert metrics["mgsm"] == {"accuracy", "lc_accuracy", "accuracy_phrase", "no_answer"} | language
    wins = {"win_rate", "lc_win_rate", "null_win_rate", "h2h_win", "h2h_tie", "h2h_lose"}
    beside = language | {"flip_rate", "length_difference", "refused", "unparsable", "failed"}
    assert metrics["x_alpacaeval"] == wins | beside
    assert metrics["translation"] == {"hit_rate", "length_ratio", "chrf_round_trip"}
    perplexities = {"perplexity", "perplexity_answers", "perplexity_translations"}
    assert metrics["tax"] == {*perplexities, "translation_accuracy"}
    assert metrics["reward"] <= {"accuracy", "self_generation", "self_translation"}
    pairs = {"pair_length_ratio", "pair_variety_ratio", "chosen_copied", "rejected_copied"}
    pairs |= {"chosen_repetition", "rejected_repetition"}
    assert metrics["words"] == pairs | {"length", "repetition", "copied", "length_ratio", "variety_ratio"}
    assert all(m == "kept" or m.startswith("dropped:") for m in metrics["attrition"])
    duels = results[results["metric"].str.startswith("h2h") & (results["arm"] == "lidr")]
    assert set(duels["model"]) == {"M1-vs-M0", "M2-vs-M0", "M2-vs-M1"}
    bounded = results.dropna(subset=["low"])
    assert ((bounded["low"] <= bounded["value"]) & (bounded["value"] <= bounded["high"])).all()
    keys = ["arm", "model", "task", "metric", "lang", "split"]
    assert not results.duplicated(keys).any()


def test_run_folder_follows_the_contract(study: Path) -> None:
    for model in MODELS:
        for task in ("mgsm", "x_alpacaeval"):
            assert (study / model / task / "manifest.json").is_file()
    for model in MODELS[:-1]:
        assert {p.stem for p in (study / model / "responses").glob("*.jsonl")} == {"en", "es", "ru"}
        directions = {p.stem for p in (study / model / "translations").glob("*.jsonl")}
        assert directions == {"en-es", "en-ru", "es-en", "ru-en"}
        assert (study / model / "pairs" / "train.jsonl").is_file()
        assert (study / model / "pairs" / "dropped.jsonl").is_file()
    for model in MODELS[1:]:
        assert (study / model / "adapter" / "adapter_model.safetensors").is_file()
        assert read_jsonl(study / model / "training.jsonl")[0].keys() >= {"step", "loss", "dpo", "nll"}
    assert (study / "params.yaml").is_file()
    assert not list(study.rglob("*.partial"))


def test_every_prompt_becomes_a_pair_or_a_dropped_row(study: Path) -> None:
    for model in MODELS[:-1]:
        pairs = study / model / "pairs"
        kept = read_jsonl(pairs / "train.jsonl")
        dropped = [json.loads(line) for line in (pairs / "dropped.jsonl").read_text().splitlines()]
        keys = [(row["id"], row["lang"], row["via"]) for row in kept + dropped]
        assert len(keys) == len(set(keys)) == 8 * 2 * 2


def test_notebooks_were_executed_in_full(study: Path) -> None:
    notebooks = list((study / "notebooks").rglob("*.ipynb"))
    assert len(notebooks) == 29
    for path in notebooks:
        code = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        assert all(cell.execution_count for cell in code), path
        assert not [out for cell in code for out in cell.outputs if out.output_type == "error"], path


def test_index_links_every_notebook_and_loads_nothing_from_elsewhere(study: Path) -> None:
    index = (study / "report" / "index.html").read_text()
    pages = list((study / "report" / "notebooks").rglob("*.html"))
    assert len(pages) == 29
    for page in pages:
        assert page.relative_to(study / "report").as_posix() in index
    assert "http://" not in index
    assert "https://" not in index


def test_manifests_say_where_numbers_come_from(study: Path) -> None:
    manifest = json.loads((study / "M1" / "adapter" / "manifest.json").read_text())
    assert manifest["params"]["beta"] == 0.1
    assert any("pairs/manifest.json" in name for name in manifest["inputs"])
    assert "adapter_model.safetensors" in manifest["outputs"]
    assert manifest["packages"]["trl"]
    assert manifest["seconds"] > 0


def test_a_second_run_does_nothing(study: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in study.rglob("manifest.json")}
    assert run(study).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in study.rglob("manifest.json")} == before


def test_colab_notebook_shows_the_report_of_a_finished_study(study: Path, tmp_path: Path) -> None:
    """Anywhere: without Colab its first cell does nothing, and a finished study is not run again."""
    import papermill

    before = {path: path.stat().st_mtime_ns for path in study.rglob("manifest.json")}
    values = {"params_file": "params/smoke.yaml", "out": str(study), "save_to_drive": False}
    done = papermill.execute_notebook(
        ROOT / "notebooks" / "colab.ipynb", tmp_path / "colab.ipynb", values, progress_bar=False, cwd=ROOT / "notebooks"
    )
    assert {path: path.stat().st_mtime_ns for path in study.rglob("manifest.json")} == before
    outputs = [out for cell in done.cells for out in cell.get("outputs", [])]
    printed = "".join(out["text"] for out in outputs if out.output_type == "stream")
    assert "Verdict: this study can run here" in printed
    assert f"Numbers: {study / 'results.csv'}" in printed
    frame = outputs[-1]["data"]["text/html"]
    assert frame.startswith("<div><iframe sandbox srcdoc=")
    page = html.unescape(frame)
    assert frame.count("<") == 4, "the page is not escaped"
    assert page.count("<table") >= 3
    assert page.count("data:image/png;base64") >= 3


def test_a_run_folder_that_was_moved_is_complete(study: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(study, moved)
    done = run(moved)
    assert done.returncode == 0
    assert "started" not in done.stderr


COSTLY = ("responses/*.jsonl", "translations/*.jsonl", "adapter/*.safetensors", "training.jsonl", "answers/*/*.jsonl")


def costly(run_dir: Path) -> dict[str, int]:
    """When each file was written that cost a model's time."""
    found = [path for pattern in COSTLY for path in run_dir.rglob(pattern)]
    return {path.relative_to(run_dir).as_posix(): path.stat().st_mtime_ns for path in found}


def test_another_judge_costs_verdicts_and_nothing_else(
    study: Path, tmp_path: Path, servers: tuple[Server, Server]
) -> None:
    out = tmp_path / "judged"
    shutil.copytree(study, out)
    before = costly(out)
    assert {"M0/responses/es.jsonl", "M0/translations/en-ru.jsonl", "M2/answers/mgsm/sw.jsonl"} <= set(before)
    assert {"M2/training.jsonl", "arms/sft/M1/adapter/adapter_model.safetensors"} <= set(before)
    judge = ["judge=openai", "judge_model=m", f"judge_url={servers[0].url}"]
    done = run(out, *(word for change in judge for word in ("--set", change)))
    assert done.returncode == 0, done.stderr
    started = {
        line.split("] started")[0].split()[-1].strip("[") for line in done.stderr.splitlines() if "started" in line
    }
    assert started == {"04b_premise", "06_x_alpacaeval", "08_report"}
    assert costly(out) == before
    assert (out / "judge_cache.jsonl").exists()
    asked = len(servers[0].keys)
    words = ["--set", "judge_concurrency=2", *(word for change in judge for word in ("--set", change))]
    again = run(out, *words)
    assert again.returncode == 0, again.stderr
    assert len(servers[0].keys) == asked, "what was judged is not asked again"
    assert costly(out) == before


def test_the_same_seed_gives_the_same_results(study: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert run(again).returncode == 0
    assert (again / "results.csv").read_text() == (study / "results.csv").read_text()


def test_a_changed_parameter_runs_its_stages_again_and_no_others(study: Path, tmp_path: Path) -> None:
    finished, study = study, tmp_path / "changed"  # the other tests want it as it is
    shutil.copytree(finished, study)
    untouched = study / "M0" / "responses" / "manifest.json"
    retrained = study / "M1" / "adapter" / "manifest.json"
    before = untouched.stat().st_mtime_ns, retrained.stat().st_mtime_ns
    assert run(study, "--set", "beta=0.2", "--until", "training").returncode == 0
    assert untouched.stat().st_mtime_ns == before[0]
    assert retrained.stat().st_mtime_ns > before[1]
    assert json.loads(retrained.read_text())["params"]["beta"] == 0.2


def test_a_failed_stage_names_notebook_cell_and_cause(tmp_path: Path) -> None:
    out = tmp_path / "broken"
    assert run(out, "--until", "data").returncode == 0
    broken, manifest = out / "data" / "iteration0" / "es.jsonl", out / "data" / "manifest.json"
    broken.write_text("not json\n")
    record = json.loads(manifest.read_text())
    record["outputs"]["iteration0/es.jsonl"] = sha256(broken)  # or it would be repaired
    manifest.write_text(json.dumps(record))
    done = run(out, "--until", "generation")
    assert done.returncode == 1
    assert "02_generation" in done.stderr
    assert "failed in cell" in done.stderr
    assert "es.jsonl: line 1 is not JSON" in done.stderr


def test_pages_run_no_script_and_reduce_markup_of_the_model(study: Path) -> None:
    for page in (study / "report" / "notebooks").rglob("*.html"):
        assert "default-src 'none'" in page.read_text(encoding="utf-8")[:600]
    hostile = (
        '<table><tr><td style="position:fixed;text-align:left" onclick="f()">a<script>f()</script></td></tr></table>'
    )
    cleaned = clean_html(hostile + '<img src="https://x.test/y"><a href="javascript:f()">b</a>')
    assert "<td" in cleaned
    assert "text-align" in cleaned
    assert not [bad for bad in ("script", "onclick", "position", "img", "f()") if bad in cleaned]
