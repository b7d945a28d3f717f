"""Bad input, through the command as users give it: exit 2, one line with culprit and remedy, nothing written."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ldr_utils.cli import main
from ldr_utils.micro.world import draw_distinct
from ldr_utils.study.errors import InputError
from ldr_utils.study.paths import ROOT

Edit = Callable[[Path], object]
LANGS = ("en", "es")
SMOKE = str(ROOT / "params" / "smoke.yaml")
HEAD = "study: bad\nlanguages: [en, es]\nunseen: []\niterations: 1\nprompts_per_iteration: 2\n"
PUBLISHED = HEAD + "source: published\njudge: openai\njudge_model: m\njudge_url: http://localhost:9\nmgsm_problems: 2\n"
PUBLISHED += "alpaca_prompts: 2\n"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUDGE_API_KEY", raising=False)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(arguments: list[str], parts: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command leaves with 2 and one line that has all of ``parts``; ``folder`` is as it was."""
    before = files(folder)
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("ldr: ")
    assert shown.err.count("\n") == 1, shown.err
    assert len(shown.err) < 1200
    assert shown.err.rstrip("\n").isprintable()
    assert "Traceback" not in shown.err
    assert re.search(r"; |\(|: must|: write it as", shown.err), "the remedy is missing"
    assert not [part for part in parts if part not in shown.err], shown.err
    assert files(folder) == before


PARAMS: dict[str, tuple[str | bytes, list[str]]] = {
    "empty file": ("", ["params.yaml", "key: value"]),
    "a list": ("- beta: 1\n", ["params.yaml", "key: value"]),
    "a number": ("42\n", ["params.yaml", "key: value"]),
    "no YAML": ("beta: [0.1\n", ["params.yaml", "not readable as YAML"]),
    "a tab for an indent": ("arms:\n\t- lidr\n", ["params.yaml", "not readable as YAML"]),
    "not UTF-8": (b"study: caf\xe9\n", ["params.yaml", "not readable as YAML"]),
    "UTF-16": ("study: bad\n".encode("utf-16"), ["params.yaml", "not readable as YAML"]),
    "NUL bytes": (b"study: b\0d\n", ["params.yaml", "not readable as YAML"]),
    "python object": ("study: !!python/object/apply:os.getcwd []\n", ["params.yaml", "not readable as YAML"]),
    "a day for a number": (HEAD + "seed: 2026-02-31\n", ["params.yaml", "seed", "'2026-02-31'"]),
    "a bool that is none": ("study: !!bool x\n", ["params.yaml", "not readable as YAML"]),
    "nested too deep": ("study: " + "[" * 5000 + "\n", ["params.yaml", "not readable as YAML"]),
    "key twice": ("beta: 0.1\nbeta: 0.2\n", ["params.yaml", "beta is there twice"]),
    "unknown key": (HEAD + "lerning_rate: 0.1\n", ["params.yaml", "lerning_rate", "correct its spelling"]),
    "key of the driver": (HEAD + "t: 1\n", ["params.yaml", "t: is set by the driver", "remove it"]),
    "aliases that explode": (
        "study:\n  - &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"  - &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        ["params.yaml", "study", "correct"],
    ),
    "text for a number": (HEAD + "beta: high\n", ["beta", "'high'"]),
    "two lines for a number": (HEAD + 'beta: "high\\nlow \\e[31m"\n', ["beta"]),
    "infinite": (HEAD + "beta: .inf\n", ["beta", "finite"]),
    "no number": (HEAD + "alpha: .nan\n", ["alpha", "finite"]),
    "negative": (HEAD + "save_steps: -1\n", ["save_steps", "greater"]),
    "none at all": (HEAD + "max_new_tokens: 0\n", ["max_new_tokens", "greater"]),
    "over one": (HEAD + "arithmetic_share: 1.5\n", ["arithmetic_share", "1.5"]),
    "seed beyond NumPy": (HEAD + "seed: 99999999999\n", ["seed", "less than or equal"]),
    "count beyond reason": (HEAD + f"batch_size: {10**30}\n", ["batch_size", "less than or equal"]),
    "more rows than any set": (HEAD + "mgsm_problems: 100000000\n", ["mgsm_problems", "less than or equal"]),
    "bool for a count": (HEAD + "epochs: true\n", ["epochs", "True"]),
    "null": (HEAD + "dominant: null\n", ["dominant", "None"]),
    "language that nobody knows": ("languages: [en, xx]\n", ["languages", "'xx'"]),
    "language twice": ("languages: [en, de, de]\n", ["languages", "twice"]),
    "no dominant language": ("languages: [es, de]\n", ["dominant", "'en'"]),
    "only the dominant language": ("languages: [en]\n", ["languages", "non-dominant"]),
    "language that the data lack": ("languages: [en, ja]\n", ["languages", "ja"]),
    "unknown arm": (HEAD + "arms: [lidr, dpo]\n", ["arms", "'dpo'"]),
    "no main arm": (HEAD + "arms: [sft]\n", ["arms", "lidr"]),
    "key of another source": (HEAD + "data_dir: /somewhere\n", ["data_dir", "source"]),
    "study that leaves the folder": ("study: ../escape\n", ["study", "'../escape'"]),
    "study with a slash": ("study: a/b\n", ["study", "'a/b'"]),
    "absolute study": ("study: /etc\n", ["study", "'/etc'"]),
    "study too long": (f"study: {'a' * 300}\n", ["study", "64"]),
    "missing model": (HEAD + "base_model: models/nothing\n", ["base_model", "models/nothing", "give a model folder"]),
    "model with a control": (HEAD + 'base_model: "a\\e[2Jb"\n', ["base_model", "control"]),
    "model with a half character": (HEAD + 'base_model: "\\ud800"\n', ["params.yaml"]),
    "model name too long": (HEAD + f"base_model: {'a' * 400}\n", ["base_model", "too long"]),
    "missing translator": (HEAD + "translator: models/nothing\n", ["translator", "models/nothing"]),
    "missing judge model": (HEAD + "judge: local\njudge_model: models/nothing\n", ["judge_model", "models/nothing"]),
    "judge without a model": (HEAD + "judge: openai\n", ["judge_model", "name a model"]),
    "judge without a key": (HEAD + "judge: openai\njudge_model: m\n", ["judge_key_env", "JUDGE_API_KEY", "export"]),
    "second judge without a key": (
        HEAD + "second_judge: openai\nsecond_judge_model: m\n",
        ["judge_key_env", "JUDGE_API_KEY"],
    ),
    "key in place of its name": (HEAD + "judge_key_env: sk-123\n", ["judge_key_env", "environment variable"]),
    "judge's address is none": (HEAD + "judge_url: localhost:8000\n", ["judge_url", "http://"]),
    "judge's address of another kind": (HEAD + "judge_url: file:///etc/passwd\n", ["judge_url", "http://"]),
    "translated prompts of the micro world": (HEAD + "translate_prompts: self\n", ["translate_prompts", "source"]),
    "corrected MGSM of the micro world": (HEAD + "mgsm_set: rev2\n", ["mgsm_set", "source"]),
    "no train set": (HEAD + 'train_set: ""\n', ["train_set", "at least 1 item", "correct"]),
    "rubric on real data": (HEAD + "source: published\n", ["judge", "rubric"]),
    "budget without prices": (HEAD + "judge_budget: 5.0\n", ["judge_budget", "judge_price_in"]),
    "benchmark that nobody knows": (HEAD + "benchmarks: [no_such_task]\n", ["benchmarks", "lm-evaluation-harness"]),
    "rubric for MT-Bench": (HEAD + "mt_bench_dir: questions\n", ["judge", "rubric", "mt_bench_dir"]),
    "backend that is not there": (HEAD + "backend: vllm\nbase_model: models/none\n", ["base_model"]),
}


@pytest.mark.parametrize("name", PARAMS)
def test_bad_params(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, parts = PARAMS[name]
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(["run", str(path), "--out", str(tmp_path / "out")], [part.strip() for part in parts], tmp_path, capsys)
    assert not (tmp_path / "out").exists()


# Data: read before the run folder is made


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A tiny folder of published data in two languages."""
    root = tmp_path / "data"
    for lang in LANGS:
        ids = [f"alpagasus-{k}" for k in range(3)]
        jsonl(root / f"alpagasus/iter0/{lang}.jsonl", [{"id": k, "instruction": f"{lang} {k}"} for k in ids])
        jsonl(root / f"mgsm/mgsm_{lang}.jsonl", [{"query": f"{lang} {k}?", "response": str(k)} for k in range(3)])
        rows = [{"id": k, "dataset": "d", "instruction": f"{lang} {k}"} for k in range(3)]
        texts = {"prompts": rows, "reference": [{"instruction": r["instruction"], "output": "x"} for r in rows]}
        for name, own in texts.items():
            path = root / f"x-alpacaeval/{name}/{lang}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(own))
    (root / "alpagasus/translation_task_ids.json").write_text('["alpagasus-9"]')
    return root


def jsonl(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def row(name: str, number: int, **changes: Any) -> Edit:
    """An edit of one row; None removes a key."""

    def apply(folder: Path) -> None:
        rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
        rows[number] = {k: v for k, v in (rows[number] | changes).items() if v is not None}
        jsonl(folder / name, rows)

    return apply


def raw(name: str, content: bytes) -> Edit:
    return lambda folder: (folder / name).write_bytes(content)


ITER, MGSM, PROMPTS = "alpagasus/iter0/es.jsonl", "mgsm/mgsm_es.jsonl", "x-alpacaeval/prompts/es.json"
DATA: dict[str, tuple[Edit, list[str]]] = {
    "broken line": (raw(MGSM, b'{"query": "a", "response": "4"}\n{"que'), [MGSM, "line 2 is not JSON", "repair"]),
    "missing key": (row(ITER, 1, instruction=None), [ITER, "row 2: instruction", "add it"]),
    "empty text": (row(ITER, 1, instruction=" "), [ITER, "row 2: instruction", "add it"]),
    "key of another type": (row(ITER, 1, instruction=["a"]), [ITER, "row 2: instruction", "add it"]),
    "duplicate id": (
        lambda f: [row(f"alpagasus/iter0/{lang}.jsonl", 1, id="alpagasus-0")(f) for lang in LANGS],
        ["iter0/en.jsonl", "row 2: id: alpagasus-0 is there twice", "remove one"],
    ),
    "misaligned ids": (row(ITER, 0, id="alpagasus-7"), [ITER, "row 1: alpagasus-7, but en has alpagasus-0"]),
    "misaligned answers": (row(MGSM, 0, response="5"), [MGSM, "answer 5, but en has", "same rows"]),
    "rows that others lack": (raw(MGSM, b'{"query": "a", "response": "0"}\n'), [MGSM, "row 2: no such row"]),
    "latin-1": (raw(MGSM, '{"query": "¿"}'.encode("latin-1")), [MGSM, "not UTF-8", "re-save"]),
    "UTF-16": (raw(MGSM, '{"query": "a"}'.encode("utf-16")), [MGSM, "not UTF-8", "re-save"]),
    "empty file": (raw(MGSM, b""), [MGSM, "no list of rows", "fill it"]),
    "no list": (raw(PROMPTS, b'{"id": 1}'), [PROMPTS, "no list of rows", "fill it"]),
    "NUL bytes": (raw(MGSM, b"\0" * 100), [MGSM, "line 1 is not JSON", "repair"]),
    "NUL in a text": (row(ITER, 1, instruction="a\0b"), [ITER, "row 2: instruction", "NUL", "repair"]),
    "half a character": (raw(MGSM, b'{"query": "\\ud800", "response": "4"}'), [MGSM, "line 1", "surrogate"]),
    "endless number": (raw(MGSM, b'{"query": ' + b"9" * 5000 + b"}"), [MGSM, "line 1", "too many digits"]),
    "nested too deep": (raw(MGSM, b"[" * 200_000), [MGSM, "line 1", "repair"]),
    "50 MB line": (row(ITER, 1, instruction="a" * 50_000_000), [ITER, "row 2: instruction", "4,194,304", "repair"]),
    "gold that is no number": (row(MGSM, 0, response="four"), [MGSM, "row 1: response", "not one number"]),
    "id with a path": (row(ITER, 0, id="../../alpagasus-0"), [ITER, "row 1: id", "../../alpagasus-0"]),
    "id of many digits": (row(ITER, 0, id="alpagasus-" + "9" * 5000), [ITER, "row 1: id"]),
    "missing file": (lambda f: (f / ITER).unlink(), ["languages", "lacks alpagasus/iter0/es.jsonl", "add"]),
    "language in capitals": (lambda f: (f / MGSM).rename(f / "mgsm/mgsm_ES.jsonl"), ["mgsm_ES.jsonl", "rename it to"]),
    "name in capitals": (lambda f: (f / MGSM).rename(f / "mgsm/MGSM_es.JSONL"), ["MGSM_es.JSONL", "mgsm_es.jsonl"]),
    "blank in a name": (lambda f: (f / MGSM).rename(f / "mgsm/mgsm_es .jsonl"), ["mgsm_es .jsonl", "rename it to"]),
    "tsv in capitals": (
        lambda f: (f / MGSM).rename(f / "mgsm/mgsm_ES.tsv"),
        ["mgsm_ES.tsv", "rename it to mgsm_es.tsv"],
    ),
    "two forms of a file": (raw("mgsm/mgsm_es.tsv", b"a\t4\n"), ["mgsm_es.jsonl and mgsm/mgsm_es.tsv", "keep one"]),
    "parquet that is none": (
        lambda f: (f / MGSM).rename(f / "mgsm/mgsm_es.parquet"),
        ["mgsm_es.parquet", "get the file"],
    ),
    "missing folder": (lambda f: f.rename(f.with_name("gone")), ["data_dir", "not a folder"]),
    "too few rows": (lambda f: [raw(f"mgsm/mgsm_{x}.jsonl", b"")(f) for x in LANGS], ["mgsm_en.jsonl"]),
}


@pytest.mark.parametrize("name", DATA)
def test_bad_data(name: str, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit, parts = DATA[name]
    edit(data_dir)
    params = tmp_path / "params.yaml"
    params.write_text(PUBLISHED + f"data_dir: {data_dir}\n")
    refused(["run", str(params), "--out", str(tmp_path / "out")], parts, tmp_path, capsys)


def test_the_data_are_good_where_nothing_is_broken(data_dir: Path) -> None:
    """Otherwise every case above could be refused for one and the same reason; a link to the folder will do as well."""
    from ldr_utils.commands.preflight import check_inputs
    from ldr_utils.study.params import StudyParams

    link = data_dir.with_name("link")
    link.symlink_to(data_dir)
    (data_dir / MGSM).write_bytes(b"\xef\xbb\xbf" + (data_dir / MGSM).read_bytes())  # a byte order mark is no damage
    study = {"study": "good", "languages": ["en", "es"], "unseen": [], "iterations": 1, "prompts_per_iteration": 2}
    judge = {"judge": "openai", "judge_model": "m", "judge_url": "http://localhost:9"}
    sizes = {"source": "published", "mgsm_problems": 2, "alpaca_prompts": 2, "data_dir": str(link)}
    check_inputs(StudyParams(**study, **judge, **sizes))  # type: ignore[arg-type]


OWN: dict[str, tuple[dict[str, bytes], list[str]]] = {
    "no such folder": ({}, ["train_set", "no folder, nor alpagasus, gsm8k, ultrafeedback", "correct"]),
    "nothing in it": ({"readme.md": b"a"}, ["train_set", "holds no prompts", "en.jsonl"]),
    "a language without": (
        {"en.jsonl": b'{"id": 1, "prompt": "a"}'},
        ["languages", "no prompts in es", "translate_prompts"],
    ),
    "language in capitals": (
        {"en.csv": b"id,prompt\n1,a\n", "ES.csv": b"id,prompt\n1,a\n"},
        ["ES.csv", "rename it to es.csv"],
    ),
    "no partner": (
        {"en.csv": b"id,prompt\n1,a\n2,b\n", "es.csv": b"id,prompt\n2,b\n"},
        ["es.csv: id 1: no such row", "; "],
    ),
    "id twice": ({"p.csv": b"id,en,es\n1,a,b\n1,c,d\n"}, ["p.csv: row 2: id: 1 is there twice", "remove one"]),
    "empty cell": ({"p.csv": b"id,en,es\n1,a,b\n2,c,\n"}, ["p.csv: row 2: es", "add it"]),
    "too few": (
        {"p.csv": b"en,es\na,b\n"},
        ["prompts_per_iteration", "1 iterations of 2 take 2", "p.csv has 1", "lower"],
    ),
    "not UTF-8": ({"p.csv": b"en,es\na,\xe9\n"}, ["p.csv", "not UTF-8", "re-save"]),
}


@pytest.mark.parametrize("name", OWN)
def test_bad_prompts_of_ones_own(name: str, data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contents, parts = OWN[name]
    for file, content in contents.items():
        (tmp_path / "own").mkdir(exist_ok=True)
        (tmp_path / "own" / file).write_bytes(content)
    params = tmp_path / "params.yaml"
    params.write_text(PUBLISHED + f"data_dir: {data_dir}\ntrain_set: {tmp_path / 'own'}\n")
    refused(["run", str(params), "--out", str(tmp_path / "out")], parts, tmp_path, capsys)


# MT-Bench's questions: read before the run folder is made


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Two questions in two languages."""
    for lang in LANGS:
        rows = [{"question_id": k, "category": "math", "turns": [f"{lang} {k}", "and?"]} for k in (81, 82)]
        jsonl(tmp_path / "questions" / f"{lang}.jsonl", rows)
    return tmp_path / "questions"


MT_BENCH: dict[str, tuple[Edit, list[str]]] = {
    "language in capitals": (lambda f: (f / "es.jsonl").rename(f / "ES.jsonl"), ["ES.jsonl", "rename it to es.jsonl"]),
    "missing folder": (lambda f: f.rename(f.with_name("gone")), ["mt_bench_dir", "not a folder", "give"]),
    "no dominant language": (lambda f: (f / "en.jsonl").unlink(), ["mt_bench_dir", "lacks en.jsonl", "add it"]),
    "empty file": (raw("es.jsonl", b""), ["es.jsonl", "no records", "fill it"]),
    "broken line": (raw("es.jsonl", b'{"question_id": 81'), ["es.jsonl", "line 1 is not JSON", "repair"]),
    "latin-1": (raw("es.jsonl", '{"turns": "¿"}'.encode("latin-1")), ["es.jsonl", "not UTF-8", "re-save"]),
    "no id": (row("es.jsonl", 1, question_id=None), ["es.jsonl: row 2: question_id", "whole number"]),
    "id in words": (row("es.jsonl", 1, question_id="82"), ["es.jsonl: row 2: question_id", "whole number"]),
    "id twice": (row("es.jsonl", 1, question_id=81), ["es.jsonl: row 2: question_id: 81", "twice", "remove one"]),
    "other ids": (row("es.jsonl", 1, question_id=83), ["es.jsonl: question_id: 82 is missing", "same questions"]),
    "more ids": (
        lambda f: jsonl(f / "en.jsonl", [{"question_id": 82, "category": "c", "turns": ["a", "b"]}]),
        ["es.jsonl: question_id: 81 is here, but not in en.jsonl", "same questions"],
    ),
    "no category": (row("es.jsonl", 0, category=" "), ["es.jsonl: row 1: category", "add it"]),
    "one turn": (row("es.jsonl", 0, turns=["a"]), ["es.jsonl: row 1: turns", "both user turns"]),
    "a turn that is no text": (row("es.jsonl", 0, turns=["a", 2]), ["es.jsonl: row 1: turns", "both user turns"]),
    "a turn with a NUL": (row("es.jsonl", 0, turns=["a", "b\0"]), ["es.jsonl: row 1: turns", "both user turns"]),
    "reference for no turn": (row("es.jsonl", 0, reference=["a", "b", "c"]), ["es.jsonl: row 1: reference", "remove"]),
    "reference that is a text": (row("es.jsonl", 0, reference="a"), ["es.jsonl: row 1: reference", "remove"]),
}


@pytest.mark.parametrize("name", MT_BENCH)
def test_bad_questions(name: str, questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit, parts = MT_BENCH[name]
    edit(questions)
    params = tmp_path / "params.yaml"
    judge = "judge: openai\njudge_model: m\njudge_url: http://localhost:9\n"
    params.write_text(HEAD + judge + f"mt_bench_dir: {questions}\n")
    refused(["run", str(params), "--out", str(tmp_path / "out")], parts, tmp_path, capsys)


def test_the_questions_are_good_where_nothing_is_broken(questions: Path) -> None:
    from ldr_utils.commands.preflight import check_inputs
    from ldr_utils.study.params import StudyParams

    judge = {"judge": "openai", "judge_model": "m", "judge_url": "http://localhost:9"}
    check_inputs(StudyParams(**judge, languages=["en", "es"], unseen=["it"], mt_bench_dir=str(questions)))  # type: ignore[arg-type]


# Models: looked at before the run folder is made


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "models" / "micro", tmp_path / "model"))


def settings(**changes: Any) -> Edit:
    def apply(folder: Path) -> None:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return apply


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def pickle_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


MODELS: dict[str, tuple[Edit, list[str]]] = {
    "empty folder": (emptied, ["no config.json"]),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), ["no tokenizer.json"]),
    "broken tokenizer settings": (raw("tokenizer_config.json", b"{"), ["tokenizer_config.json cannot be read"]),
    "no chat template": (lambda f: (f / "chat_template.jinja").unlink(), ["no chat template", "instruction-tuned"]),
    "no end of turn": (settings(eos_token=None), ["no end-of-sequence token", "instruction-tuned"]),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), ["no model.safetensors"]),
    "pickled weights": (pickle_weights, ["only pickled weights (pytorch_model.bin)", "convert to safetensors"]),
    "weights cut short": (raw("model.safetensors", b"\x08\0\0\0\0\0\0\0{}"), ["cut short"]),
    "weights that are a page": (raw("model.safetensors", b"<html>not found</html>"), ["cut short"]),
    "broken index": (raw("model.safetensors.index.json", b"[1"), ["model.safetensors.index.json cannot be read"]),
}


@pytest.mark.parametrize("name", MODELS)
def test_bad_models(name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit, parts = MODELS[name]
    edit(model)
    params = tmp_path / "params.yaml"
    params.write_text(HEAD + f"base_model: {model}\n")
    refused(["run", str(params), "--out", str(tmp_path / "out")], ["base_model", *parts], tmp_path, capsys)


@pytest.mark.parametrize("layers", [2, 6])
def test_the_adapter_of_another_base(layers: int, model: Path, tmp_path: Path) -> None:
    """Of fewer layers and of more: PEFT itself only warns."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from ldr_utils.policy.load import load_policy
    from ldr_utils.study.params import ModelParams

    base = AutoModelForCausalLM.from_pretrained(ROOT / "models" / "micro")
    lora = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    adapter = tmp_path / "run" / "M1" / "adapter"
    get_peft_model(base, lora).save_pretrained(adapter)
    good = ModelParams(base_model="models/micro", run_dir=str(tmp_path / "run"), threads=1)
    load_policy(good, 1)
    config = base.config
    config.num_hidden_layers = layers
    config.layer_types = None
    AutoModelForCausalLM.from_config(config).save_pretrained(model)
    with pytest.raises(InputError, match=r"^\S*adapter: is the adapter of another base model; remove it") as caught:
        load_policy(good.model_copy(update={"base_model": str(model)}), 1)
    assert "\n" not in str(caught.value)


# The command line


def rows_file(folder: Path) -> Path:
    jsonl(folder / "rows.jsonl", [{"response": "The answer is 7.", "answer": 7}])
    return folder / "rows.jsonl"


COMMANDS: dict[str, tuple[Callable[[Path], list[str]], list[str]]] = {
    "no command": (lambda f: [], ["COMMAND", "--help"]),
    "unknown command": (lambda f: ["train"], ["train", "--help"]),
    "run without params": (lambda f: ["run"], ["params", "--help"]),
    "run: missing file": (lambda f: ["run", str(f / "none.yaml")], ["none.yaml", "no such file"]),
    "run: folder for a file": (lambda f: ["run", str(f)], ["cannot be read"]),
    "run: unknown option": (lambda f: ["run", "p.yaml", "--gpus", "2"], ["--gpus", "--help"]),
    "run: unknown stage": (lambda f: ["run", "p.yaml", "--until", "dpo"], ["--until", "'dpo'"]),
    "run: no cores": (lambda f: ["run", SMOKE, "--cores", "0"], ["--cores 0"]),
    "run: cores in words": (lambda f: ["run", "p.yaml", "--cores", "two"], ["--cores", "'two'"]),
    "run: override without value": (
        lambda f: ["run", SMOKE, "--set", "beta"],
        ["--set beta"],
    ),
    "run: override no YAML": (
        lambda f: ["run", SMOKE, "--set", "beta=!!bool x"],
        ["--set beta"],
    ),
    "run: out is a file": (
        lambda f: ["run", SMOKE, "--out", str(rows_file(f))],
        ["rows.jsonl", "--out"],
    ),
    "run: out holds other things": (
        lambda f: ["run", SMOKE, "--out", str(rows_file(f).parent)],
        ["rows.jsonl", "no run folder", "--out"],
    ),
    "doctor: missing file": (lambda f: ["doctor", str(f / "none.yaml")], ["none.yaml", "no such file"]),
    "doctor: bad override": (
        lambda f: ["doctor", SMOKE, "--set", "beta=-1"],
        ["beta", "greater"],
    ),
    "status: no run folder": (lambda f: ["status", str(f)], ["params.yaml", "ldr run"]),
    "status: missing folder": (lambda f: ["status", str(f / "none")], ["none", "ldr run"]),
    "status: broken params": (lambda f: ["status", str(write(f / "params.yaml", "[").parent)], ["params.yaml"]),
    "compare: nothing": (lambda f: ["compare"], ["DIR", "--help"]),
    "compare: no run folder": (lambda f: ["compare", str(f)], ["params.yaml", "ldr run"]),
    "compare: broken params": (lambda f: ["compare", str(write(f / "params.yaml", "- 1").parent)], ["params.yaml"]),
    "compare: unknown key": (lambda f: ["compare", str(write(f / "params.yaml", "x: 1").parent)], ["x: unknown key"]),
    "compare: unfinished": (lambda f: ["compare", str(write(f / "params.yaml", HEAD).parent)], ["results.csv"]),
    "compare: damaged": (
        lambda f: [
            "compare",
            str(write(write(f / "params.yaml", HEAD).parent / "results.csv", "a").parent),
            str(broken(f)),
        ],
        ["missing or changed", "ldr run"],
    ),
    "score-mgsm: no language": (lambda f: ["score-mgsm", str(rows_file(f))], ["--lang", "--help"]),
    "score-mgsm: unknown language": (lambda f: ["score-mgsm", str(rows_file(f)), "--lang", "xx"], ["--lang xx"]),
    "score-mgsm: missing file": (lambda f: ["score-mgsm", str(f / "none.jsonl"), "--lang", "es"], ["none.jsonl"]),
    "score-mgsm: broken line": (
        lambda f: ["score-mgsm", str(write(f / "x.jsonl", '{"response": ')), "--lang", "es"],
        ["x.jsonl", "line 1", "repair"],
    ),
    "score-mgsm: 50 MB line": (
        lambda f: ["score-mgsm", str(write(f / "x.jsonl", f'{{"response": "{"7 " * 25_000_000}"}}')), "--lang", "es"],
        ["x.jsonl", "line 1", "4,194,304", "remove"],
    ),
    "score-mgsm: name that acts on the terminal": (
        lambda f: ["score-mgsm", str(f / "\x1b[2J\u202e.jsonl"), "--lang", "es"],
        [r"\x1b[2J\u202e.jsonl"],
    ),
    "score-mgsm: out is a folder": (
        lambda f: ["score-mgsm", str(rows_file(f)), "--lang", "es", "--out", str(rows_file(f).parent)],
        ["--out", "another"],
    ),
}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def broken(folder: Path) -> Path:
    """A run that is finished, but for a file that is gone."""
    write(folder / "params.yaml", HEAD)
    write(folder / "results.csv", "study\n")
    (folder / "data").mkdir()
    write(folder / "data" / "manifest.json", '{"stage": "01_data", "outputs": {"gone.jsonl": "0"}}')
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_bad_commands(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build, parts = COMMANDS[name]
    refused(build(tmp_path), parts, tmp_path, capsys)


def test_there_are_as_many_as_promised() -> None:
    assert len(PARAMS) + len(DATA) + len(MT_BENCH) + len(MODELS) + len(COMMANDS) >= 60


# In a stage of a run: exit 1 by contract, one line, and no manifest that would say that the stage is complete


@pytest.mark.parametrize("train_set", ["alpagasus", "gsm8k"])
def test_a_stage_that_fails_says_so_in_one_line(
    train_set: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data that are to be downloaded, without a network: what only the stage can know."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    params, out = write(tmp_path / "params.yaml", PUBLISHED + f"train_set: {train_set}\n"), tmp_path / "out"
    command = ["run", str(params), "--out", str(out), "--until", "data", "--cores", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "ldr_utils.cli", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if "failed in cell" in line]
    assert len(lines) == 1, done.stderr
    assert re.search(rf"01_data.* InputError: {train_set}/.*cannot be downloaded.*; .*set data_dir", lines[0]), lines
    assert "Traceback" not in done.stderr
    assert not list(out.rglob("manifest.json"))
    assert not list(out.rglob("*.jsonl"))


def test_a_world_that_is_used_up_says_so() -> None:
    """A generator that always starts anew draws one problem for ever."""
    rng = random.Random()
    with pytest.raises(InputError, match=r"^the micro world: holds some \d problems .*; lower"):
        draw_distinct(rng, 9, "test", lambda _: restart(rng))


def restart(rng: random.Random) -> str:
    rng.seed(0)
    return "arithmetic"
