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
        report = Run(Path(scratch).resolve() / params.study)
        own = report.root / "notebooks" / f"{REPORT}.ipynb"
        places = {"run_dir": str(report.root), "runs": [shortest(run.root) for run in runs]}
        if execute(REPORT, own, params.model_dump() | places):
            raise SystemExit(1)
        first = runs[0].root
        others = [path for path in sorted((first / "notebooks").rglob("*.ipynb")) if path.stem != REPORT]
        for folder, path in ((report.root, own), *((first, path) for path in others)):
            write_text(out / path.relative_to(folder), _portable(path))
        write_text(out / "results.csv", report.results.read_text(encoding="utf-8"))
        text, pictures = page(own)
    for name, png in pictures.items():
        (out / "figures").mkdir(parents=True, exist_ok=True)
        (out / "figures" / name).write_bytes(png)
    links = {
        "all seeds": ["[results.csv](results.csv)", f"[{REPORT}](notebooks/{REPORT}.ipynb), with its code and examples"]
    }
    for path in others:
        name = path.relative_to(first).as_posix()
        links.setdefault(path.parent.relative_to(first / "notebooks").as_posix(), []).append(f"[{path.stem}]({name})")
    files = "\n".join(f"- {model}: {', '.join(own)}" for model, own in links.items())
    write_text(out / "README.md", f"{text}\n\n## Files\n\nBelow the line *all seeds*, the first seed's.\n\n{files}\n")


def _portable(notebook: Path) -> str:
    """An executed notebook without the places where it ran: papermill and warnings note them, and they mean nothing."""
    text = notebook.read_text(encoding="utf-8")
    noted = json.loads(text)["metadata"]["papermill"]
    given = noted.get("parameters", {})
    for folder in map(Path, (given.get("run_dir", ""), *given.get("runs", []))):
        if folder.is_absolute():  # of a run outside of the repository
            text = text.replace(str(folder), folder.name)
    source = str(noted["input_path"])  # .../notebooks/NAME.ipynb
    for place in (source.removesuffix(f"notebooks/{notebook.name}"), f"{sys.prefix}/", f"{ROOT}/"):
        text = text.replace(place, "") if place else text
    return text
