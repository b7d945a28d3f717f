"""Several seeds of one study in one table, and the rendered report that ships."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ldr_utils.commands.execute import execute
from ldr_utils.commands.site import page
from ldr_utils.report import claims, gains
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.manifests import damaged, manifests
from ldr_utils.study.params import ReportParams
from ldr_utils.study.paths import ROOT, Run, shortest

REPORT = "08_report"


def read_runs(folders: Sequence[Path]) -> tuple[list[Run], list[ReportParams]]:
    """Open finished runs of one study.

    Raises
    ------
    InputError
        When a folder is not a finished run, or the runs differ in more than their seed.
    """
    runs = [Run(folder.resolve()) for folder in folders]
    params = [gains.read_params(run) for run in runs]
    for run, own in zip(runs, params, strict=True):
        if not run.results.exists():
            raise InputError(f"{run.root}: has no results.csv; finish it with ldr run")
        for manifest in manifests(run.root):
            if bad := damaged(manifest):
                raise InputError(f"{bad[0]}: missing or changed since it was written; have ldr run rebuild it")
        if own.model_copy(update={"seed": 0, "run_dir": ""}) != params[0].model_copy(update={"seed": 0, "run_dir": ""}):
            raise InputError(f"{run.root}: is not a run of the same study as {runs[0].root}; compare runs of one study")
    if len({own.seed for own in params}) != len(params):
        raise InputError("compare: two runs have the same seed; give runs with different seeds")
    return runs, params


def compare(folders: Sequence[Path], out: Path | None) -> str:
    """Put several seeds of a study in one table; with ``out``, write the report that ships.

    Returns
    -------
    str
        The claims and the gains as markdown.

    Raises
    ------
    SystemExit
        With 1, when a cell of the report failed; which one has been printed.
    """
    runs, params = read_runs(folders)
    if out is not None:
        _publish(runs, params[0], out)
    found, moved = claims.claims(runs, params[0]), gains.gains(runs, params[0])
    return f"{claims.claims_markdown(found, params[0].study, len(runs))}\n\n{gains.summary_markdown(moved)}"


def _publish(runs: Sequence[Run], params: ReportParams, out: Path) -> None:
    """Execute the report over the runs, in a folder of its own: nothing is written into theirs."""
    with tempfile.TemporaryDirectory(prefix="ldr-") as scratch:
        report = Run(Path(scratch).resolve())
        own = report.root / "notebooks" / f"{REPORT}.ipynb"
        places = {"run_dir": str(report.root), "runs": [str(run.root) for run in runs]}
        if execute(REPORT, own, params.model_dump() | places):
            raise SystemExit(1)
        executed = {path.relative_to(runs[0].root): path for path in (runs[0].root / "notebooks").rglob("*.ipynb")}
        executed = {name: path for name, path in sorted(executed.items()) if path.stem != REPORT}
        for name, path in {own.relative_to(report.root): own, **executed}.items():
            write_text(out / name, _portable(path, [*runs, report]))
        write_text(out / "results.csv", report.results.read_text(encoding="utf-8"))
        text, pictures = page(own)
    for name, png in pictures.items():
        (out / "figures").mkdir(parents=True, exist_ok=True)
        (out / "figures" / name).write_bytes(png)
    links = [f"- [{name.with_suffix('').as_posix()}]({name.as_posix()})" for name in executed]
    files = [
        "- [results.csv](results.csv): every number of this page and more, a row each",
        f"- [notebooks/{REPORT}](notebooks/{REPORT}.ipynb): this page with its code, and examples of pairs",
    ]
    write_text(out / "README.md", "\n".join([text, "", "## Files", "", *files, *links, ""]))


def _portable(notebook: Path, runs: Sequence[Run]) -> str:
    """An executed notebook without the places where it ran: papermill and warnings note them, and they mean nothing."""
    text = notebook.read_text(encoding="utf-8")
    for run in runs:
        text = text.replace(str(run.root), shortest(run.root) if run.root.is_relative_to(ROOT) else run.root.name)
    source = str(json.loads(text)["metadata"]["papermill"]["input_path"])  # .../notebooks/NAME.ipynb
    for place in (source.removesuffix(f"notebooks/{notebook.name}"), f"{sys.prefix}/", f"{ROOT}/"):
        text = text.replace(place, "") if place else text
    return text
