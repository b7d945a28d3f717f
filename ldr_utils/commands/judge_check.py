"""``ldr judge-check``: measure a study's judge on pairs of which it is known which answer is better."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pandas as pd

from ldr_utils.judges.labelled import SENTENCES
from ldr_utils.judges.open import make_judge
from ldr_utils.report.calibration import NOTE, tables
from ldr_utils.scores.judge_check import check_judge, summary
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.params import StudyParams
from ldr_utils.study.paths import Run, run_folder
from ldr_utils.study.text import markdown


def judge_check(params: StudyParams, out: Path | None) -> str:
    """Check the judge, and the second one where there is one; the tables, as text.

    Verdicts go through the run folder's cache, so that none is paid for twice; what is found is written beside it,
    where the report looks for it.

    Parameters
    ----------
    params : StudyParams
        The validated parameters.
    out : Path or None
        Run folder; ``runs/<study>`` when None. It need not exist.

    Raises
    ------
    InputError
        When the judge cannot be asked.
    """
    run = Run(run_folder(params.study, out))
    asked = [params] if params.second_judge == "none" else [params, params.of_second_judge()]
    found, pairs = [], []
    for own in asked:
        judge = make_judge(own.model_copy(update={"run_dir": str(run.root)}), params.all_languages)
        checked = check_judge(judge, params.all_languages)
        pairs.append(checked.assign(judge=judge.name))
        found.append(summary(judge, checked))
    results = pd.concat(found)
    write_text(run.judge_check.with_name("pairs.csv"), pd.concat(pairs).to_csv(index=False))
    write_text(run.judge_check, results.to_csv(index=False, float_format="%.6f"))
    lines = [textwrap.fill(NOTE.replace("*", ""), 120), ""]
    for name, table in tables(results).items():
        lines += [f"{name}: agreement in percent (95 % interval)", markdown(table.reset_index()), ""]
    if missing := [lang for lang in params.all_languages if lang not in SENTENCES]:
        lines.append(f"Left out, for no sentences are at hand: {', '.join(missing)}.")
    return "\n".join([*lines, f"Written to {run.judge_check.parent}."])
