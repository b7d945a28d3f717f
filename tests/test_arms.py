"""The arms: what each of them changes, what they share, and how they stand against the method."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from ldr_utils.data.test_sets import TEST_SETS
from ldr_utils.method.pairs import build_pairs
from ldr_utils.report import figures, gains, tables
from ldr_utils.study.arms import ARMS, MAIN
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.params import (
    NOTEBOOKS,
    PER_RUN,
    PairsParams,
    ReportParams,
    StudyParams,
    TrainingParams,
    load_params,
)
from ldr_utils.study.paths import ROOT, Run

EVERY = list(ARMS)
OWN_PAIRS = ["non_dominant_pairs", "dominant_pairs", "no_equal_pairs", "last_dominant_pairs"]


def test_an_arm_changes_parameters_of_its_stage_only() -> None:
    pairs = set(PairsParams.model_fields) - set(NOTEBOOKS["02_generation"].model_fields)
    training = set(TrainingParams.model_fields) - set(NOTEBOOKS["02_generation"].model_fields)
    for name, arm in ARMS.items():
        assert set(arm.pairs) <= pairs, name
        assert set(arm.training) <= training, name
        assert "\n" not in arm.description
    assert len({arm.label for arm in ARMS.values()}) == len(ARMS)
    assert ARMS[MAIN].overrides == {}


@pytest.mark.parametrize("arm", EVERY)
def test_notebooks_are_given_what_the_arm_says(arm: str) -> None:
    study = StudyParams(arms=EVERY, alpha=4.0)
    for name in ("04_pairs", "05_qlora_dpo"):
        changed = ARMS[arm].pairs if name == "04_pairs" else ARMS[arm].training
        assert study.for_notebook(name, arm) == study.for_notebook(name) | dict(changed)


# Two prompts in English, Spanish and German; the Spanish answer of the second equals the translated English one.
RESPONSES: dict[str, list[Any]] = {
    lang: [{"id": k, "prompt": f"{lang}? {k}", "response": f"{lang}! {k}", "finished": True} for k in "12"]
    for lang in ("en", "es", "de")
}
TRANSLATIONS: dict[tuple[str, str], list[Any]] = {
    pair: [{"id": k, "response": f"{pair[0]}>{pair[1]} {k}</translated>"} for k in "12"]
    for pair in (("en", "es"), ("en", "de"), ("es", "en"), ("de", "en"))
}
TRANSLATIONS["en", "es"][1] = {"id": "2", "response": "es! 2</translated>"}
ES, DE, EN_ES, EN_DE = ("es", "en"), ("de", "en"), ("en", "es"), ("en", "de")


@pytest.mark.parametrize(
    ("arm", "kept", "reasons"),
    [
        (MAIN, {ES: 2, DE: 2, EN_ES: 2, EN_DE: 2}, {}),
        ("non_dominant_pairs", {ES: 2, DE: 2}, {"pair_language": 4}),
        ("dominant_pairs", {EN_ES: 2, EN_DE: 2}, {"pair_language": 4}),
        ("no_equal_pairs", {ES: 1, DE: 2, EN_ES: 2, EN_DE: 2}, {"equal_sides": 1}),
        ("last_dominant_pairs", {ES: 2, DE: 2, EN_DE: 2}, {"not_the_last_language": 2}),
    ],
)
def test_pairs_of_an_arm_by_hand(arm: str, kept: dict[tuple[str, str], int], reasons: dict[str, int]) -> None:
    study = StudyParams(arms=EVERY, languages=["en", "es", "de"], unseen=[])
    found = build_pairs(RESPONSES, TRANSLATIONS, PairsParams(t=0, arm=arm, **study.for_notebook("04_pairs", arm)))
    assert Counter((pair["lang"], pair["via"]) for pair in found.kept) == kept
    assert Counter(row["reason"] for row in found.dropped) == reasons
    assert {row["stage"] for row in found.dropped} <= {"selection"}


# What Snakemake would do


Jobs = dict[str, dict[str, str]]  # by output file


def snakemake(folder: Path, arms: list[str], *words: str) -> str:
    """What Snakemake says of a study with these arms in ``folder``."""
    study = load_params(ROOT / "params" / "micro-ablations.yaml", [f"arms={arms}"])
    config = folder / "snakemake.json"
    values = study.model_dump(exclude=PER_RUN)
    write_text(config, json.dumps({"params": values, "until": "report"}))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(config), "--cores", "1", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def jobs(folder: Path, arms: list[str]) -> Jobs:
    """Every file that the study makes, with its inputs and command where it was made, and what is planned for it."""
    summary = snakemake(folder, arms, "--detailed-summary").splitlines()
    rows = csv.DictReader(summary, delimiter="\t", quoting=csv.QUOTE_NONE)
    return {row["output_file"]: row for row in rows}


def pretend(folder: Path, arms: list[str]) -> None:
    """Let Snakemake take the study for done: empty files, its own records of inputs and commands."""
    for path in jobs(folder, arms):
        write_text(folder / path, "")
    snakemake(folder, arms, "--touch", "--forceall")


class Dry(NamedTuple):
    """A study of two arms that is done; the same with all arms before it runs again, and after."""

    two: Jobs
    planned: Jobs
    every: Jobs


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> Dry:
    folder = tmp_path_factory.mktemp("dry")
    pretend(folder, [MAIN, "sft"])
    two, planned = jobs(folder, [MAIN, "sft"]), jobs(folder, EVERY)
    pretend(folder, EVERY)
    return Dry(two, planned, jobs(folder, EVERY))


def inputs(job: dict[str, str]) -> set[str]:
    return set(job["input-file(s)"].split(","))


def values(job: dict[str, str]) -> dict[str, Any]:
    text = job["shellcmd"]
    return json.loads(text[text.index("{") : text.rindex("}") + 1])  # type: ignore[no-any-return]


def test_arms_share_what_they_do_not_change(dry: Dry) -> None:
    made = dry.every
    for stage in ("responses", "translations"):
        assert [path for path in made if f"/{stage}/" in path] == [f"M0/{stage}/manifest.json"]
    pairs = {path for path in made if "/pairs/" in path}
    assert pairs == {"M0/pairs/manifest.json", *(f"arms/{arm}/M0/pairs/manifest.json" for arm in OWN_PAIRS)}
    for path in pairs:
        assert inputs(made[path]) >= {"M0/responses/manifest.json", "M0/translations/manifest.json"}
    for arm in EVERY[1:]:
        source = f"arms/{arm}/M0" if arm in OWN_PAIRS else "M0"
        assert inputs(made[f"arms/{arm}/M1/adapter/manifest.json"]) == {f"{source}/pairs/manifest.json"}


def test_every_stage_of_an_arm_is_told_what_the_arm_changes(dry: Dry) -> None:
    made = dry.every
    for arm in EVERY:
        model = "M1" if arm == MAIN else f"arms/{arm}/M1"
        told = values(made[f"{model}/adapter/manifest.json"])
        assert (told["arm"], told["t"]) == (arm, 1)
        of_arm = {"objective": "dpo_nll", "alpha": 4.0} | dict(ARMS[arm].training)
        assert {key: told[key] for key in ("objective", "alpha")} == of_arm
    for arm in OWN_PAIRS:
        told = values(made[f"arms/{arm}/M0/pairs/manifest.json"])
        assert (told["arm"], told["t"]) == (arm, 0)
        assert ARMS[arm].pairs.items() <= told.items()


def test_a_new_arm_runs_its_own_stages_and_the_report_again(dry: Dry) -> None:
    assert {job["plan"] for job in dry.two.values()} == {"no update"}
    pending = {path for path, job in dry.planned.items() if job["plan"] == "update pending"}
    stages = [path.removeprefix("arms/sft/") for path in dry.two if path.startswith("arms/sft/")]
    assert {"M1/adapter/manifest.json", "M1/x_alpacaeval/manifest.json", "M1/mgsm/manifest.json"} <= set(stages)
    new = {f"arms/{arm}/{stage}" for arm in EVERY[2:] for stage in stages}
    new |= {f"arms/{arm}/M0/{stage}/manifest.json" for arm in OWN_PAIRS for stage in ("pairs", "premise")}
    assert pending == new | {"report/summary/manifest.json", "results.csv", "report/index.html"}


# Numbers of any set of arms


def write_scores(run: Run, arm: str, t: int, scores: dict[str, list[float]]) -> None:
    """The same scores by language on both tasks."""
    for task, test in TEST_SETS.items():
        rows = [{"id": f"{k}", "lang": lang, test.column: x} for lang, own in scores.items() for k, x in enumerate(own)]
        write_text(run.stage(t, task, arm) / test.scores, pd.DataFrame(rows).to_csv(index=False))


def scored(tmp_path: Path, arms: list[str]) -> tuple[Run, ReportParams]:
    run = Run.at(tmp_path)
    params = ReportParams(languages=["en", "es"], unseen=["it"], iterations=1, arms=arms)
    write_scores(run, MAIN, 0, {"en": [1, 1, 1, 1], "es": [0, 0, 0, 0], "it": [0, 0, 0, 1]})
    for arm in arms:
        hit = 1.0 if arm == MAIN else 0.0
        write_scores(run, arm, 1, {"en": [1, 1, 1, 1], "es": [1, 1, hit, 0], "it": [0, 1, 1, 1]})
    return run, params


def test_ablation_by_hand(tmp_path: Path) -> None:
    run, params = scored(tmp_path, EVERY)
    table = gains.ablation([run], params)
    assert list(dict.fromkeys(table["arm"])) == ["M0", *EVERY]
    value = table.set_index(["panel", "arm"])["value"].to_dict()
    levels = {arm: value["MGSM non-dominant", arm] for arm in ("M0", MAIN, "no_nll")}
    assert levels == {"M0": 0, MAIN: 75, "no_nll": 50}
    difference = table.set_index(["panel", "arm"])["difference"].to_dict()
    assert pd.isna(difference["MGSM non-dominant", MAIN])
    for arm in EVERY[1:]:
        assert difference["MGSM non-dominant", arm] == -25
        assert difference["MGSM dominant", arm] == 0
    assert difference["MGSM non-dominant", "M0"] == -75
    text = gains.ablation_markdown(gains.ablation([run], params))
    assert len(text.splitlines()) == 2 + 1 + len(EVERY)
    assert "| LIDR | the method: DPO and NLL on every pair | 75.0 | 100.0 | 75.0 | 75.0 |" in text
    assert "| no NLL | DPO without the NLL term (alpha = 0) | 50.0 (-25.0: " in text


def test_figure_has_a_dot_with_its_interval_for_every_arm(tmp_path: Path) -> None:
    run, params = scored(tmp_path, EVERY)
    figure = figures.arm_levels(gains.ablation([run], params), "Arms")
    assert [axes.get_title() for axes in figure.axes] == [
        "MGSM non-dominant",
        "MGSM dominant",
        "MGSM unseen",
        "X-AlpacaEval non-dominant",
    ]
    assert [len(axes.containers) for axes in figure.axes] == [1 + len(EVERY)] * 4
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["M0", *(a.label for a in ARMS.values())]


@pytest.mark.parametrize("arms", [[MAIN], [MAIN, "no_equal_pairs"], EVERY])
def test_gains_compare_m1_of_the_method_with_that_of_every_other_arm(tmp_path: Path, arms: list[str]) -> None:
    run, params = scored(tmp_path, arms)
    moved = gains.gains([run], params)
    assert set(moved["step"]) == {"M1 - M0", *(f"M1 - {ARMS[arm].label}" for arm in arms[1:])}
    own = moved[(moved["task"] == "mgsm") & (moved["languages"] == "non-dominant")].set_index("step")["ours"]
    assert own["M1 - M0"] == 75
    assert all(own[f"M1 - {ARMS[arm].label}"] == 25 for arm in arms[1:])
    levels = gains.levels([run], params, "mgsm")
    assert list(dict.fromkeys(zip(levels["arm"], levels["model"], strict=True))) == [
        ("lidr", "M0"),
        *((arm, "M1") for arm in arms),
    ]


def test_an_iterated_arm_is_compared_model_by_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARMS, "sft", replace(ARMS["sft"], iterated=True))
    run, params = scored(tmp_path, ["lidr", "sft", "no_nll"])
    params = params.model_copy(update={"iterations": 2})
    for arm, hit in (("lidr", 1.0), ("sft", 0.0)):
        write_scores(run, arm, 2, {"en": [1, 1, 1, 1], "es": [1, 1, 1, hit], "it": [1, 1, 1, 1]})
    assert gains.models(params) == [*(("lidr", t) for t in range(3)), ("sft", 1), ("sft", 2), ("no_nll", 1)]
    moved = gains.gains([run], params)
    own = moved[(moved["task"] == "mgsm") & (moved["languages"] == "non-dominant")].set_index("step")["ours"]
    assert list(own.index) == ["M1 - M0", "M2 - M1", "M2 - M0", "M1 - SFT", "M2 - SFT M2", "M1 - no NLL"]
    assert own["M2 - SFT M2"] == 25
    assert moved[moved["step"] == "M2 - SFT M2"]["paper"].isna().all()
    levels = gains.levels([run], params, "mgsm")
    assert list(dict.fromkeys(tables.named(levels)["model"])) == ["M0", "M1", "M2", "SFT", "SFT M2", "no NLL"]
    shown = tables.versus(levels, "mgsm", "accuracy", params.all_languages)
    assert list(dict.fromkeys(shown.index.get_level_values(0))) == ["M0", "SFT", "M1", "M2", "SFT M2", "no NLL"]
    assert shown.loc[("SFT M2", "OURS"), "es"] == "75.0"
    figures.gain_intervals(gains.titled(moved), "Gains")
