"""The command ``ldr``. What takes time to import is imported where it is used, so that Ctrl-C finds `main` at work."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ldr_utils.study.errors import InputError

if TYPE_CHECKING:
    from ldr_utils.study.params import StudyParams


class _Parser(argparse.ArgumentParser):
    """A bad argument is bad input: one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    from ldr_utils.study.arms import MAIN
    from ldr_utils.study.paths import ROOT
    from ldr_utils.study.stages import STAGES

    micro = ROOT / "params" / "micro.yaml"
    parser = _Parser(prog="ldr", description="Language Imbalance Driven Rewarding, reproduced.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run a study, or continue one")
    run.add_argument("params", type=Path, help="a file of params/")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a parameter")
    run.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/<study>)")
    run.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="processor cores to use (default: all)")
    names = [stage.name for stage in STAGES]
    run.add_argument("--until", choices=names, default="report", metavar="STAGE", help="one of %(choices)s")
    run.add_argument("--no-rehearsal", action="store_true", help="start at once, on a model that is not ours too")
    rehearse = commands.add_parser("rehearse", help="play a whole study small, before it is paid for")
    rehearse.add_argument("params", type=Path, nargs="+", help="files of params/")
    rehearse.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a parameter")
    rehearse.add_argument("--out", type=Path, metavar="DIR", help="where it is played, and kept (default: temporary)")
    rehearse.add_argument("--short", action="store_true", help="one iteration in one process, no look at the machine")
    rehearse.add_argument("--offline", action="store_true", help="no word to the network: stand-ins for what is there")
    rehearse.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="processor cores (default: all)")
    doctor = commands.add_parser("doctor", help="say whether a study would run on this machine")
    doctor.add_argument("params", type=Path, help="a file of params/")
    doctor.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a parameter")
    doctor.add_argument("--out", type=Path, metavar="DIR", help="run folder that would be used (default: runs/<study>)")
    status = commands.add_parser("status", help="what is done, running, stale, damaged or missing, and what comes next")
    status.add_argument("run", type=Path, metavar="DIR", help="a run folder")
    score = commands.add_parser("score-mgsm", help="grade a file of any model's answers to MGSM")
    score.add_argument("file", type=Path, metavar="FILE.jsonl", help="rows with response and answer (the gold number)")
    score.add_argument("--lang", required=True, metavar="XX", help="language of the questions, such as es")
    score.add_argument("--out", type=Path, metavar="FILE.csv", help="also write the verdict on every row")
    compare = commands.add_parser("compare", help="several seeds of one study in one table")
    compare.add_argument("runs", type=Path, nargs="+", metavar="DIR", help="finished run folders")
    compare.add_argument("--out", type=Path, metavar="DIR", help="also write the report: tables, figures, notebooks")
    evaluate = commands.add_parser("evaluate", help="any models on MGSM and X-AlpacaEval, without a study")
    evaluate.add_argument("models", nargs="*", metavar="MODEL", help="[NAME=] folder, hub name, or BASE+ADAPTER")
    evaluate.add_argument("--params", type=Path, default=micro, metavar="FILE", help="data, decoding, judge, models")
    evaluate.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a parameter")
    evaluate.add_argument("--out", type=Path, required=True, metavar="DIR", help="where it is kept; continued there")
    evaluate.add_argument("--baseline", default="", metavar="NAME", help="compare with this one (default: the first)")
    export = commands.add_parser("export", help="a run's model in one piece, or its preference pairs")
    export.add_argument("run", type=Path, metavar="DIR", help="a run folder")
    export.add_argument("--model", required=True, metavar="M2", help="the model, by its name in the run")
    export.add_argument("--arm", default=MAIN, help="of another arm (default: %(default)s)")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="an empty folder, or a new one")
    export.add_argument("--pairs", action="store_true", help="in place of the model, the pairs that it was trained on")
    export.add_argument(
        "--check", type=int, default=20, metavar="N", help="prompts a language and test set to check by"
    )
    export.add_argument("--push", default="", metavar="OWNER/NAME", help="upload it to the hub, privately")
    chat = commands.add_parser("chat", help="talk to a run's model")
    chat.add_argument("run", type=Path, metavar="DIR", help="a run folder")
    chat.add_argument("--model", required=True, metavar="M2", help="the model, by its name in the run")
    chat.add_argument("--arm", default=MAIN, help="of another arm (default: %(default)s)")
    return parser


def _compare(runs: list[Path], out: Path | None) -> str:
    from ldr_utils.commands.compare import compare

    return compare(runs, out)


def _evaluate(options: argparse.Namespace) -> str:
    from ldr_utils.commands.evaluate import evaluate
    from ldr_utils.study.params import evaluate_params, load_params

    params = evaluate_params(load_params(options.params, options.set), options.models)
    return evaluate(params, options.out, options.baseline)


def _export(options: argparse.Namespace) -> str:
    from ldr_utils.commands.export import export
    from ldr_utils.commands.export_pairs import export_pairs

    chosen = options.run, options.model, options.arm, options.out
    if options.pairs:
        return export_pairs(*chosen, push=options.push)
    return export(*chosen, prompts=options.check, push=options.push)


def _chat(options: argparse.Namespace) -> int:
    from ldr_utils.commands.chat import chat

    return chat(options.run, options.model, options.arm)


def _score(file: Path, lang: str, out: Path | None) -> str:
    from ldr_utils.commands.score_mgsm import score_file

    return score_file(file, lang, out)


def _status(run: Path) -> str:
    from ldr_utils.commands.status import status

    return status(run)


def _stop_as_ctrl_c() -> None:
    """Have a cluster's or a closing terminal's signal end the command as Ctrl-C does; nohup stays in force."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _doctor(params: StudyParams, out: Path | None) -> int:
    from ldr_utils.commands.doctor import diagnose, exit_code, render

    checks = diagnose(params, out)
    print(render(checks, params))
    return exit_code(checks)


def _rehearse(options: argparse.Namespace) -> int:
    from ldr_utils.commands.rehearse import rehearse, render
    from ldr_utils.study.params import load_params

    studies = [load_params(path, options.set) for path in options.params]
    broken = False
    for study in studies:
        out = options.out / study.study if options.out and len(studies) > 1 else options.out
        found = rehearse(study, out, short=options.short, offline=options.offline, cores=options.cores)
        print(render(found), flush=True)
        broken |= bool(found.breaks)
    return 2 if broken else 0


def _run(options: argparse.Namespace, params: StudyParams) -> int:
    from ldr_utils.commands.rehearse import before_a_run
    from ldr_utils.commands.run import run_study
    from ldr_utils.study.params import EvaluateParams
    from ldr_utils.study.paths import run_folder

    if isinstance(params, EvaluateParams):
        raise InputError(f"{options.params}: models: it lists models to evaluate; use ldr evaluate --params")
    root = run_folder(params.study, options.out)
    if not options.no_rehearsal and not before_a_run(params, root, options.cores):
        return 2
    return run_study(params, options.out, options.cores, options.until)


def _stand_any_text() -> None:
    """Have a terminal that lacks a character show its code: a message must not fail over how it is printed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _check_paths(options: argparse.Namespace) -> None:
    """Refuse paths that are no UTF-8, which the files of a run could not name."""
    given = [value for option in vars(options).values() for value in (option if isinstance(option, list) else [option])]
    for value in given:
        if isinstance(value, Path | str) and any("\ud800" <= character <= "\udfff" for character in str(value)):
            raise InputError(f"{ascii(str(value))[1:-1]}: is not UTF-8; rename the file or folder")


def main(arguments: list[str] | None = None) -> int:
    """Entry point: 0 on success, 1 on a failed stage, 2 on bad input or an unfit machine, 130 when stopped."""
    try:
        _stand_any_text()
        return _main(arguments)
    except InputError as error:
        from ldr_utils.study.text import one_line

        print(f"ldr: {one_line(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever reads, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # of --out; every other file has a line of its own
        from ldr_utils.study.text import one_line

        if error.filename is None:
            raise
        print(f"ldr: {one_line(str(error.filename))}: {error.strerror}; choose another path", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ldr: stopped; the same command continues from here", file=sys.stderr)
        return 130


def _main(arguments: list[str] | None) -> int:
    """Do what the command line asks for."""
    options = build_parser().parse_args(arguments)
    _check_paths(options)
    if options.command == "compare":
        print(_compare(options.runs, options.out))
        return 0
    if options.command == "score-mgsm":
        print(_score(options.file, options.lang, options.out))
        return 0
    if options.command == "chat":
        return _chat(options)
    if options.command in ("evaluate", "export"):
        _stop_as_ctrl_c()
        print(_evaluate(options) if options.command == "evaluate" else _export(options))
        return 0
    from ldr_utils.study.params import load_params
    from ldr_utils.study.paths import NOTEBOOKS

    if not NOTEBOOKS.is_dir():
        raise InputError(f"{NOTEBOOKS}: no notebooks; install the package from a clone with pip install -e .")
    if options.command == "status":
        print(_status(options.run))
        return 0
    if options.command == "doctor":
        return _doctor(load_params(options.params, options.set), options.out)
    if options.cores < 1:
        raise InputError(f"--cores {options.cores}: must be at least 1")
    _stop_as_ctrl_c()
    if options.command == "rehearse":
        return _rehearse(options)
    return _run(options, load_params(options.params, options.set))


if __name__ == "__main__":
    sys.exit(main())
