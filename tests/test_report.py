"""The report's tables by hand, and its figures."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import Rectangle

from ldr_utils.commands import compare
from ldr_utils.data.test_sets import TEST_SETS
from ldr_utils.report import claims, figures, gains, rewarded, show, tables
from ldr_utils.scores.rows import COLUMNS, Rows
from ldr_utils.study.arms import MAIN
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.params import PER_RUN, ArmParams, ReportParams, StudyParams
from ldr_utils.study.paths import Run
from ldr_utils.study.stage import open_stage
from ldr_utils.study.stages import places

LANGUAGES = ["en", "es"]


def rows(task: str, metric: str, values: dict[tuple[str, str, str], float], arm: str = MAIN) -> pd.DataFrame:
    """Values by (model, language, split), each with bounds 0.01 around it."""
    base = {"study": "s", "arm": arm, "seed": 0, "task": task, "metric": metric, "n": 9}
    found = [
        base | {"model": m, "lang": lang, "split": split, "value": x, "low": x - 0.01, "high": x + 0.01}
        for (m, lang, split), x in values.items()
    ]
    return pd.DataFrame(found)[COLUMNS]


def scored(folder: Path, seed: int = 0, right: int = 1) -> tuple[Run, ReportParams]:
    """M1 solves nine of ten Spanish problems, M0 one of them (or as told), and both all English ones."""
    run = Run.at(folder)
    params = ReportParams(languages=LANGUAGES, unseen=["it"], iterations=1, arms=[MAIN], seed=seed)
    for t, solved in ((0, right), (1, 9)):
        scores = {"en": [1.0] * 10, "es": [1.0] * solved + [0.0] * (10 - solved), "it": [0.0] * 10}
        for task, test in TEST_SETS.items():
            flat = [(str(k), lang, x, x) for lang, own in scores.items() for k, x in enumerate(own)]
            table = pd.DataFrame(flat, columns=["id", "lang", test.column, "off_target"])
            table = table.assign(lc_accuracy=table[test.column], undecided=0.0)
            for file in {test.scores, test.checks}:
                write_text(run.stage(t, task) / file, table.to_csv(index=False))
    return run, params


def test_paper_claims_are_those_of_the_abstract() -> None:
    assert gains.paper_gain("x_alpacaeval", "trained", "M2", "M0") == pytest.approx(7.46, abs=0.005)
    assert gains.paper_gain("mgsm", "all", "M2", "M0") == pytest.approx(13.9, abs=0.05)


def test_claims_by_hand(tmp_path: Path) -> None:
    run, params = scored(tmp_path)
    found = claims.claims([run], params).set_index("metric")
    assert found.loc["win_rate", "ours"] == pytest.approx(40)  # (0 + 80) / 2: en and es
    assert found.loc["accuracy", "ours"] == pytest.approx(80 / 3)  # en, es and the unseen it
    assert found.loc["lc_accuracy", "ours"] == pytest.approx(80 / 3)
    text = claims.claims_markdown(found.reset_index(), "s")
    paper, ours = text.split("**OURS**")
    assert "+7.46" in paper
    assert "+13.94" in paper
    assert "+40.00" in ours
    assert "(lc accuracy), average over the languages trained on and the unseen ones (the paper has no such" in paper
    assert [line.split(" | ")[-1] for line in paper.splitlines() if "no such figure" in line] == [" |"]
    assert "+7.46" not in ours


def test_significance_is_corrected_across_languages(tmp_path: Path) -> None:
    run, params = scored(tmp_path)
    found = claims.significance([run], params)
    own = found[found["metric"] == "accuracy"].set_index("lang")
    assert list(own.index) == ["en", "es", "it"]
    assert own["shown"].to_dict() == {"en": "no", "es": "up", "it": "no"}
    assert own["p"].to_dict()["es"] == pytest.approx(3 * own["p_single"].to_dict()["es"])
    assert "| mgsm | accuracy | M1 - M0 | +0.0 n.s. | +80.0 up | +0.0 n.s. |" in claims.significance_markdown(found)
    assert claims.risen(found).startswith("mgsm M1 - M0, es: +80.0 (")  # the fixture has every right answer off target
    assert "x_alpacaeval M1 - M0, es" in claims.risen(found)
    assert claims.risen(found[found["metric"] != "off_target"]) == "none"


def test_a_run_of_an_earlier_version_is_refused_in_one_line(tmp_path: Path) -> None:
    run, params = scored(tmp_path)
    path = run.stage(0, "mgsm") / "scores.csv"
    write_text(path, pd.read_csv(path).drop(columns="lc_accuracy").to_csv(index=False))
    with pytest.raises(
        InputError, match=r"M0/mgsm/scores.csv: has no column lc_accuracy.*go on with that run"
    ) as error:
        claims.claims([run], params)
    assert "\n" not in str(error.value)


def spoken(metric: str, model: str, value: float, margin: float = 0.1) -> pd.DataFrame:
    own = rows("words", metric, {(model, "avg", "train"): value, (model, "es", "train"): value})
    return own.assign(low=value - margin, high=value + margin)


def test_what_may_have_been_rewarded_is_read_off_the_intervals() -> None:
    """Length went with the pairs, copies too; repetition only in the pairs, variety in neither."""
    parts = [spoken("pair_length_ratio", "M0", 1.3), spoken("length_ratio", "M2-vs-M0", 1.2)]
    parts += [spoken("pair_variety_ratio", "M0", 1.05), spoken("variety_ratio", "M2-vs-M0", 0.8)]
    for metric, chosen, rejected, last, first in (("repetition", 0.8, 0.2, 0.5, 0.5), ("copied", 0.1, 0.4, 0.2, 0.5)):
        parts += [spoken(f"chosen_{metric}", "M0", chosen), spoken(f"rejected_{metric}", "M0", rejected)]
        parts += [spoken(metric, "M2", last), spoken(metric, "M0", first)]
    found = rewarded.table(pd.concat([*parts, spoken("length_ratio", "M1-vs-M0", 9.0)]), 2)
    text = rewarded.said(found)
    assert "- **length**: chosen / rejected (M0) 1.300 (1.200 to 1.400), M2 / M0 1.200 (1.100 to 1.300)\n" in text
    assert "chosen sides in length (more), lines copied from the dominant answer (less): where a judge" in text
    assert "In none of these" in rewarded.said(found[found["measure"] == "repetition"])
    assert "no words" in rewarded.said(found.head(0))
    panels = figures.words(found[found["lang"] != "avg"], "t").axes
    assert [axes.get_title().replace("\n", " ") for axes in panels] == [
        *rewarded.RATIOS.values(),
        *rewarded.SHARES.values(),
    ]


def test_win_rates_that_no_length_control_could_be_had_of_are_named() -> None:
    rates = {("M0", "es", "train"): float("nan"), ("M0", "en", "train"): 0.5, ("M0", "avg", "train"): float("nan")}
    table = rows("x_alpacaeval", "lc_win_rate", rates)
    assert re.match("No length-controlled rate of M0 in es: fewer than 2 verdicts", tables.uncontrolled(table))
    assert tables.uncontrolled(table.dropna()) == ""


def test_right_answers_off_target_stand_on_the_bars_of_the_others() -> None:
    shares = {"accuracy": 0.9, "lc_accuracy": 0.6}
    parts = [rows("mgsm", metric, {("M0", "es", "train"): share}) for metric, share in shares.items()]
    bars = [
        bar.get_bbox() for bar in figures.joint(pd.concat(parts), "t").axes[0].patches if isinstance(bar, Rectangle)
    ]
    assert [(bar.y0, bar.y1) for bar in bars] == [(0, pytest.approx(0.6)), (0.6, pytest.approx(0.9))]


@pytest.mark.parametrize(("p", "difference", "said"), [(0.05, 3, "no"), (0.049, 3, "up"), (0.001, -3, "down")])
def test_shown(p: float, difference: float, said: str) -> None:
    assert gains.shown(p, difference) == said


def test_versus_by_hand() -> None:
    table = rows(
        "mgsm", "accuracy", {("M0", "en", "train"): 0.8, ("M0", "it", "unseen"): 0.5, ("M0", "avg", "train"): 0.6}
    )
    table = pd.concat([table, rows("mgsm", "accuracy", {("M1", "en", "train"): 0.9}, arm="no_nll")])
    found = tables.versus(table, "mgsm", "accuracy", ["en", "it"])
    assert list(found.columns) == ["en", "it", "avg train"]
    assert pd.DataFrame(found.loc["M0"]).to_dict("index") == {
        "PAPER": {"en": "70.0", "it": "", "avg train": "51.5"},
        "OURS": {"en": "80.0", "it": "50.0", "avg train": "60.0"},
        "95 % interval": {"en": "79.0 to 81.0", "it": "49.0 to 51.0", "avg train": "59.0 to 61.0"},
        "ours - paper": {"en": "+10.0", "it": "", "avg train": "+8.5"},
    }
    assert list(found.loc["no NLL"].index) == ["OURS", "95 % interval"]


def test_duels_by_hand() -> None:
    shares = {"h2h_win": 0.4, "h2h_tie": 0.5, "h2h_lose": 0.1}
    table = pd.concat([rows("x_alpacaeval", m, {("M1-vs-M0", "es", "train"): x}) for m, x in shares.items()])
    found = tables.duels_versus(table, LANGUAGES)
    assert dict(zip(found.loc["M1-vs-M0"].index, found["es"], strict=True)) == {
        "PAPER": "41.2/41.0/17.8",
        "OURS": "40.0/50.0/10.0",
        "wins, 95 %": "39.0 to 41.0",
        "wins, diff.": "-1.2",
    }


def test_a_run_without_some_rows_has_empty_tables() -> None:
    table = rows("mgsm", "accuracy", {("M0", "en", "train"): 0.8})
    assert tables.premise(table, LANGUAGES).empty
    assert tables.judge_table(table, LANGUAGES).empty
    assert tables.grid(table, "tax", [], LANGUAGES).empty
    assert tables.duels_versus(table, LANGUAGES).empty


def test_tax_shows_every_metric_by_language() -> None:
    table = pd.concat(
        [rows("tax", m, {("M0", "en", "train"): 0.5, ("M1", "en", "train"): 0.25}) for m in ("perplexity", "other")]
    )
    found = tables.grid(table, "tax", [], LANGUAGES)
    assert found.loc[("perplexity", "M1"), "en"] == "0.250 (0.240 to 0.260)"
    assert set(found.index.get_level_values("metric")) == {"perplexity", "other"}


def test_judge_table_is_in_percent_but_for_lengths_and_counts() -> None:
    values = {"win_rate": 0.5, "flip_rate": 0.1, "length_difference": 12.0, "refused": 3.0}
    table = pd.concat([rows("x_alpacaeval", m, {("M0", "en", "train"): x}) for m, x in values.items()])
    found = tables.judge_table(table, LANGUAGES)
    expected = {"win_rate": 50.0, "flip_rate": 10.0, "length_difference": 12.0, "refused": 3.0}
    assert found.to_dict("index") == {("M0", "en"): expected}


@pytest.mark.parametrize("values", [{"source": "micro"}, {"source": "published", "judge": "local", "judge_model": "m"}])
def test_every_section_says_what_deviates(values: dict[str, Any]) -> None:
    found = tables.deviations(values | {"base_model": "b"})
    assert set(found) == {"x_alpacaeval", "mgsm", "premise", "mt_bench"}
    assert all(line.startswith("*Deviates:* model `b`") for line in found.values())


@given(st.lists(st.floats(0, 1), max_size=12))
def test_labels_are_kept_apart_in_their_order(values: list[float]) -> None:
    found = figures.apart(values, 0.05)
    order = sorted(range(len(values)), key=values.__getitem__)
    places = [found[k] for k in order]
    assert all(b - a >= 0.05 - 1e-9 for a, b in pairwise(places))


def test_labels_that_do_not_touch_stay() -> None:
    assert figures.apart([0.9, 0.1, 0.5], 0.05) == [0.9, 0.1, 0.5]
    assert figures.apart([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])


def test_figure_of_gains_has_every_comparison(tmp_path: Path) -> None:
    run, params = scored(tmp_path)
    table = gains.titled(gains.gains([run], params))
    figure = figures.gain_intervals(table, "Gains")
    assert [axes.get_title() for axes in figure.axes] == ["MGSM", "X-AlpacaEval"]
    for axes in figure.axes:
        labels = [text.get_text() for text in axes.get_yticklabels()]
        assert labels == [f"M1 - M0, {name}" for name in ("non-dominant", "dominant", "trained", "unseen")]


SEEN = ["lang", "model", "metric", "value", "low", "high", "split", "task", "step", "languages", "ours", "paper"]
SEEN += ["arm", "label", "panel", "self_generation", "self_translation", "dpo", "nll", "margin", "accuracy", "tokens"]
SEEN += ["measure", "whose", "ratio"]
EMPTY = pd.DataFrame(columns=SEEN)
MISSING = pd.DataFrame({name: [float("nan")] for name in SEEN}).assign(lang="es", model="M0", split="trained")


@pytest.mark.parametrize(
    "figure",
    [
        lambda table: figures.lengths(table, "tokens", "model", "Nothing", "x"),
        lambda table: figures.lengths(table, "tokens", None, "Nothing", "x"),
        lambda table: figures.bars(table, "accuracy", "step", "Nothing", "y"),
        lambda table: figures.premise(table, "Nothing"),
        lambda table: figures.training_curves(table, "Nothing"),
        lambda table: figures.head_to_head(table, "Nothing"),
        lambda table: figures.model_lines(table, "Nothing", "y"),
        lambda table: figures.joint(table, "Nothing"),
        lambda table: figures.off_target(table, "Nothing"),
        lambda table: figures.words(table, "Nothing"),
    ],
)
@pytest.mark.parametrize("table", [EMPTY, MISSING], ids=["empty", "missing"])
def test_a_figure_of_nothing_is_a_figure(figure: Any, table: pd.DataFrame, tmp_path: Path) -> None:
    figures.save_figure(figure(table), tmp_path / "figure.png")


def test_figures_of_an_empty_report() -> None:
    assert figures.gain_intervals(EMPTY, "Gains").axes[0].get_title() == "Gains"
    assert figures.arm_levels(EMPTY, "Arms").axes[0].get_title() == "Arms"


def test_bars_and_boxes_are_told_apart_by_a_pattern() -> None:
    table = pd.DataFrame({"lang": ["en", "en", "es", "es"], "words": [1.0, 2, 3, 4], "side": ["a", "b"] * 2})
    for figure in (figures.lengths(table, "words", "side", "t", "x"), figures.bars(table, "words", "side", "t", "y")):
        legend = figure.axes[0].get_legend()
        assert legend is not None
        patterns = [getattr(handle, "get_hatch")() for handle in legend.legend_handles]  # noqa: B009
        assert len(set(patterns)) == 2


def test_levels_of_one_run_are_the_rows_that_its_notebook_wrote(tmp_path: Path) -> None:
    run, params = scored(tmp_path)
    scores = pd.read_csv(run.stage(1, "mgsm") / "scores.csv")
    written = Rows(ArmParams(t=1, languages=LANGUAGES, unseen=["it"], seed=params.seed), "mgsm")
    written.add("accuracy", scores)
    levels = gains.levels([run], params, "mgsm")
    assert levels[levels["model"] == "M1"].to_dict("records") == written.rows


def test_levels_of_several_seeds_are_of_all_their_problems(tmp_path: Path) -> None:
    runs = [scored(tmp_path / name, right=right)[0] for name, right in (("a", 1), ("b", 5))]
    levels = gains.levels(runs, scored(tmp_path / "a")[1], "mgsm", "off_target")
    own = levels[(levels["model"] == "M0") & (levels["lang"] == "es")].iloc[0]
    assert (own["metric"], own["value"], own["n"]) == ("off_target", pytest.approx(0.3), 20)


def test_means_are_over_the_seeds() -> None:
    parts = [
        rows(task, metric, {("M0", "es", "train"): x, ("M1", "es", "train"): 0.5}).assign(seed=seed)
        for task, metric in (("x_alpacaeval", "off_target"), ("x_alpacaeval", "win_rate"), ("mgsm", "accuracy"))
        for seed, x in {1: 0.2, 2: 0.4}.items()
    ]
    other = rows("x_alpacaeval", "failed", {("M0", "es", "train"): 2})
    found = tables.means(pd.concat([*parts, other]), LANGUAGES)
    order = [("mgsm", "accuracy"), ("x_alpacaeval", "win_rate"), ("x_alpacaeval", "off_target")]
    assert list(found.index) == [(*key, model) for key in order for model in ("M0", "M1")]
    assert found["es"].tolist() == pytest.approx([0.3, 0.5] * 3)
    assert tables.without_verdict(pd.concat([other, other])) == "0 refused, 0 unparsable, 4 failed"


def test_a_table_is_markdown_whose_index_does_not_repeat_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(show, "display", seen.append)
    index = pd.MultiIndex.from_tuples(
        [("a", "M0", "x"), ("a", "M0", "y"), ("a", "M1", "y"), ("b", "M1", "y")], names=["metric", "model", ""]
    )
    show.table(pd.DataFrame({"en": [1.0, 2.25, float("nan"), 4.0]}, index), 2)
    assert seen.pop().data.splitlines() == [
        "| metric | model |  | en |",
        "|---|---|---|---|",
        "| a | M0 | x | 1.00 |",
        "|  |  | y | 2.25 |",
        "|  | M1 | y |  |",
        "| b | M1 | y | 4.00 |",
    ]
    show.table(pd.DataFrame({"en": [1]}))
    assert seen.pop().data == "| en |\n|---|\n| 1 |"
    show.table(pd.DataFrame(), empty="*nothing*")
    assert seen.pop().data == "*nothing*"


HOSTILE = "<script>alert(1)</script><style>x</style> ![image](https://example.org/x.png) [link](javascript:alert(1))"


def finished(folder: Path, seed: int) -> Run:
    """A run that is complete as far as the report can tell; its model wrote nothing but marks."""
    run, _ = scored(folder, seed)
    study = StudyParams(study="s", seed=seed, languages=LANGUAGES, unseen=["it"], iterations=1, arms=["lidr"])
    write_text(run.params, json.dumps(study.model_dump(exclude=PER_RUN)))
    models = {(model, lang, "train"): 0.1 for model in ("M0", "M1") for lang in LANGUAGES}
    duels = [rows("x_alpacaeval", metric, {("M1-vs-M0", "es", "train"): 0.3}) for metric in tables.OUTCOMES]
    stages = {
        "M1/mgsm": [rows("mgsm", "accuracy", models)],
        "M1/x_alpacaeval": [rows("x_alpacaeval", "win_rate", models), *duels],
    }
    for name, tables_of_stage in stages.items():
        table = pd.concat(tables_of_stage).assign(seed=seed)
        write_text(run.root / name / "results.csv", table.to_csv(index=False))
    write_text(run.results, "written by the report\n")
    pair = {"lang": "es", "prompt": HOSTILE, "chosen": HOSTILE, "rejected": "x"}
    write_text(run.pairs(0) / "train.jsonl", json.dumps(pair) + "\n")
    curve = pd.DataFrame({"step": [1, 2], "dpo": [1.0, 2.0], "nll": 1.0, "margin": 1.0, "accuracy": 1.0})
    figures.save_figure(figures.training_curves(curve, "M1"), run.figures / "training_M1.png")
    for place in places(study):
        write_text(run.root / place.manifest, json.dumps({"stage": place.stage.notebook, "outputs": {}}))
    noted = {"input_path": "/home/me/clone/notebooks/01_data.ipynb", "parameters": {"run_dir": "/home/me/first"}}
    cells = ["/home/me/clone/ldr_utils/figures.py:3: a warning", f"{sys.prefix}/lib/x.py:1: other", "/home/me/first/M0"]
    for name in ("M0/01_data", "M1/08_report"):
        text = json.dumps({"metadata": {"papermill": noted}, "cells": cells})
        write_text(run.root / "notebooks" / f"{name}.ipynb", text)
    return run


def test_the_report_starts_from_every_stage_of_every_run(tmp_path: Path) -> None:
    runs = [finished(tmp_path / name, seed) for seed, name in enumerate(("first", "second"), 1)]
    given = {"run_dir": str(tmp_path / "own"), "runs": [str(run.root) for run in runs]}
    values = gains.read_params(runs[0]).model_dump() | given
    read = {path for path in tmp_path.glob("*/**/manifest.json") if "report" not in path.parts}
    assert len(read) == 2 * len([*places(gains.study(runs[0]))]) - 2
    assert {*open_stage("08_report", values).inputs} == read
    assert {*open_stage("08_report", values | {"runs": [], "run_dir": str(runs[0].root)}).inputs} == {
        path for path in read if path.is_relative_to(runs[0].root)
    }
    (runs[1].root / "M1/mgsm/manifest.json").unlink()
    with pytest.raises(InputError, match=r"second/M1/mgsm/manifest\.json: no such file; run 07_mgsm first"):
        open_stage("08_report", values)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The report of two seeds, and what was printed; the runs and the folder for temporary files stay as they were."""
    folder = tmp_path_factory.mktemp("compare")
    runs = [finished(folder / name, seed) for seed, name in enumerate(("first", "second"), 1)]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    scratch = tmp_path_factory.mktemp("scratch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(scratch))
        said = compare.compare([run.root for run in runs], tmp_path_factory.mktemp("out") / "report")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert list(scratch.iterdir()) == []
    return next(tmp_path_factory.getbasetemp().glob("out*/report")), said


def test_compare_writes_a_report_of_several_seeds(published: tuple[Path, str]) -> None:
    out, said = published
    page = (out / "README.md").read_text(encoding="utf-8")
    assert page.startswith("# Study `s`: what came out\n")
    assert "Seeds 1, 2: each draws" in page
    assert all(block in page for block in said.split("\n\n"))
    assert "| mean | 40.00 | 26.67 | 26.67 |" in page
    assert "| standard deviation over seeds | 0.00 | 0.00 | 0.00 |" in page
    assert len(pd.read_csv(out / "results.csv")) == 2 * (4 + 4 + 3)
    sections = re.findall("^## (.+)$", page, re.M)
    assert sections[0] == "The claims of the abstract"
    assert sections[-1] == "Files"
    assert "Examples" not in sections
    assert "**Observation.**" in page


def test_the_page_has_no_code_and_every_link(published: tuple[Path, str]) -> None:
    out, _ = published
    page = (out / "README.md").read_text(encoding="utf-8")
    assert not re.search(r"```|^    |^import |(show|gains)\.\w+\(|<div|<table|<style", page, re.M)
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {*links, "README.md"}
    shown = re.findall(r"!\[([^]]+)\]\(figures/(\w+)\.png\)\n\n\*\1\.\*\n", page)
    named = {"gains", "x_alpacaeval_win_rate", "x_alpacaeval_off_target", "head_to_head", "mgsm_accuracy", "mgsm_joint"}
    named |= {"mgsm_off_target", "words", "arms", "training_M1"}
    assert {name for _, name in shown} == named
    assert "![Training into M1 (first seed)](figures/training_M1.png)" in page


def test_nothing_that_a_model_wrote_is_on_the_page(published: tuple[Path, str]) -> None:
    out, _ = published
    page = (out / "README.md").read_text(encoding="utf-8")
    assert not re.search("<script|<style|javascript:|example\\.org", page)
    assert "&lt;script&gt;alert(1)" in (out / "notebooks" / "08_report.ipynb").read_text(encoding="utf-8")


def test_published_notebooks_tell_nothing_of_the_machine(published: tuple[Path, str]) -> None:
    out, _ = published
    assert {path.relative_to(out / "notebooks").as_posix() for path in out.rglob("*.ipynb")} == {
        "08_report.ipynb",
        "M0/01_data.ipynb",
    }
    copied = json.loads((out / "notebooks" / "M0" / "01_data.ipynb").read_text(encoding="utf-8"))
    assert copied["metadata"]["papermill"]["input_path"] == "notebooks/01_data.ipynb"
    assert copied["cells"] == ["ldr_utils/figures.py:3: a warning", "lib/x.py:1: other", "first/M0"]
    text = (out / "notebooks" / "08_report.ipynb").read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|tmp|Users|work)/", text)
    given = json.loads(text)["metadata"]["papermill"]["parameters"]
    assert (given["run_dir"], given["runs"]) == ("s", ["first", "second"])


@pytest.mark.parametrize(
    ("translated", "said"),
    [
        ({"es": 6.0, "ru": 6.0}, "**The premise holds here**: .* in es, ru; 15 of 18 possible pairs"),
        ({"es": 6.0, "ru": 5.01}, "**The premise holds in part**: .* in es, not in ru; 15 of 18 possible pairs"),
        ({"es": 5.0}, "**The premise is not shown here**: .* no non-dominant language, and 15 of 18 possible pairs"),
    ],
)
def test_premise_is_judged_by_intervals(translated: dict[str, float], said: str) -> None:
    parts = [
        rows("reward", "self_generation", {("M0", lang, "train"): 5.0 for lang in ("en", "es", "ru")}),
        rows("reward", "self_translation", {("M0", lang, "train"): x for lang, x in translated.items()}),
        rows("attrition", "kept", {("M0", "es", "train"): 8, ("M0", "ru", "train"): 7}),
    ]
    params = ReportParams(languages=["en", "es", "ru"], unseen=[])
    assert re.match(said.replace("*", r"\*").replace(r".\*", ".*"), claims.premise_markdown(pd.concat(parts), params))
