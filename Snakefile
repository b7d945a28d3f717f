"""The order of the study: which notebook turns which artifacts into which, for every M_t.

Run it through ``ldr run PARAMS.yaml``, which validates the parameters and makes the run folder the working directory.
A stage that holds a model takes the resource ``gpu``, of which ``ldr run`` gives one where there is a GPU.
A stage is complete when its manifest exists. Its parameters and the checksum of its code are rule parameters, so a
change to either re-runs the stages it affects and no others.
"""

import json
import logging
import sys

from snakemake.logging import logger

from ldr_utils.params import StudyParams
from ldr_utils.provenance import code_hash
from ldr_utils.paths import model_name

logger.setLevel(logging.WARNING)  # the stages speak for themselves

STUDY = StudyParams(**config["params"])
RUN_DIR = config["run_dir"]
LAST = STUDY.iterations
MODELS = [model_name(t, "lidr") for t in range(LAST + 1)]
BASELINES = [model_name(1, arm) for arm in STUDY.arms if arm != "lidr"]
EVAL_THREADS = max(1, STUDY.threads // 2)  # two evaluations side by side


def place(model):
    """(t, arm) of a model folder such as M1 or arms/sft/M1."""
    *arm, name = model.split("/")
    return int(name[1:]), arm[1] if arm else "lidr"


def before(model):
    """Folder of M_{t-1}."""
    t, arm = place(model)
    return model_name(t - 1, arm)


def adapter(wildcards):
    return [] if place(wildcards.model)[0] == 0 else [f"{wildcards.model}/adapter/manifest.json"]


def previous_adapter(wildcards):
    model = before(wildcards.model)
    return [] if place(model)[0] == 0 else [f"{model}/adapter/manifest.json"]


def earlier_answers(wildcards):
    t, arm = place(wildcards.model)
    return [f"{model_name(s, arm)}/x_alpacaeval/manifest.json" for s in range(t)]


def notebook(name, **fixed):
    """The values a notebook is run with, as JSON: its slice of the study, and what only the driver knows."""

    def values(wildcards):
        own = STUDY.for_notebook(name) | {"run_dir": RUN_DIR} | fixed
        if hasattr(wildcards, "model"):
            t, arm = place(wildcards.model)
            own |= {"t": t} if name == "04_pairs" else {"t": t, "arm": arm}
        return json.dumps(own, sort_keys=True)

    return values


def manifests(task, models):
    return [f"{model}/{task}/manifest.json" for model in models]


# What ``ldr run --until STAGE`` asks for; without it, the report.
TARGETS = {
    "data": ["data/manifest.json"],
    "generation": manifests("responses", MODELS[:-1]),
    "translation": manifests("translations", MODELS[:-1]),
    "pairs": manifests("pairs", MODELS[:-1]),
    "training": manifests("adapter", MODELS[1:] + BASELINES),
    "x_alpacaeval": manifests("x_alpacaeval", MODELS + BASELINES),
    "mgsm": manifests("mgsm", MODELS + BASELINES),
    "report": ["report/index.html", "results.csv"],
}
EXECUTE = f"{sys.executable} -m ldr_utils.execute {{params.name}} {{log}} {{params.values:q}}"


wildcard_constraints:
    model=r"(arms/\w+/)?M\d+",


rule all:
    input:
        TARGETS[config["until"]],


rule data:
    output:
        "data/manifest.json",
    log:
        "notebooks/M0/01_data.ipynb",
    params:
        name="01_data",
        values=notebook("01_data"),
        code=code_hash("01_data"),
    shell:
        EXECUTE


rule generation:
    input:
        "data/manifest.json",
        adapter,
    output:
        "{model}/responses/manifest.json",
    log:
        "notebooks/{model}/02_generation.ipynb",
    params:
        name="02_generation",
        values=notebook("02_generation"),
        code=code_hash("02_generation"),
    threads: STUDY.threads
    resources:
        gpu=1,
    priority: 2
    shell:
        EXECUTE


rule translation:
    input:
        "{model}/responses/manifest.json",
        adapter,
    output:
        "{model}/translations/manifest.json",
    log:
        "notebooks/{model}/03_translation.ipynb",
    params:
        name="03_translation",
        values=notebook("03_translation"),
        code=code_hash("03_translation"),
    threads: STUDY.threads
    resources:
        gpu=1,
    priority: 2
    shell:
        EXECUTE


rule pairs:
    input:
        "data/manifest.json",
        "{model}/responses/manifest.json",
        "{model}/translations/manifest.json",
    output:
        "{model}/pairs/manifest.json",
    log:
        "notebooks/{model}/04_pairs.ipynb",
    params:
        name="04_pairs",
        values=notebook("04_pairs"),
        code=code_hash("04_pairs"),
    resources:
        gpu=int(STUDY.judge == "local"),
    priority: 2
    shell:
        EXECUTE


rule training:
    input:
        lambda wildcards: f"{before(wildcards.model)}/pairs/manifest.json",
        previous_adapter,
    output:
        "{model}/adapter/manifest.json",
    log:
        "notebooks/{model}/05_qlora_dpo.ipynb",
    params:
        name="05_qlora_dpo",
        values=notebook("05_qlora_dpo"),
        code=code_hash("05_qlora_dpo"),
    threads: STUDY.threads
    resources:
        gpu=1,
    priority: 2
    shell:
        EXECUTE


rule x_alpacaeval:
    input:
        "data/manifest.json",
        adapter,
        earlier_answers,
    output:
        "{model}/x_alpacaeval/manifest.json",
    log:
        "notebooks/{model}/06_x_alpacaeval.ipynb",
    params:
        name="06_x_alpacaeval",
        values=notebook("06_x_alpacaeval", threads=EVAL_THREADS),
        code=code_hash("06_x_alpacaeval"),
    threads: EVAL_THREADS
    resources:
        gpu=1,
    shell:
        EXECUTE


rule mgsm:
    input:
        "data/manifest.json",
        adapter,
    output:
        "{model}/mgsm/manifest.json",
    log:
        "notebooks/{model}/07_mgsm.ipynb",
    params:
        name="07_mgsm",
        values=notebook("07_mgsm", threads=EVAL_THREADS),
        code=code_hash("07_mgsm"),
    threads: EVAL_THREADS
    resources:
        gpu=1,
    shell:
        EXECUTE


rule report:
    input:
        TARGETS["x_alpacaeval"],
        TARGETS["mgsm"],
        TARGETS["pairs"],
    output:
        "report/summary/manifest.json",
        "results.csv",
    log:
        f"notebooks/M{LAST}/08_report.ipynb",
    params:
        name="08_report",
        values=notebook("08_report"),
        code=code_hash("08_report"),
    shell:
        EXECUTE


rule site:
    input:
        "report/summary/manifest.json",
    output:
        "report/index.html",
    shell:
        f"{sys.executable} -m ldr_utils.site ."
