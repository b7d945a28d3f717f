"""The rehearsal of a study: its whole chain on the machine where it will run, with the model shrunk; minutes.

Everything is the study's own (params, tokenizer, template, adapter, quantisation, backend, data, judge) but for the
size of the model and the number of rows. It ends in a table: what was tried, what holds, what would break.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ldr_utils.commands.chats import folder_of
from ldr_utils.commands.device import probe
from ldr_utils.commands.doctor import diagnose
from ldr_utils.commands.here import execute_here
from ldr_utils.commands.hours import hours_by_stage, judge_usd, total_calls
from ldr_utils.commands.looks import (
    Row,
    ask_the_judge,
    look_at_answers,
    look_at_inputs,
    look_at_room,
    look_at_template,
    look_at_weights,
    merged,
    tried,
)
from ldr_utils.commands.measure import measure
from ldr_utils.commands.model_files import shape_of
from ldr_utils.commands.preflight import REHEARSED, check_empty
from ldr_utils.commands.props import OURS, Props, offline_hub, set_up
from ldr_utils.commands.run import run_study, write_config
from ldr_utils.policy.load import base_source, load_tokenizer
from ldr_utils.study import provenance
from ldr_utils.study.errors import InputError
from ldr_utils.study.jsonl import read_jsonl, write_text
from ldr_utils.study.params import StudyParams, machine_params
from ldr_utils.study.paths import Run
from ldr_utils.study.records import Prompt
from ldr_utils.study.stages import Place, executed, inputs, places, values
from ldr_utils.study.text import in_columns, one_line

OF_THE_DOCTOR: dict[str, Any] = {"ok": "holds", "warn": "to mind", "fail": "would break"}
# Rows of the doctor that say something of this machine or of what it reaches, not of the study.
OF_THE_MACHINE = {"base model", "translator", "judge", "data", "disk", "judge key", "device", "precision", "hours"}


@dataclass
class Rehearsal:
    """What a rehearsal found.

    Attributes
    ----------
    rows : list of Row
        The table.
    folder : Path
        Where it was played; removed when nothing would break and nobody named it.
    """

    study: str
    folder: Path
    rows: list[Row] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def breaks(self) -> list[Row]:
        return [row for row in self.rows if row.outcome == "would break"]

    def add(self, *rows: Row) -> None:
        for row in rows:
            self.rows = merged(self.rows, row)


def rehearse(
    study: StudyParams,
    out: Path | None = None,
    *,
    run: Path | None = None,
    short: bool = False,
    offline: bool = False,
    cores: int = 2,
) -> Rehearsal:
    """Rehearse a study.

    Parameters
    ----------
    study : StudyParams
        The study.
    out : Path, optional
        Where to play it, an empty or new folder that is kept; a temporary one without.
    run : Path, optional
        The run folder of the study itself, whose disk is looked at.
    short : bool
        One iteration, every notebook in this process, and no look at the machine: seconds in place of minutes.
    offline : bool
        Ask nothing of the network: what cannot be had here is played by a stand-in and said to be not tried.
    cores : int
        Processor cores.

    Raises
    ------
    InputError
        When ``out`` is not empty.
    """
    started = time.monotonic()
    found = Rehearsal(study.study, _stage_folder(out))
    with _quiet():
        found.add(*look_at_inputs(study, offline))
        if not short:
            found.add(*doctors_rows(study, run, offline))
        try:
            _play(found, study, short, offline, cores)
        except InputError as error:  # nothing to play with
            found.add(Row("stages", "would break", str(error)))
        except OSError as error:
            found.add(Row("stages", "would break", f"{error.filename or found.folder}: {error.strerror or error}"))
    found.seconds = time.monotonic() - started
    if out is None and not found.breaks:
        shutil.rmtree(found.folder, ignore_errors=True)
    return found


def _stage_folder(out: Path | None) -> Path:
    if out is None:
        return Path(tempfile.mkdtemp(prefix="ldr-rehearsal-"))
    check_empty(out)
    out.mkdir(parents=True, exist_ok=True)
    return out.resolve()


def _play(found: Rehearsal, study: StudyParams, short: bool, offline: bool, cores: int) -> None:
    folder = found.folder
    props = set_up(study, folder, offline, iterations=1 if short else 2)
    found.add(*(Row(name, "would break", line) for name, line in props.breaks.items()))
    found.add(*(Row(name, "not tried", line) for name, line in props.made.items()))
    found.add(*(Row(name, "holds", line) for name, line in props.real.items()))
    found.add(*_judges_rows(study, folder, offline))
    if (asked := total_calls(study)) and study.judge == "openai":
        usd = judge_usd(study)
        price = f"about {usd:,.0f} USD at the study's prices" if usd else "no prices are set"
        found.add(Row("judge's bill", "holds", f"up to {asked:,} questions; {price}"))
    if props.model:
        found.add(tried("chat template", partial(look_at_template, study, props.model)))
    if study.base_model != OURS:
        found.add(*_weights_rows(study, props))
    run = Run(folder / "run")
    errors = _play_here(run, props.study) if short else _play_all(run, props.study, cores)
    if props.model:
        found.add(tried_room(study, props.model, run.data))
    found.add(*stage_rows(run.root, props.study, errors))
    if not short and study.base_model != OURS:
        found.add(_measured(study, run, offline))
    found.add(*look_at_answers(run.root))
    if study.benchmarks:
        found.add(
            Row("07c_benchmarks", "not tried", "its tasks have test sets of their own, which would be downloaded")
        )


def _measured(study: StudyParams, run: Run, offline: bool) -> Row:
    """The hours by a short run of the whole model, where a GPU and its weights are there."""
    name, there, shape = "time, measured", folder_of(study.base_model), shape_of(study.base_model)
    if offline:
        return Row(name, "not tried", "offline")
    device = probe(study.dtype)
    if device.gpu is None:
        return Row(name, "not tried", "there is no GPU")
    if there is None or shape is None or not any(there.glob("*.safetensors")):
        return Row(name, "not tried", "the weights are not here yet; download them and rehearse again")

    def look() -> str:
        first = next((run.data / "iteration0").glob(f"{study.dominant}.jsonl"))
        seen = measure(study, [row["prompt"] for row in read_jsonl(first, Prompt)], run.root.parent)
        hours = hours_by_stage(study, device, shape, measured=seen.speed(shape))
        by_stage = ", ".join(f"{stage} {value:.1f}" for stage, value in hours.items())
        return f"about {sum(hours.values()):.1f} hours on {device.gpu} ({by_stage}): {seen}"

    return tried(name, look)


def tried_room(study: StudyParams, source: Path, data: Path) -> Row:
    """See `look_at_room`; a template that cannot be rendered has a row of its own."""
    try:
        return look_at_room(study, source, data)
    except Exception as error:
        return Row("room for answers", "not tried", f"{type(error).__name__}: {error}")


def doctors_rows(study: StudyParams, run: Path | None, offline: bool) -> Iterator[Row]:
    asked = study.model_copy(update={"judge": "rubric", "second_judge": "none"}) if offline else study
    with offline_hub(offline):
        checks = diagnose(asked, run)
    for check in checks:
        row = Row(check.name, OF_THE_DOCTOR[check.verdict], check.detail)
        if offline and row.name.startswith("judge"):
            continue
        if offline and row.name == "time":  # of a study without its judge, whose questions have a row of their own
            row = Row(row.name, row.outcome, row.detail.partition("; up to")[0])
        if offline and row.outcome == "would break" and (row.name in OF_THE_MACHINE or row.name.startswith("memory")):
            row = Row(row.name, "not tried", f"offline; on this machine the doctor says: {row.detail}")
        yield row


def _judges_rows(study: StudyParams, folder: Path, offline: bool) -> Iterator[Row]:
    if study.judge != "openai":
        return
    if offline:
        yield Row("judge's endpoint", "not tried", f"{study.judge_model} was not asked: offline; a stand-in judges")
        return
    yield tried("judge's endpoint", lambda: ask_the_judge(study, folder / "asked"))


def _weights_rows(study: StudyParams, props: Props) -> Iterator[Row]:
    source = Path(base_source(study.base_model))
    folder = source if source.is_dir() else props.model
    if folder is None or not any(folder.glob("*.safetensors")):
        yield Row("weights", "not tried", "they are not here yet")
        return
    yield tried("weights", lambda: look_at_weights(folder, len(load_tokenizer(str(folder)))))


def _play_all(run: Run, study: StudyParams, cores: int) -> dict[str, str]:
    """Every stage by the ordinary driver; returns why the whole did not start, under an empty name."""
    try:
        run_study(study, run.root, cores, keep_going=True)
    except InputError as error:
        return {"": str(error)}
    return {}


def _play_here(run: Run, study: StudyParams) -> dict[str, str]:
    """Every stage in this process, in order; returns what broke, by folder."""
    run.root.mkdir()
    write_config(run, study, "report")
    errors: dict[str, str] = {}
    for place in places(study):
        if all((run.root / read.manifest).exists() for read in inputs(study, place)):
            broken = execute_here(place.stage.notebook, values(study, place) | {"run_dir": str(run.root)})
            if broken:
                errors[place.folder] = broken
    return errors


def stage_rows(root: Path, study: StudyParams, errors: dict[str, str]) -> Iterator[Row]:
    """A row a notebook: of which models it held, or the line of the first that broke."""
    if "" in errors:
        yield Row("stages", "would break", errors[""])
        return
    every = list(places(study))
    for notebook in dict.fromkeys(place.stage.notebook for place in every):
        own = [place for place in every if place.stage.notebook == notebook]
        done = [place for place in own if (root / place.manifest).exists()]
        broken = {place: line for place in own if (line := _error(root, study, place, errors)) and place not in done}
        if broken:
            place, line = next(iter(broken.items()))
            yield Row(notebook, "would break", f"{_label(place)}: {line}")
        elif len(done) < len(own):
            waiting = next(place for place in own if place not in done)
            missing = next((r for r in inputs(study, waiting) if not (root / r.manifest).exists()), waiting)
            yield Row(notebook, "not tried", f"{_label(waiting)} waits for {missing.stage.notebook}")
        else:
            headline = json.loads((root / own[-1].manifest).read_text(encoding="utf-8"))["headline"]
            yield Row(notebook, "holds", f"{', '.join(map(_label, own))}: {headline}")


def _label(place: Place) -> str:
    return "once" if place.stage.of == "study" else place.label.replace("_", " ")


def _error(root: Path, study: StudyParams, place: Place, errors: dict[str, str]) -> str | None:
    """Why a stage broke: the last error in its executed notebook."""
    if place.folder in errors:
        return errors[place.folder]
    with suppress(OSError, ValueError, KeyError):
        notebook = json.loads((root / executed(study, place)).read_text(encoding="utf-8"))
        outputs = [out for cell in notebook["cells"] for out in cell.get("outputs", [])]
        failed = [out for out in outputs if out["output_type"] == "error"]
        if failed:
            name, said = failed[-1]["ename"], failed[-1]["evalue"]
            return one_line(said if name == "InputError" else f"{name}: {said}")
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars nor advice of libraries in this process."""
    import datasets
    import transformers

    before = os.environ.get("LDR_TERMINAL")
    os.environ["LDR_TERMINAL"] = os.devnull
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        transformers.utils.logging.enable_progress_bar()
        transformers.utils.logging.set_verbosity_warning()
        datasets.enable_progress_bars()
        os.environ.pop("LDR_TERMINAL")
        if before is not None:
            os.environ["LDR_TERMINAL"] = before


def render(found: Rehearsal) -> str:
    """The table for a terminal, what would break first to be seen, the verdict in the last line."""
    lines = in_columns([(f"{row.outcome:<11}", row.name, row.detail) for row in found.rows])
    count = {kind: sum(row.outcome == kind for row in found.rows) for kind in ("holds", "to mind", "not tried")}
    said = f"{count['holds']} hold, {count['to mind']} to mind, {count['not tried']} not tried"
    if found.breaks:
        verdict = (
            f"{len(found.breaks)} would break ({', '.join(dict.fromkeys(row.name for row in found.breaks))}); {said}"
        )
        lines += ["", f"What was played is kept in {found.folder}"]
    else:
        verdict = f"nothing would break; {said}"
    return "\n".join([*lines, "", f"Rehearsal of {found.study} in {found.seconds:.0f} s: {verdict}."])


def identity(study: StudyParams) -> str:
    """A checksum of what a rehearsal vouches for: params, code and machine."""
    params = study.model_dump(exclude=machine_params(StudyParams))
    code = {name: provenance.code_hash(name, study.all_languages) for name in _notebooks(study)}
    machine = {key: value for key, value in provenance.machine().items() if key != "gpu"}  # known once torch is loaded
    return provenance.digest([params, code, provenance.package_versions(), machine, shutil.which("nvidia-smi")])


def _notebooks(study: StudyParams) -> list[str]:
    return list(dict.fromkeys(place.stage.notebook for place in places(study)))


def is_rehearsed(study: StudyParams, root: Path) -> bool:
    """Whether this very study was rehearsed for the run folder ``root``, and held."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return bool(json.loads((root / REHEARSED).read_text(encoding="utf-8"))["identity"] == identity(study))
    return False


def remember(study: StudyParams, root: Path, found: Rehearsal) -> None:
    """Note in a run folder that its study was rehearsed and held."""
    rows = [{"name": row.name, "outcome": row.outcome, "detail": row.detail} for row in found.rows]
    text = json.dumps({"identity": identity(study), "seconds": round(found.seconds), "rows": rows}, indent=1)
    write_text(root / REHEARSED, text + "\n")


def before_a_run(study: StudyParams, root: Path, cores: int) -> bool:
    """The first step of ``ldr run`` on a model that is not ours: a rehearsal, once; returns whether it may start."""
    if study.base_model == OURS or is_rehearsed(study, root):
        return True
    print("ldr: rehearsing first, which takes minutes (--no-rehearsal leaves it out)", file=sys.stderr, flush=True)
    found = rehearse(study, run=root, cores=cores)
    print(render(found), file=sys.stderr, flush=True)
    if found.breaks:
        return False
    root.mkdir(parents=True, exist_ok=True)
    remember(study, root, found)
    return True
