"""The command ``ldr``. What takes time to import is imported where it is used, so that Ctrl-C finds `main` at work."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ldr_utils.study.errors import InputError

if TYPE_CHECKING:
    from ldr_utils.study.params import StudyParams


class _Parser(argparse.ArgumentParser):
    """A bad argument is bad input: one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """The command line: every command says by ``do`` which function of this module does it."""
    parser = _Parser(prog="ldr", description="Language Imbalance Driven Rewarding, reproduced.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_studies(commands)
    _add_models(commands)
    _add_results(commands)
    return parser


def _add_studies(commands: Any) -> None:
    """Commands that are given a params file."""
    from ldr_utils.study.stages import STAGES

    run = commands.add_parser("run", help="run a study, or continue one")
    _take_study(run, _run)
    _take_cores(run)
    names = [stage.name for stage in STAGES]
    run.add_argument("--until", choices=names, default="report", metavar="STAGE", help="one of %(choices)s")
    run.add_argument("--no-rehearsal", action="store_true", help="start at once, on a model that is not ours too")
    rehearse = commands.add_parser("rehearse", help="play a whole study small, before it is paid for")
    _take_study(rehearse, _rehearse, many=True, out="where it is played, and kept (default: temporary)")
    _take_cores(rehearse)
    rehearse.add_argument("--short", action="store_true", help="one iteration in one process, no look at the machine")
    rehearse.add_argument("--offline", action="store_true", help="no word to the network: stand-ins for what is there")
    _take_study(commands.add_parser("doctor", help="say whether a study would run on this machine"), _doctor)
    check = commands.add_parser("judge-check", help="measure a study's judge on pairs with a known winner")
    _take_study(check, _judge_check)
    _add_new(commands)


def _add_new(commands: Any) -> None:
    """The command that makes a params file: a flag for every question."""
    from ldr_utils.commands.questions import QUESTIONS

    new = commands.add_parser("new", help="write a params file by asking what it needs")
    new.add_argument("name", metavar="NAME", help="of the study: params/NAME.yaml")
    for question in QUESTIONS:
        new.add_argument(question.flag, metavar=question.key.upper(), help=question.asks)
    record = "a language that is not known here: CODE={name: ..., flores: ..., answer_phrases: [...]}"
    new.add_argument("--record", action="append", default=[], metavar="RECORD", help=record)
    _take_overrides(new)
    new.add_argument("--out", type=Path, metavar="DIR", help="where the file goes (default: params/)")
    new.add_argument("--yes", action="store_true", help="ask nothing: what is not given is as usual")
    new.set_defaults(do=_new)


def _take_study(parser: Any, do: Any, many: bool = False, out: str = "run folder (default: runs/<study>)") -> None:
    parser.add_argument("params", type=Path, nargs="+" if many else None, help="a file of params/")
    _take_overrides(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help=out)
    parser.set_defaults(do=do)


def _take_overrides(parser: Any) -> None:
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a parameter")


def _take_cores(parser: Any) -> None:
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="processor cores to use (default: all)")


def _add_models(commands: Any) -> None:
    """Commands that are given models."""
    from ldr_utils.study.arms import MAIN
    from ldr_utils.study.paths import ROOT

    micro = ROOT / "params" / "micro.yaml"
    evaluate = commands.add_parser("evaluate", help="any models on MGSM and X-AlpacaEval, without a study")
    evaluate.add_argument("models", nargs="*", metavar="MODEL", help="[NAME=] folder, hub name, or BASE+ADAPTER")
    evaluate.add_argument("--params", type=Path, default=micro, metavar="FILE", help="data, decoding, judge, models")
    _take_overrides(evaluate)
    evaluate.add_argument("--out", type=Path, required=True, metavar="DIR", help="where it is kept; continued there")
    evaluate.add_argument("--baseline", default="", metavar="NAME", help="compare with this one (default: the first)")
    evaluate.set_defaults(do=_evaluate)
    export = commands.add_parser("export", help="a run's model in one piece, or its preference pairs")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="an empty folder, or a new one")
    export.add_argument("--pairs", action="store_true", help="in place of the model, the pairs that it was trained on")
    export.add_argument(
        "--check", type=int, default=20, metavar="N", help="prompts to check by, a language and test set"
    )
    export.add_argument("--push", default="", metavar="OWNER/NAME", help="upload it to the hub, privately")
    export.set_defaults(do=_export)
    chat = commands.add_parser("chat", help="talk to a run's model")
    chat.set_defaults(do=_chat)
    for parser in (export, chat):
        parser.add_argument("run", type=Path, metavar="DIR", help="a run folder")
        parser.add_argument("--model", required=True, metavar="M2", help="the model, by its name in the run")
        parser.add_argument("--arm", default=MAIN, help="of another arm (default: %(default)s)")


def _add_results(commands: Any) -> None:
    """Commands that are given what was made before."""
    status = commands.add_parser("status", help="what is done, running, stale, damaged or missing, and what comes next")
    status.add_argument("run", type=Path, metavar="DIR", help="a run folder")
    status.set_defaults(do=_status)
    score = commands.add_parser("score-mgsm", help="grade a file of any model's answers to MGSM")
    score.add_argument("file", type=Path, metavar="FILE.jsonl", help="rows with response and answer (the gold number)")
    score.add_argument("--lang", required=True, metavar="XX", help="language of the questions, such as es")
    score.add_argument("--out", type=Path, metavar="FILE.csv", help="also write the verdict on every row")
    score.add_argument("--params", type=Path, metavar="FILE", help="a study whose language_records count too")
    score.set_defaults(do=_score)
    compare = commands.add_parser("compare", help="several seeds of one study in one table")
    compare.add_argument("runs", type=Path, nargs="+", metavar="DIR", help="finished run folders")
    compare.add_argument("--out", type=Path, metavar="DIR", help="also write the report: tables, figures, notebooks")
    compare.set_defaults(do=_compare)


def _study(options: argparse.Namespace) -> StudyParams:
    from ldr_utils.study.params import EvaluateParams, load_params

    _check_clone()
    params = load_params(options.params, options.set)
    if isinstance(params, EvaluateParams):
        raise InputError(f"{options.params}: models: it lists models to evaluate; use ldr evaluate --params")
    return params


def _run(options: argparse.Namespace) -> int:
    params = _study(options)
    _check_cores(options.cores)
    _stop_as_ctrl_c()
    from ldr_utils.commands.rehearse import before_a_run
    from ldr_utils.commands.run import run_study

    if options.no_rehearsal:
        return run_study(params, options.out, options.cores, options.until)
    rehearsal = partial(before_a_run, params, cores=options.cores)
    return run_study(params, options.out, options.cores, options.until, rehearsal=rehearsal)


def _rehearse(options: argparse.Namespace) -> int:
    studies = [_study(argparse.Namespace(params=path, set=options.set)) for path in options.params]
    _check_cores(options.cores)
    _stop_as_ctrl_c()
    from ldr_utils.commands.rehearse import rehearse, render
    from ldr_utils.study.text import for_terminal

    broken = False
    for study in studies:
        out = options.out / study.study if options.out and len(studies) > 1 else options.out
        found = rehearse(study, out, short=options.short, offline=options.offline, cores=options.cores)
        print(for_terminal(render(found), sys.stdout), flush=True)
        broken |= bool(found.breaks)
    return 2 if broken else 0


def _doctor(options: argparse.Namespace) -> int:
    from ldr_utils.commands.doctor import diagnose, exit_code, render
    from ldr_utils.study.text import for_terminal

    params = _study(options)
    checks = diagnose(params, options.out)
    print(for_terminal(render(checks, params), sys.stdout))
    return exit_code(checks)


def _judge_check(options: argparse.Namespace) -> int:
    from ldr_utils.commands.judge_check import judge_check

    print(judge_check(_study(options), options.out))
    return 0


def _new(options: argparse.Namespace) -> int:
    _check_clone()
    from ldr_utils.commands.new import new
    from ldr_utils.commands.questions import QUESTIONS

    given = {own.key: said for own in QUESTIONS if (said := getattr(options, own.key)) is not None}
    ask = sys.stdin.isatty() and not options.yes
    try:
        print(new(options.name, given, options.record, options.set, options.out, ask=ask))
    except KeyboardInterrupt:
        print("\nldr: stopped; nothing is written", file=sys.stderr)
        return 130
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    _stop_as_ctrl_c()
    from ldr_utils.commands.evaluate import evaluate
    from ldr_utils.study.params import evaluate_params, load_params

    params = evaluate_params(load_params(options.params, options.set), options.models)
    print(evaluate(params, options.out, options.baseline))
    return 0


def _export(options: argparse.Namespace) -> int:
    _stop_as_ctrl_c()
    from ldr_utils.commands.export import export
    from ldr_utils.commands.export_pairs import export_pairs

    chosen = options.run, options.model, options.arm, options.out
    if options.pairs:
        print(export_pairs(*chosen, push=options.push))
    else:
        print(export(*chosen, prompts=options.check, push=options.push))
    return 0


def _chat(options: argparse.Namespace) -> int:
    from ldr_utils.commands.chat import chat

    return chat(options.run, options.model, options.arm)


def _status(options: argparse.Namespace) -> int:
    from ldr_utils.commands.status import status

    _check_clone()
    print(status(options.run))
    return 0


def _score(options: argparse.Namespace) -> int:
    from ldr_utils.commands.score_mgsm import score_file
    from ldr_utils.study.params import load_params

    if options.params:
        load_params(options.params)
    print(score_file(options.file, options.lang, options.out))
    return 0


def _compare(options: argparse.Namespace) -> int:
    from ldr_utils.commands.compare import compare

    print(compare(options.runs, options.out))
    return 0


def _check_clone() -> None:
    """Refuse a package without its notebooks."""
    from ldr_utils.study.paths import NOTEBOOKS

    if not NOTEBOOKS.is_dir():
        raise InputError(f"{NOTEBOOKS}: no notebooks; install the package from a clone with pip install -e .")


def _check_cores(cores: int) -> None:
    if cores < 1:
        raise InputError(f"--cores {cores}: must be at least 1")


def _stop_as_ctrl_c() -> None:
    """Have a cluster's or a closing terminal's signal end the command as Ctrl-C does; nohup stays in force."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _stand_any_text() -> None:
    """Have a terminal that lacks a character show its code: a message must not fail over how it is printed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _complain(what: str) -> None:
    """Say in one line of the error stream why the command ends."""
    from ldr_utils.study.text import for_terminal, one_line

    print(for_terminal(f"ldr: {one_line(what)}", sys.stderr), file=sys.stderr)


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
        options = build_parser().parse_args(arguments)
        _check_paths(options)
        done: int = options.do(options)
        return done
    except InputError as error:
        _complain(str(error))
        return 2
    except BrokenPipeError:  # whoever reads, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # of --out; every other file has a line of its own
        if error.filename is None:
            raise
        _complain(f"{error.filename}: {error.strerror}; choose another path")
        return 2
    except KeyboardInterrupt:
        # Where Ctrl-C fell into code that a library made of text (a dataclass), CPython would end by the signal all the
        # same: it remembers, until other code of this kind has run.
        exec("")
        print("ldr: stopped; the same command continues from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
