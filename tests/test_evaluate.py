"""``ldr evaluate``: any models, the study's numbers to the last digit, one line for what cannot be evaluated."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
import pytest
from conftest import Server
from hub import COMMIT, Hub, local_hub

from ldr_utils.commands.evaluate import evaluate
from ldr_utils.commands.released import find_models
from ldr_utils.report import paper
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import EvaluateParams, evaluate_params, load_params
from ldr_utils.study.paths import ROOT

KEY = ["model", "task", "metric", "lang", "split"]
FIGURES = ["value", "low", "high", "n"]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}


def ldr(*words: str, environment: Mapping[str, str] = ONE_THREAD) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ldr_utils.cli", *words]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **ONE_THREAD, **environment}
    )


def models_of(study: Path) -> list[str]:
    base = "M0=models/micro"
    return [base, f"M1=models/micro+{study}/M1/adapter", f"{study}/M2/adapter", f"SFT={study}/arms/sft/M1/adapter"]


@pytest.fixture(scope="module")
def evaluated(study: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The models of the smoke study, each named in another way; the folder and what the terminal showed."""
    out = tmp_path_factory.mktemp("evaluation") / "out"
    named = [text.replace(f"{study}/M2", f"M2={study}/M2") for text in models_of(study)]
    done = ldr("evaluate", *named, "--params", str(study / "params.yaml"), "--out", str(out))
    assert done.returncode == 0, done.stderr[-2000:]
    return out, done.stdout


def rows(path: Path) -> pd.DataFrame:
    """Rows of a results.csv as text, by what they are of; M1 of the arm sft is called SFT."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    sft = table["arm"] == "sft"
    table.loc[sft, "model"] = table.loc[sft, "model"].str.replace("M1", "SFT")
    return table[table["task"].isin(["mgsm", "x_alpacaeval"])].set_index(KEY)[FIGURES]


def test_the_numbers_are_the_studys_to_the_last_digit(evaluated: tuple[Path, str], study: Path) -> None:
    ours, studys = rows(evaluated[0] / "results.csv"), rows(study / "results.csv")
    later = studys.index.get_level_values("model") == "M2-vs-M1"  # the baseline is M0
    pd.testing.assert_frame_equal(ours.sort_index(), studys[~later].sort_index())


def test_every_model_is_compared_with_the_first(evaluated: tuple[Path, str]) -> None:
    table = pd.read_csv(evaluated[0] / "comparisons.csv")
    assert list(dict.fromkeys(table["step"])) == ["M1 - M0", "M2 - M0", "SFT - M0"]
    assert set(table["task"]) == {"mgsm", "x_alpacaeval"}
    assert (table["low"] <= table["ours"]).all()
    assert (table["ours"] <= table["high"]).all()


def test_the_page_shows_tables_and_pictures_that_are_there(evaluated: tuple[Path, str]) -> None:
    text = (evaluated[0] / "README.md").read_text(encoding="utf-8")
    pictures = [line.partition("](")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert len(pictures) == 4
    assert all((evaluated[0] / picture).stat().st_size > 1000 for picture in pictures)
    assert "SFT - M0" in text
    assert "SFT - M0" in evaluated[1]
    assert "Loading" not in evaluated[1]


def test_it_says_what_the_answers_were_made_with(evaluated: tuple[Path, str], study: Path) -> None:
    manifest = json.loads((evaluated[0] / "models" / "M1" / "answers" / "manifest.json").read_text(encoding="utf-8"))
    base, adapter = manifest["params"]["weights"].split("+")
    assert base == find_models(["models/micro"])[0].weights
    assert adapter == find_models([f"{study}/M1/adapter"])[0].weights.split("+")[1]
    assert {"torch", "transformers"} <= set(manifest["packages"])
    assert "mgsm/en.jsonl" in manifest["outputs"]


def test_what_was_answered_is_not_answered_again(evaluated: tuple[Path, str], study: Path, tmp_path: Path) -> None:
    """One file of one model is gone: it alone is answered again, and every number is the same."""
    out = tmp_path / "out"
    shutil.copytree(evaluated[0], out)
    (out / "models" / "M1" / "answers" / "mgsm" / "es.jsonl").unlink()
    kept = out / "models" / "M1" / "answers" / "mgsm" / "en.jsonl"
    before = kept.stat().st_mtime_ns
    named = [text.replace(f"{study}/M2", f"M2={study}/M2") for text in models_of(study)]
    done = ldr("evaluate", *named, "--params", str(study / "params.yaml"), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Loading weights") <= 2, "one model was loaded"
    assert kept.stat().st_mtime_ns == before
    assert (out / "results.csv").read_bytes() == (evaluated[0] / "results.csv").read_bytes()


def test_other_weights_under_the_same_name_answer_anew(
    evaluated: tuple[Path, str], study: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(evaluated[0], out)
    done = ldr("evaluate", f"M1={study}/M2/adapter", "--params", str(study / "params.yaml"), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "made again: weights" in done.stderr
    again, studys = rows(out / "results.csv"), rows(study / "results.csv")
    wanted = studys.loc[["M2"]].rename({"M2": "M1"}, level="model")
    pd.testing.assert_frame_equal(again.sort_index(), wanted.sort_index())


def test_a_verdict_is_asked_for_once(servers: tuple[Server, Server], study: Path, tmp_path: Path) -> None:
    asked, out = servers[0].keys, tmp_path / "out"
    judge = ["judge=openai", "judge_model=some-judge", f"judge_url={servers[0].url}", "alpaca_prompts=2"]
    words = ["models/micro", "--params", str(study / "params.yaml"), "--out", str(out), "--set", "mgsm_problems=2"]
    words += [word for own in judge for word in ("--set", own)]
    done = ldr("evaluate", *words)
    assert done.returncode == 0, done.stderr[-2000:]
    first = len(asked)
    assert first >= 2 * 2 * 4, "two prompts in four languages, in both orders"
    assert ldr("evaluate", *words).returncode == 0
    assert len(asked) == first


# Names


def test_a_model_goes_by_the_last_folder_of_its_path(study: Path) -> None:
    names = [
        model.name
        for model in find_models(["models/micro", f"{study}/M2/adapter", f"x=models/micro+{study}/M1/adapter"])
    ]
    assert names == ["micro", "M2", "x"]


def test_an_adapter_alone_names_its_base(study: Path) -> None:
    assert find_models([f"{study}/M2/adapter"])[0].base == "models/micro"


# What cannot be evaluated


@pytest.fixture
def other_base(tmp_path: Path) -> Path:
    """A copy of the micro model in which every layer is wider."""
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = tmp_path / "wide"
    shutil.copytree(ROOT / "models" / "micro", folder)
    config = AutoConfig.from_pretrained(folder)
    config.intermediate_size += 64
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def refused(texts: list[str], culprit: str) -> str:
    with pytest.raises(InputError, match=culprit) as caught:
        find_models(texts)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_model_that_is_not_there() -> None:
    refused(["models/nothing"], "models/nothing does not exist")


def test_an_adapter_of_another_base(study: Path, other_base: Path) -> None:
    said = refused([f"{other_base}+{study}/M1/adapter"], "is the adapter of another base model")
    assert str(other_base) in said


def test_two_models_of_one_name(study: Path) -> None:
    refused([f"{study}/M1/adapter", f"{study}/arms/sft/M1/adapter"], "M1: two models are called so")


def test_a_plus_with_nothing_behind_it() -> None:
    refused(["models/micro+"], "names no model")


def test_an_adapter_on_an_adapter(study: Path) -> None:
    refused([f"{study}/M1/adapter+{study}/M2/adapter"], "is itself an adapter")


def test_a_whole_model_in_the_place_of_an_adapter() -> None:
    refused(["models/micro+models/micro"], "holds no LoRA adapter")


def test_an_adapter_without_weights(study: Path, tmp_path: Path) -> None:
    shutil.copy(study / "M1" / "adapter" / "adapter_config.json", tmp_path)
    (tmp_path / "adapter_model.bin").write_bytes(b"pickled")
    refused([str(tmp_path)], "ask for safetensors")


@pytest.mark.parametrize(
    ("models", "baseline", "overrides", "culprit"),
    [
        ([], "", [], "no model is named"),
        (["models/micro"], "M9", [], "--baseline M9"),
        (["models/micro"], "", ["unseen=[ja]"], "ja not in the micro world's data"),
        (["models/micro"], "", ["second_judge=local", "second_judge_model=models/micro"], "second_judge"),
    ],
)
def test_what_is_asked_for_must_be_there(
    tmp_path: Path, models: list[str], baseline: str, overrides: list[str], culprit: str
) -> None:
    params = evaluate_params(load_params(ROOT / "params" / "smoke.yaml", overrides), models)
    with pytest.raises(InputError, match=culprit):
        evaluate(params, tmp_path / "out", baseline)
    assert list(tmp_path.iterdir()) == []


def test_the_command_refuses_in_one_line_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    for words, culprit in [
        (["models/nothing", "--out", str(tmp_path / "a")], "models/nothing"),
        (["models/micro", "--out", str(tmp_path)], "thesis.txt"),
    ]:
        done = ldr("evaluate", *words)
        assert done.returncode == 2, done.stderr
        assert culprit in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_of_models_is_no_study(tmp_path: Path) -> None:
    done = ldr("run", "params/lidr-released.yaml", "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "use ldr evaluate --params" in done.stderr


# The authors' checkpoints


def test_the_released_checkpoints_are_named_as_the_paper_names_its_models() -> None:
    params = load_params(ROOT / "params" / "lidr-released.yaml")
    assert isinstance(params, EvaluateParams)
    names = [text.partition("=")[0] for text in params.models]
    for task, metric in (("mgsm", "accuracy"), ("x_alpacaeval", "win_rate")):
        assert set(names) <= set(paper.values(task, metric).index)


def test_figures_of_others_are_read_apart() -> None:
    table = paper.rivals().set_index("model")
    assert tuple(table.loc["ICR from there, iteration 2", ["lc_win_rate", "win_rate"]]) == (18.24, 26.43)


# The hub


@pytest.fixture
def hub(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with local_hub() as served:
        served.add("owner/micro", ROOT / "models" / "micro")
        adapter = tmp_path / "adapter"
        shutil.copytree(study / "M2" / "adapter", adapter)
        settings = adapter / "adapter_config.json"
        settings.write_text(settings.read_text().replace("models/micro", "owner/micro"))
        served.add("owner/LIDR_M1", adapter)
        yield served


def test_a_name_of_the_hub_is_a_model_or_an_adapter_on_the_base_that_it_names(
    hub: Hub, study: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ["M0=owner/micro", "M2=owner/LIDR_M1", "--params", str(study / "params.yaml"), "--out", str(out)]
    done = ldr("evaluate", *words, environment=hub.environment(tmp_path / "home"))
    assert done.returncode == 0, done.stderr[-2000:]
    ours, studys = rows(out / "results.csv"), rows(study / "results.csv")
    pd.testing.assert_frame_equal(ours.sort_index(), studys.loc[ours.index].sort_index())
    manifest = json.loads((out / "models" / "M2" / "answers" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["params"]["weights"] == f"{COMMIT}+{COMMIT}"


def test_a_name_that_the_hub_does_not_know_is_one_line(hub: Hub, tmp_path: Path) -> None:
    environment = hub.environment(tmp_path / "home")
    done = ldr("evaluate", "owner/absent", "--out", str(tmp_path / "out"), environment=environment)
    assert done.returncode == 2, done.stderr
    assert "owner/absent: is no model of the hub" in done.stderr
    done = ldr("evaluate", "owner/micro@v9", "--out", str(tmp_path / "out"), environment=environment)
    assert "has no revision v9" in done.stderr
