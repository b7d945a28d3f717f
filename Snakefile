"""The order of the study: which notebook turns which artifacts into which, for every M_t.

Run it through ``ldr run PARAMS.yaml``, which validates the parameters and makes the run folder the working directory.
The rules are made from the table of stages (``ldr_utils.study.stages``), one for each stage of each model. A stage that
holds a model takes the resource ``gpu``, of which ``ldr run`` gives one where there is a GPU. A stage is complete when
its manifest exists. Its parameters and the checksum of its code are rule parameters, so that a change to either executes
its notebook again, and no other.
"""

import json
import logging
import os
import shlex
import sys

from snakemake.logging import logger

from ldr_utils.study.params import StudyParams, validate
from ldr_utils.study.provenance import code_hash
from ldr_utils.study.stages import ancestors, executed, inputs, places, threads, values

logger.setLevel(logging.WARNING)  # the stages speak for themselves
logger.addFilter(lambda record: "CalledProcessError" not in record.getMessage())  # what failed, they have said
logging.raiseExceptions = False  # on a full disk Snakemake cannot write its own log either: that is no news

STUDY = validate(StudyParams, config["params"], "params")
PLACES = list(places(STUDY))
CODE = {name: code_hash(name, STUDY.all_languages) for name in dict.fromkeys(one.stage.notebook for one in PLACES)}
CHAIN = ancestors("training")  # what the next model waits for comes first
PYTHON = shlex.quote(sys.executable).replace("{", "{{").replace("}", "}}")
EXECUTE = f"exec {PYTHON} -m ldr_utils.commands.execute $PPID {{params.name}} {{log}} {{params.values:q}}"


def job(place):
    """The values a notebook is run with, as JSON; a function, for Snakemake would take its braces for wildcards."""
    text = json.dumps(values(STUDY, place), sort_keys=True)
    return lambda wildcards: text


def beside(place):
    """What a stage reads that no stage wrote: MT-Bench's questions, and the report what ``ldr judge-check`` found."""
    if place.stage.name == "report" and os.path.exists("judge_check/agreement.csv"):
        return ["judge_check/agreement.csv"]
    if not STUDY.mt_bench_dir or "mt_bench_dir" not in place.stage.schema.model_fields:
        return []
    from ldr_utils.scores.mt_bench import question_files

    return [str(path) for path in question_files(STUDY).values()]


def targets(name):
    """What ``ldr run --until STAGE`` asks for: the stage of every model; with the report, the pages over it."""
    found = [place.manifest for place in PLACES if place.stage.name == name]
    return [*found, "results.csv", "report/index.html"] if name == "report" else found


rule all:
    input:
        # by name: Snakemake does not miss a file in the middle once all that came of it is there
        [place.manifest for place in PLACES] if config["until"] == "report" else [],
        targets(config["until"]),


for place in PLACES:

    rule:
        name:
            place.rule
        input:
            [read.manifest for read in inputs(STUDY, place)],
            beside(place),
        output:
            place.manifest,
            *(["results.csv"] if place.stage.name == "report" else []),
        log:
            executed(STUDY, place),
        params:
            name=place.stage.notebook,
            values=job(place),
            code=CODE[place.stage.notebook],
        threads: threads(STUDY, place.stage)
        resources:
            gpu=int(place.stage.gpu(STUDY)),
        priority: 2 * (place.stage.name in CHAIN)
        shell:
            EXECUTE


rule site:
    input:
        "report/summary/manifest.json",
    output:
        "report/index.html",
    shell:
        f"exec {PYTHON} -m ldr_utils.commands.site ."
