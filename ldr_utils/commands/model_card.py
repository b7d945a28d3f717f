"""The pages of what is exported: a model card and a dataset card, from what the run folder says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import yaml

from ldr_utils.commands.run_model import RunModel, folder_of
from ldr_utils.data.test_sets import TEST_SETS
from ldr_utils.languages.table import LANGUAGES
from ldr_utils.policy.load import base_source, revision_of
from ldr_utils.report.claims import CAUTION
from ldr_utils.report.gains import collect, corrected, problem_scores, step_gains, summary_markdown, titled
from ldr_utils.report.tables import grid, judged_by
from ldr_utils.study.arms import ARMS, MAIN
from ldr_utils.study.paths import from_root
from ldr_utils.study.provenance import git_state, package_versions
from ldr_utils.study.stages import place
from ldr_utils.study.text import markdown, one_line

PAPER = "Language Imbalance Driven Rewarding for Multilingual Self-improving (ICLR 2025, arXiv 2410.08964)"
METRICS = {"mgsm": ["accuracy", "lc_accuracy", "off_target"], "x_alpacaeval": ["win_rate", "lc_win_rate", "off_target"]}
USE = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

name = "{name}"
tokenizer, model = AutoTokenizer.from_pretrained(name), AutoModelForCausalLM.from_pretrained(name)
chat = [{{"role": "user", "content": "..."}}]
inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
answer = model.generate(**inputs)[0, inputs["input_ids"].shape[1]:]
print(tokenizer.decode(answer, skip_special_tokens=True))
```"""
ROUNDED = (
    "The sum of base and adapter is rounded once, to the precision in which the base model is stored: an answer can"
    " differ where two continuations are almost equally likely."
)
NF4 = (
    " The adapter was trained, and the study's answers were given, with the base model quantised to NF4. Here it is"
    " added to the unquantised weights, so that answers may differ from the study's; the share above says how many do."
)
LIMITS = (
    "Nothing was done for safety, and nothing about it was measured. What the base model cannot do, its answers cannot"
    " teach it. Preferred answers are the model's own translations: it may have taken their manner on."
)


def model_card(own: RunModel, checked: str, name: str = "") -> str:
    """The page of a merged model.

    Parameters
    ----------
    own : RunModel
        The model.
    checked : str
        How its answers compare with the study's.
    name : str
        Its name on the hub, if it gets one.
    """
    study = own.study
    local = from_root(study.base_model).exists()
    head = {
        "license": base_licence(study.base_model),
        "language": study.languages,
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["dpo", "multilingual", "self-improving"],
        **({} if local else {"base_model": base_source(study.base_model)}),
    }
    warning = f"> **Micro world.** {CAUTION['micro']}\n\n" if study.source == "micro" else ""
    parts = [
        _head(head) + f"# {name or f'{own.name} of the study {study.study}'}",
        warning
        + f"`{public_name(study.base_model)}` after {_iterations(own)} of {PAPER}: {ARMS[own.arm].description}.",
        USE.format(name=name or "FOLDER"),
        *([f"As in the study, it is to be told:\n\n{_told(own)}"] if _told(own) else []),
        "## Data\n\n" + _data(own),
        "## Method\n\n" + _method(own),
        "## Figures\n\n" + _figures(own),
        "## Checked\n\n" + f"With greedy decoding, {checked}. {ROUNDED}" + (NF4 if study.quantization == "nf4" else ""),
        "## Limits\n\n" + LIMITS,
        "## Licence\n\n" + _licence(study.base_model, str(head["license"])),
        "## Where it comes from\n\n" + _origin(own),
    ]
    return "\n\n".join(parts) + "\n"


def pairs_card(own: RunModel, files: Mapping[str, int]) -> str:
    """The page of exported pairs; ``files`` are the pairs in each."""
    study = own.study
    configs = [{"config_name": Path(file).stem, "data_files": file} for file in files]
    head = {"license": "other", "language": study.languages, "tags": ["dpo", "preference"], "configs": configs}
    counts = markdown(pd.DataFrame([{"file": f"`{file}`", "pairs": n} for file, n in files.items()]))
    warning = f"> **Micro world.** {CAUTION['micro']}\n\n" if study.source == "micro" else ""
    text = (
        "Prompts, chosen and rejected answers, all written or translated by the model that was trained on them. The"
        " columns `prompt`, `chosen` and `rejected` are conversations, as TRL takes them; `lang` is the prompt's"
        " language, `via` the other one that the pair comes from. `datasets.load_dataset(FOLDER, NAME)` reads a file."
        " `llama_factory/` has the same pairs for LLaMA-Factory: point its `dataset_dir` there."
    )
    licence = f"Prompts: see Data. Answers: the licence of the model's outputs, `{base_licence(study.base_model)}`."
    parts = [
        _head(head) + f"# Preference pairs of {own.name}, study {study.study}",
        warning + f"What `{public_name(study.base_model)}` was trained on in {_iterations(own)} of {PAPER}.",
        counts,
        text,
        "## Data\n\n" + _data(own),
        "## Licence\n\n" + licence,
        "## Where it comes from\n\n" + _origin(own),
    ]
    return "\n\n".join(parts) + "\n"


def base_licence(base_model: str) -> str:
    """The licence that a base model's card names, in its folder or in the hub's cache; ``other`` where none does."""
    try:
        from huggingface_hub import ModelCard, hf_hub_download

        local = Path(base_source(base_model)) / "README.md"
        card = local
        if not local.exists():
            source, revision = base_source(base_model), revision_of(base_model)
            card = Path(hf_hub_download(source, "README.md", revision=revision))
        return str(ModelCard.load(card, ignore_metadata_errors=True).data.license or "other")
    except Exception:  # no card, no network, a header that is no YAML: the text of the card says where to look
        return "other"


def public_name(base_model: str) -> str:
    """A model's name for a page: of a folder elsewhere the last part, which says nothing of where it lies."""
    return one_line(Path(base_model).name if Path(base_model).is_absolute() else base_model)


def _head(values: Mapping[str, object]) -> str:
    return f"---\n{yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)}---\n\n"


def _told(own: RunModel) -> str:
    """The study's system prompt and variables of the chat template, if it has any."""
    values = {"system_prompt": own.study.system_prompt, "chat_template_kwargs": own.study.chat_template_kwargs}
    said = {name: value for name, value in values.items() if value}
    return f"```yaml\n{yaml.safe_dump(said, allow_unicode=True, sort_keys=False)}```" if said else ""


def _iterations(own: RunModel) -> str:
    return "one iteration" if own.t == 1 else f"{own.t} iterations"


def _languages(codes: Sequence[str]) -> str:
    return ", ".join(LANGUAGES[lang].name for lang in codes)


def _data(own: RunModel) -> str:
    study = own.study
    path = own.run.data / "sources.json"
    sources = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    origins = "; ".join(f"{s['name']} ({s['licence']}, {s['origin']}, {s['revision']})" for s in sources)
    return (
        f"{study.prompts_per_iteration} prompts an iteration and language, in {_languages(study.languages)};"
        f" the dominant language is {LANGUAGES[study.dominant].name}. No answer was written by a person or by another"
        f" model. Prompts and test sets: {one_line(origins)}."
    )


def _method(own: RunModel) -> str:
    manifest = own.run.root / place("training", own.t, own.arm).manifest
    record = json.loads(manifest.read_text(encoding="utf-8"))
    p = record["params"]
    return (
        "The model answers every prompt in every language and translates its own answers. Outside of the dominant"
        " language the translated dominant answer is preferred to the direct one, in the dominant language the direct"
        f" one. LoRA (rank {p['lora_r']}, alpha {p['lora_alpha']}, quantisation of the base: {p['quantization']}) on"
        f" these pairs: objective {p['objective']}, beta {p['beta']}, alpha {p['alpha']}, learning rate"
        f" {p['learning_rate']}, {p['epochs']} epoch(s), {record['counts']['pairs']} pairs in the last iteration. The"
        " adapter is merged: the sum is taken in float32 and stored in the base model's own precision."
    )


def _figures(own: RunModel) -> str:
    """Levels of M0 and of the model with their intervals, and the paired differences between the two."""
    study, run = own.study, own.run
    results = collect([run])
    mine = (results["model"] == f"M{own.t}") & (results["arm"] == own.arm)
    chosen = pd.concat([results[(results["model"] == "M0") & (results["arm"] == MAIN)], results[mine]])
    parts = [f"With 95 % intervals over problems. Judge of X-AlpacaEval: {judged_by(study)}."]
    rows = []
    for task, test in TEST_SETS.items():
        parts.append(
            f"{test.title}:\n\n" + markdown(grid(chosen, task, METRICS[task], study.all_languages).reset_index())
        )
        after, before = problem_scores([run], task, own.arm, own.t), problem_scores([run], task, MAIN, 0)
        rows += step_gains(task, f"{own.name} - M0", after, before, study, with_paper=False)
    parts.append(
        "Points gained over M0 on the same problems:\n\n" + summary_markdown(titled(corrected(pd.DataFrame(rows))))
    )
    return "\n\n".join(parts)


def _licence(base_model: str, licence: str) -> str:
    return (
        f"This is a derivative of `{public_name(base_model)}`: its licence (by its card: `{licence}`) holds,"
        " with what that asks of derivatives, such as a name or a notice. Read it before you pass this model on."
    )


def _origin(own: RunModel) -> str:
    manifest = json.loads((own.run.root / place("training", own.t, own.arm).manifest).read_text(encoding="utf-8"))
    code, packages = manifest["code"], ", ".join(f"{k} {v}" for k, v in package_versions().items())
    return (
        f"Study `{own.study.study}`, seed {own.study.seed}, `{folder_of(own)}`; trained at commit {code['commit']}"
        f"{' with changes' if code['dirty'] else ''}, exported at commit {git_state()['commit']} with {packages}."
    )
