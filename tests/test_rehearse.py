"""The rehearsal: every params file that ships holds, and a set-up that is broken is found, with its own line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import SHIPPED, Server

from ldr_utils.commands import rehearse as module
from ldr_utils.commands.looks import (
    Row,
    ask_the_judge,
    look_at_inputs,
    look_at_room,
    look_at_template,
    look_at_weights,
    merged,
    tried,
)
from ldr_utils.commands.preflight import REHEARSED
from ldr_utils.commands.props import changed, make_data
from ldr_utils.commands.rehearse import Rehearsal, before_a_run, is_rehearsed, rehearse, remember, render
from ldr_utils.commands.shrink import shrink
from ldr_utils.commands.stand_ins import make_stand_in
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import StudyParams, load_params
from ldr_utils.study.paths import ROOT

FILES = [path for path in SHIPPED if "\nmodels:" not in path.read_text()]  # studies
NOTEBOOKS = [
    "01_data",
    "02_generation",
    "03_translation",
    "04_pairs",
    "04b_premise",
    "05_qlora_dpo",
    "05b_answers",
    "06_x_alpacaeval",
    "07_mgsm",
    "08_report",
]


def ldr(*words: str, **environment: str) -> subprocess.Popen[str]:
    """The command in a process of its own, as a user starts it, without a hub."""
    command = [sys.executable, "-m", "ldr_utils.cli", *words]
    own = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment
    return subprocess.Popen(command, cwd=ROOT, env=own, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def outcomes(table: str) -> dict[str, str]:
    """Outcome by name of every row of a table."""
    kinds = ("holds", "to mind", "would break", "not tried")
    rows = [line for line in table.splitlines() if line.startswith(kinds)]
    return {line[13:].split("  ")[0]: next(kind for kind in kinds if line.startswith(kind)) for line in rows}


# Every params file that ships, in the shortest form: two processes side by side, as CI has two cores.


@pytest.fixture(scope="module")
def short_tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    temporary = str(tmp_path_factory.mktemp("rehearsals"))
    halves = [ldr("rehearse", *map(str, FILES[k::2]), "--short", "--offline", TMPDIR=temporary) for k in (0, 1)]
    tables: dict[str, str] = {}
    for process in halves:
        said, complained = process.communicate()
        assert "Traceback" not in complained, complained[-3000:]
        parts = said.split("\nRehearsal of ")
        for before, after in pairwise(parts):
            tables[after.split(" ")[0]] = before.partition("not tried.\n")[2] or before
    return tables


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_params_file_holds(path: Path, short_tables: dict[str, str]) -> None:
    found = outcomes(short_tables[path.stem])
    assert [name for name, outcome in found.items() if outcome == "would break"] == []
    assert [name for name in NOTEBOOKS if found[name] != "holds"] == []


# Broken set-ups. Each is a shrunk study with one fault; the row that finds it is named.


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> StudyParams:
    """A small study of a made model, with made data and a local judge: nothing in it breaks."""
    folder = tmp_path_factory.mktemp("study")
    make_stand_in(folder / "whole", "qwen3_instruct_2507")
    shrink(folder / "whole", folder / "model")
    study = changed(
        load_params(ROOT / "params" / "smollm2-cpu.yaml"),
        base_model=str(folder / "model"),
        judge_model=str(folder / "model"),
        languages=["en", "es"],
        unseen=[],
        iterations=1,
        prompts_per_iteration=2,
        mgsm_problems=2,
        alpaca_prompts=2,
    )
    make_data(folder / "data", study)
    return changed(study, data_dir=str(folder / "data"))


def copy_of(study: StudyParams, folder: Path) -> Path:
    shutil.copytree(study.base_model, folder)
    return folder


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def with_template(study: StudyParams, folder: Path, template: str) -> StudyParams:
    model = copy_of(study, folder)
    (model / "chat_template.jinja").write_text(template, encoding="utf-8")
    return changed(study, base_model=str(model))


def broken_rows(study: StudyParams, tmp_path: Path) -> dict[str, str]:
    found = rehearse(study, tmp_path / "played", short=True, offline=True)
    return {row.name: row.detail for row in found.breaks}


CHATML = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
TURN = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def test_a_whole_study_holds(published: StudyParams, tmp_path: Path) -> None:
    assert broken_rows(published, tmp_path) == {}


def test_an_end_of_turn_that_stops_nothing(published: StudyParams, tmp_path: Path) -> None:
    ended = with_template(published, tmp_path / "model", (CHATML + TURN).replace("<|im_end|>", "### END"))
    assert "ends an answer with '### END', which is no control token" in broken_rows(ended, tmp_path)["chat template"]


def test_the_end_of_turn_is_the_templates_whatever_the_tokenizer_calls_its_end(
    published: StudyParams, tmp_path: Path
) -> None:
    model = copy_of(published, tmp_path / "model")
    edit(model / "generation_config.json", eos_token_id=2049)
    edit(model / "tokenizer_config.json", eos_token="<|endoftext|>")
    assert broken_rows(changed(published, base_model=str(model)), tmp_path) == {}


def test_a_tokenizer_larger_than_the_embeddings(published: StudyParams, tmp_path: Path) -> None:
    model = copy_of(published, tmp_path / "model")
    edit(model / "config.json", vocab_size=2000)
    found = broken_rows(changed(published, base_model=str(model)), tmp_path)
    assert "the tokenizer has 2,051 tokens, the model 2,000" in found["base model"]


def test_weights_that_are_no_numbers(published: StudyParams, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    model = copy_of(published, tmp_path / "model")
    tensors = load_file(model / "model.safetensors")
    tensors["model.norm.weight"][3] = torch.nan
    save_file(tensors, model / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"model.norm.weight holds numbers that are not finite; get it again"):
        look_at_weights(model, 100)


def test_a_learning_rate_that_moves_nothing(published: StudyParams, tmp_path: Path) -> None:
    found = broken_rows(changed(published, learning_rate=1e-45), tmp_path)
    assert found, "an adapter that changes nothing was not found"
    assert any("adapter" in name or "adapter" in line for name, line in found.items()), found


def test_pickled_weights(published: StudyParams, tmp_path: Path) -> None:
    model = copy_of(published, tmp_path / "model")
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    rows = list(look_at_inputs(changed(published, base_model=str(model)), offline=True))
    assert any(row.outcome == "would break" and "only pickled weights" in row.detail for row in rows)


def test_a_context_that_is_too_short(published: StudyParams, tmp_path: Path) -> None:
    model = copy_of(published, tmp_path / "model")
    edit(model / "config.json", max_position_embeddings=128)
    row = look_at_room(published, model, tmp_path)
    assert (row.outcome, row.name) == ("would break", "room for answers")
    assert "max_new_tokens" in row.detail


def test_max_model_len_that_is_too_small(published: StudyParams, tmp_path: Path) -> None:
    study = changed(published, max_model_len=64, backend="vllm")
    row = look_at_room(study, Path(study.base_model), tmp_path)
    assert row.outcome == "would break"
    assert row.detail.startswith("max_model_len: ")


def test_data_without_a_language(published: StudyParams, tmp_path: Path) -> None:
    found = rehearse(changed(published, languages=["en", "es", "ru"]), tmp_path / "played", short=True, offline=True)
    assert "lacks alpagasus/iter0/ru.jsonl" in next(row for row in found.rows if row.name == "languages").detail


def test_a_benchmark_that_nobody_knows(published: StudyParams) -> None:
    rows = list(look_at_inputs(changed(published, benchmarks=["m_mmlu_xx"]), offline=True))
    assert any(row.outcome == "would break" and "m_mmlu_xx" in row.detail for row in rows)


def test_a_translator_without_a_language(published: StudyParams, tmp_path: Path) -> None:
    from ldr_utils.commands.stand_ins import make_translator

    make_translator(tmp_path / "nllb", ["en"])
    shrink(tmp_path / "nllb", tmp_path / "translator")
    found = broken_rows(changed(published, translator=str(tmp_path / "translator")), tmp_path)
    assert "does not know es as spa_Latn" in found["03_translation"]


def test_a_model_that_no_hub_has(published: StudyParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the hub is asked: the stages are tried all the same, with a stand-in of the family."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    study = changed(published, base_model="meta-llama/Meta-Llama-3-8B-Instruct")
    found = rehearse(study, tmp_path / "played", short=True)
    assert [row.name for row in found.breaks] == ["base model"]
    assert "Meta-Llama-3-8B-Instruct cannot be had" in found.breaks[0].detail
    assert {row.name: row.outcome for row in found.rows}["08_report"] == "holds"


WITHOUT_TURN = "its prompts end in"
IN_PARTS = "wants messages in parts"


@pytest.mark.parametrize(
    ("template", "line"),
    [
        (CHATML, WITHOUT_TURN),
        (CHATML.replace("m['content']", "m['content'][0]['text']") + TURN, IN_PARTS),
        ("{% for m in messages %}{% for c in m['content'] %}{{ c['text'] }}{% endfor %}{% endfor %}" + TURN, IN_PARTS),
        (CHATML + "{{ raise_exception('no') }}" + TURN, "cannot render a question and an answer"),
        (CHATML + "{% if", "has a syntax error"),
        (CHATML + TURN.replace("assistant\n", "assistant\n<think>\n"), "opens a thought in the prompt"),
    ],
    ids=["no turn", "parts", "parts, empty", "raises", "syntax", "thought"],
)
def test_a_template_that_breaks_the_protocol(published: StudyParams, tmp_path: Path, template: str, line: str) -> None:
    study = with_template(published, tmp_path / "model", template)
    with pytest.raises(InputError, match=line):
        look_at_template(study, Path(study.base_model))


def test_a_template_stops_what_depends_on_it_and_nothing_else(published: StudyParams, tmp_path: Path) -> None:
    study = with_template(published, tmp_path / "model", CHATML)
    found = {row.name: row.outcome for row in rehearse(study, tmp_path / "x", short=True, offline=True).rows}
    assert found["chat template"] == found["02_generation"] == "would break"
    assert found["01_data"] == "holds"
    assert found["05_qlora_dpo"] == found["08_report"] == "not tried"


def test_a_date_in_the_template_is_no_fault(published: StudyParams, tmp_path: Path) -> None:
    dated = "<|im_start|>system\nToday is {{ strftime_now('%d %B %Y') }}.<|im_end|>\n" + CHATML + TURN
    study = with_template(published, tmp_path / "model", dated)
    assert "told 2026-01-01 every day" in look_at_template(study, Path(study.base_model))
    assert broken_rows(study, tmp_path) == {}


# The judge's endpoint: a server of the tests imitates what real ones say.


@pytest.fixture
def paid(published: StudyParams, servers: tuple[Server, Server]) -> StudyParams:
    return changed(
        published, judge="openai", judge_url=servers[0].url, judge_model="gpt-x", judge_key_env="JUDGE_API_KEY"
    )


def test_a_judge_that_answers(paid: StudyParams, tmp_path: Path) -> None:
    assert ask_the_judge(paid, tmp_path).startswith("gpt-x prefers the right answer with ")


@pytest.mark.parametrize("status", ["401", "403", "404", "400"], ids=["key", "access", "model", "request"])
def test_a_judge_that_turns_the_question_down(
    paid: StudyParams, servers: tuple[Server, Server], tmp_path: Path, status: str
) -> None:
    servers[0].faults = [status] * 50
    row = tried("judge's endpoint", lambda: ask_the_judge(paid, tmp_path))
    assert row.outcome == "would break"
    assert row.detail.startswith("judge_")


def test_no_key(paid: StudyParams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUDGE_API_KEY")
    rows = look_at_inputs(changed(paid, judge_url="https://api.example.org/v1"), offline=False)
    row = next(row for row in rows if row.name == "judge key")
    assert (row.outcome, "JUDGE_API_KEY is not set" in row.detail) == ("would break", True)


# The machine


def test_too_small_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from ldr_utils.commands import device as machine
    from ldr_utils.commands.device import GIB, Device

    small = Device("RTX 3050", (8, 6), ["sm_86"], "12.8", "bfloat16", 7 * GIB, 8 * GIB)
    monkeypatch.setattr(machine, "finish_probe", lambda *_: small)
    rows = {row.name: row for row in module.doctors_rows(load_params(ROOT / "params/llama3-8b.yaml"), None, False)}
    assert rows["memory: training"].outcome == rows["memory: generation"].outcome == "would break"


def test_a_full_disk(published: StudyParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "run"))

    monkeypatch.setattr(module, "set_up", full)
    found = rehearse(published, tmp_path / "played", short=True, offline=True)
    assert [row.detail for row in found.breaks] == [f"{tmp_path / 'run'}: No space left on device"]


# The table, and the first step of a run


def test_the_worse_of_two_rows_of_one_name_stands() -> None:
    holds, breaks = Row("judge", "holds", "asked"), Row("judge", "would break", "no key")
    assert merged([holds], breaks) == merged([breaks], holds) == [breaks]


def test_the_verdict_is_in_the_last_line(tmp_path: Path) -> None:
    found = Rehearsal("s", tmp_path, [Row("a", "holds", "x"), Row("b", "would break", "y")], 3.0)
    assert render(found).splitlines()[-1] == (
        "Rehearsal of s in 3 s: 1 would break (b); 1 hold, 0 to mind, 0 not tried."
    )


def test_a_rehearsal_that_held_is_not_repeated(
    published: StudyParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def play(study: StudyParams, **_: Any) -> Rehearsal:
        asked.append(study.study)
        return Rehearsal(study.study, tmp_path, [Row("a", "holds", "x")])

    monkeypatch.setattr(module, "rehearse", play)
    run = tmp_path / "run"
    assert before_a_run(published, run, 1)
    assert before_a_run(published, run, 1)
    assert len(asked) == 1
    assert is_rehearsed(published, run)
    assert not is_rehearsed(changed(published, seed=5), run)
    assert [path.name for path in run.iterdir()] == [REHEARSED]


def test_a_run_does_not_start_on_what_would_break(
    published: StudyParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "rehearse", lambda study, **_: Rehearsal("s", tmp_path, [Row("a", "would break", "x")]))
    assert not before_a_run(published, tmp_path / "run", 1)
    assert not (tmp_path / "run").exists()


def test_our_own_model_is_not_rehearsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never: Callable[..., Any] = lambda *_, **__: pytest.fail("rehearsed")  # noqa: E731
    monkeypatch.setattr(module, "rehearse", never)
    assert before_a_run(StudyParams(), tmp_path, 1)


def test_what_was_remembered_says_what_held(published: StudyParams, tmp_path: Path) -> None:
    remember(published, tmp_path, Rehearsal("s", tmp_path, [Row("a", "holds", "x")], 2.0))
    kept = json.loads((tmp_path / REHEARSED).read_text(encoding="utf-8"))
    assert kept["rows"] == [{"name": "a", "outcome": "holds", "detail": "x"}]


def test_a_broken_set_up_through_the_command(published: StudyParams, tmp_path: Path) -> None:
    """All that does not depend on the fault is still tried; the exit code is 2."""
    overrides = [f"{key}={getattr(published, key)}" for key in ("base_model", "judge_model", "data_dir")]
    overrides += ["languages=[en, es]", "unseen=[]", "learning_rate=1e-45"]
    overrides += ["prompts_per_iteration=2", "mgsm_problems=2", "alpaca_prompts=2", "iterations=1"]
    words = [word for override in overrides for word in ("--set", override)]
    process = ldr("rehearse", "params/smollm2-cpu.yaml", "--short", "--offline", "--out", str(tmp_path / "x"), *words)
    said, complained = process.communicate()
    assert process.returncode == 2, said + complained
    found = outcomes(said)
    assert "01_data" in found, said + complained
    assert {found[name] for name in ("01_data", "02_generation", "04_pairs")} == {"holds"}
    assert "would break" in found.values()
    assert f"What was played is kept in {tmp_path / 'x'}" in said
