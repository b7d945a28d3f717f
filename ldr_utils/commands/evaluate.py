"""Any models on the test sets of a study, without a study: answers, scores, one table, paired intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ldr_utils.commands.evaluation_page import page, terminal
from ldr_utils.commands.preflight import check_judge, check_judges
from ldr_utils.commands.released import Released, find_models
from ldr_utils.data import sets
from ldr_utils.data.files import Source
from ldr_utils.data.test_sets import TEST_SETS
from ldr_utils.judges.open import make_judge
from ldr_utils.judges.verdicts import Judge
from ldr_utils.policy.backends import open_generator, settle_backend
from ldr_utils.policy.generate import answer
from ldr_utils.policy.load import load_chat, settings_of
from ldr_utils.report.gains import corrected, step_gains
from ldr_utils.scores import answers, mgsm, x_alpacaeval
from ldr_utils.scores.rows import wide, write_rows
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.params import AlpacaParams, EvaluateParams, MgsmParams, ReleasedParams, write_yaml
from ldr_utils.study.paths import Run
from ldr_utils.study.progress import as_in_a_batch_run, say
from ldr_utils.study.provenance import forget_loaded
from ldr_utils.study.records import DataSet, Response
from ldr_utils.study.stage import StageRun
from ldr_utils.study.stages import BY_NAME, place, values

ASKED = "evaluation.yaml"  # the resolved parameters: what makes a folder one of this command
Answers = dict[str, dict[str, list[Response]]]  # by test set and language


@dataclass
class Scored:
    """What came out for one model: rows of results.csv, and the scores behind them by test set."""

    rows: list[dict[str, Any]]
    scores: dict[str, pd.DataFrame] = field(default_factory=dict)  # problems by languages


def evaluate(params: EvaluateParams, out: Path, baseline: str = "") -> str:
    """Evaluate models as a study evaluates its own, and write tables, figures and answers to a folder.

    The same command continues where it was stopped. A model whose weights, or whose decoding, changed answers again.

    Parameters
    ----------
    params : EvaluateParams
        Data, decoding and judge as in a study; the models.
    out : Path
        Where everything is kept: ``results.csv``, ``comparisons.csv``, ``README.md``, ``figures/``, and a folder each
        model with its answers and a manifest of what made them.
    baseline : str
        The name of the model that all others are compared with; the first where empty.

    Returns
    -------
    str
        The tables as markdown.

    Raises
    ------
    InputError
        When a model, the judge, the data or the folder is not what it should be: before any model is loaded.
    """
    models = find_models(params.models)
    against = _position(models, baseline)
    for model in models:
        load_chat(model.base, settings=settings_of(params, "base_model"))  # what cannot be spoken to shows now
    check_judges(params)
    if params.second_judge != "none":
        raise InputError("second_judge: an evaluation asks one judge; set it to none")
    run = _folder(out)
    if not run.results.exists():  # where there are results, verdicts are kept
        check_judge(params, run.root, "report")
    drawn, sources = sets.draw_tests(params)
    sets.check_unchanged(run, sources)
    write_text(run.root / ASKED, write_yaml(params.model_dump()))
    sets.write_sets(run, drawn, sources)
    found = {}
    for k, model in enumerate(models):
        with as_in_a_batch_run(model.name):
            found[k] = _answers(params, run, model, drawn)
    with as_in_a_batch_run("judge"):
        return _tables(params, run, models, found, against, sources)


def _tables(
    params: EvaluateParams,
    run: Run,
    models: list[Released],
    found: Mapping[int, Answers],
    against: int,
    sources: Sequence[Source],
) -> str:
    """Write every table and the page; returns what the terminal shows."""
    scored = _scores(params, run, models, found, against)
    results = write_rows(run.results, [row for own in scored for row in own.rows])
    compared = comparisons(params, models, scored, against)
    write_text(run.root / "comparisons.csv", compared.to_csv(index=False, float_format="%.6f"))
    page(params, run, models, results, compared, sources)
    return terminal(params, results, compared)


def _position(models: list[Released], baseline: str) -> int:
    names = [model.name for model in models]
    if baseline and baseline not in names:
        raise InputError(f"--baseline {baseline}: is none of the models; choose from {', '.join(names)}")
    return names.index(baseline) if baseline else 0


def _folder(out: Path) -> Run:
    """The folder of an evaluation, which may go on; anything else in it stays untouched."""
    root = out.resolve()
    if root.is_dir() and not (root / ASKED).exists():
        for path in root.iterdir():
            raise InputError(f"--out {out}: holds {path.name}, but no evaluation; give an empty or a new folder")
    return Run(root)


def _answers(params: EvaluateParams, run: Run, model: Released, tests: Mapping[str, DataSet]) -> Answers:
    """What a model answers to every test set: kept file by file, with a manifest of what made them (as 05b does)."""
    own = values(params, place("answers")) | {"run_dir": str(run.root), "mt_bench_dir": ""}
    own |= {"t": 0, "base_model": model.base, "adapter_folder": model.adapter, "weights": model.weights}
    asked = settle_backend(ReleasedParams(**own))
    stage = StageRun(BY_NAME["answers"], run.root / "models" / model.name / "answers", asked, [])
    stage.begin()
    forget_loaded()  # what the model before was
    say(f"answers; {model.source}")
    with open_generator(asked, asked.t) as generator:
        found = {name: answer(generator, prompts, stage.folder / name) for name, prompts in tests.items()}
    checks = pd.concat([answers.check_responses(kept) for kept in found.values()])
    headline = f"{len(checks)} answers, {answers.headline(checks)}"
    stage.finish(headline, model=model.source, **answers.rates(checks))
    say(headline)
    return found


def _scores(
    params: EvaluateParams, run: Run, models: list[Released], found: Mapping[int, Answers], against: int
) -> list[Scored]:
    """Scores of every model, and of every one but the baseline its duels with that.

    To the stages' functions the models are M_0, M_1, ... in the order given; the names come at the end.
    """
    judge = make_judge(params.model_copy(update={"run_dir": str(run.root)}), params.all_languages)
    scored = []
    for k, model in enumerate(models):
        folder = run.root / "models" / model.name
        rivals = {} if k == against else {against: found[against]["x_alpacaeval"]}
        own = Scored(_mgsm(params, folder, k, found[k]["mgsm"]))
        own.rows += _x_alpacaeval(params, folder, k, judge, found[k]["x_alpacaeval"], rivals)
        own.scores = {
            name: wide(pd.read_csv(folder / name / test.scores), test.column) for name, test in TEST_SETS.items()
        }
        own.rows = [row | {"arm": "", "model": _named(row["model"], models)} for row in own.rows]
        scored.append(own)
    return scored


def _named(model: str, models: list[Released]) -> str:
    """``M1-vs-M0`` with the names of the models in the place of their numbers."""
    return "-vs-".join(models[int(number)].name for number in re.findall(r"\d+", model))


def _mgsm(params: EvaluateParams, folder: Path, k: int, responses: dict[str, list[Response]]) -> list[dict[str, Any]]:
    flat = [record for records in responses.values() for record in records]
    scores = mgsm.score_mgsm(flat)
    _write(scores, folder / "mgsm" / TEST_SETS["mgsm"].scores)
    return mgsm.result_rows(scores, MgsmParams(**params.for_notebook("07_mgsm"), t=k))


def _x_alpacaeval(
    params: EvaluateParams,
    folder: Path,
    k: int,
    judge: Judge,
    responses: dict[str, list[Response]],
    rivals: Mapping[int, dict[str, list[Response]]],
) -> list[dict[str, Any]]:
    checks = answers.check_responses(responses)
    with_reference = sets.referenced(responses)
    verdicts = x_alpacaeval.against_reference(judge, with_reference)
    null = x_alpacaeval.against_null(judge, with_reference)
    duels = {s: x_alpacaeval.against_model(judge, responses, theirs) for s, theirs in rivals.items()}
    _write(verdicts, folder / "x_alpacaeval" / TEST_SETS["x_alpacaeval"].scores)
    for duel in duels.values():
        _write(duel, folder / "x_alpacaeval" / "verdicts_baseline.csv")
    own = AlpacaParams(**params.for_notebook("06_x_alpacaeval"), t=k)
    return x_alpacaeval.result_rows(verdicts, null, duels, checks, own)


def _write(table: pd.DataFrame, path: Path) -> None:
    write_text(path, table.to_csv(index=False))


def comparisons(params: EvaluateParams, models: list[Released], scored: list[Scored], against: int) -> pd.DataFrame:
    """Paired differences of every model with the baseline on the same problems (see ``report.gains``)."""
    rows: list[dict[str, Any]] = []
    base = models[against].name
    for task in TEST_SETS:
        for k, model in enumerate(models):
            if k != against:
                tables = scored[k].scores[task], scored[against].scores[task]
                rows += step_gains(task, f"{model.name} - {base}", *tables, params, params.source == "published")
    return corrected(pd.DataFrame(rows)) if rows else pd.DataFrame()
