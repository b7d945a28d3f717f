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

from ldr_utils.study.params import StudyParams
from ldr_utils.study.provenance import code_hash
from ldr_utils.study.paths import model_name, pairs_name

logger.setLevel(logging.WARNING)  # the stages speak for themselves
logger.addFilter(lambda record: "CalledProcessError" not in record.getMessage())  # what failed, they have said
logging.raiseExceptions = False  # nor is a full disk news when the log of Snakemake is what does not fit

STUDY = StudyParams(**config["params"])
RUN_DIR = config["run_dir"]
LAST = STUDY.iterations
MODELS = [model_name(t, "lidr") for t in range(LAST + 1)]
BASELINES = [model_name(1, arm) for arm in STUDY.arms if arm != "lidr"]
PAIRS = [(t, "lidr") for t in range(LAST)] + [(0, arm) for arm in STUDY.arms]
EVAL_THREADS = max(1, STUDY.threads // 2)  # two evaluations side by side


def place(model):
    """(t, arm) of a model folder such as M1 or arms/sft/M1."""
    *arm, name = model.split("/")
    return int(name[1:]), arm[1] if arm else "lidr"


def before(model):
    """Folder of M_{t-1}."""
    t, arm = place(model)
    return model_name(t - 1, arm)


def shared(wildcards, task):
    """A stage's manifest of the model that answered: M0 answers once, for every arm."""
    return f"{model_name(*place(wildcards.model))}/{task}/manifest.json"


def pairs_before(wildcards):
    t, arm = place(wildcards.model)
    return f"{pairs_name(t - 1, arm)}/manifest.json"


def adapter(wildcards):
    return [] if place(wildcards.model)[0] == 0 else [f"{wildcards.model}/adapter/manifest.json"]


def previous_adapter(wildcards):
    model = before(wildcards.model)
    return [] if place(model)[0] == 0 else [f"{model}/adapter/manifest.json"]


def earlier_answers(wildcards):
    t, arm = place(wildcards.model)
    return [f"{model_name(s, arm)}/x_alpacaeval/manifest.json" for s in range(t)]


def questions(wildcards):
    """MT-Bench's files, which lie outside the run folder; imported for the studies that have them."""
    if not STUDY.mt_bench_dir:
        return []
    from ldr_utils.scores.mt_bench import question_files

    return [str(path) for path in question_files(STUDY).values()]


def notebook(name, **fixed):
    """The values a notebook is run with, as JSON: its slice of the study, and what only the driver knows."""

    def values(wildcards):
        run = {"run_dir": RUN_DIR} | fixed
        if hasattr(wildcards, "model"):
            run["t"], run["arm"] = place(wildcards.model)
        own = STUDY.for_notebook(name, run.get("arm", "lidr"))
        return json.dumps(own | run, sort_keys=True)

    return values


def manifests(task, models):
    return [f"{model}/{task}/manifest.json" for model in models]


# What ``ldr run --until STAGE`` asks for; without it, the report.
TARGETS = {
    "data": ["data/manifest.json"],
    "generation": manifests("responses", MODELS[:-1]),
    "translation": manifests("translations", MODELS[:-1]),
    "pairs": list(dict.fromkeys(f"{pairs_name(t, arm)}/manifest.json" for t, arm in PAIRS)),
    "training": manifests("adapter", MODELS[1:] + BASELINES),
    "x_alpacaeval": manifests("x_alpacaeval", MODELS + BASELINES),
    "mgsm": manifests("mgsm", MODELS + BASELINES),
    "tax": manifests("tax", MODELS + BASELINES),
    "report": ["report/index.html", "results.csv"],
}
EXECUTE = f"exec {sys.executable} -m ldr_utils.commands.execute $PPID {{params.name}} {{log}} {{params.values:q}}"


wildcard_constraints:
    model=r"(arms/\w+/)?M\d+",


rule all:
    input:
        # by name: Snakemake does not miss a file in the middle once all that came of it is there
        TARGETS.values() if config["until"] == "report" else TARGETS[config["until"]],


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
        lambda wildcards: shared(wildcards, "responses"),
        lambda wildcards: shared(wildcards, "translations"),
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
        pairs_before,
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


rule tax:
    input:
        "data/manifest.json",
        adapter,
        questions,
    output:
        "{model}/tax/manifest.json",
    log:
        "notebooks/{model}/07b_alignment_tax.ipynb",
    params:
        name="07b_alignment_tax",
        values=notebook("07b_alignment_tax", threads=EVAL_THREADS),
        code=code_hash("07b_alignment_tax"),
    threads: EVAL_THREADS
    resources:
        gpu=int(STUDY.source == "micro" or bool(STUDY.benchmarks or STUDY.mt_bench_dir)),
    shell:
        EXECUTE


rule report:
    input:
        TARGETS["x_alpacaeval"],
        TARGETS["mgsm"],
        TARGETS["tax"],
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
        f"{sys.executable} -m ldr_utils.commands.site ."
