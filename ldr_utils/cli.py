"""The command ``ldr``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ldr_utils.errors import InputError
from ldr_utils.params import StudyParams, load_params
from ldr_utils.paths import NOTEBOOKS
from ldr_utils.workflow import run_study

STAGES = ("data", "generation", "translation", "pairs", "training", "x_alpacaeval", "mgsm", "report")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="ldr", description="Language Imbalance Driven Rewarding, reproduced.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run a study, or continue one")
    run.add_argument("params", type=Path, help="a file of params/")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a parameter")
    run.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/<study>)")
    run.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="processor cores to use (default: all)")
    run.add_argument("--until", choices=STAGES, default="report", metavar="STAGE", help="one of %(choices)s")
    doctor = commands.add_parser("doctor", help="say whether a study would run on this machine")
    doctor.add_argument("params", type=Path, help="a file of params/")
    doctor.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a parameter")
    doctor.add_argument("--out", type=Path, metavar="DIR", help="run folder that would be used (default: runs/<study>)")
    compare = commands.add_parser("compare", help="several seeds of one study in one table")
    compare.add_argument("runs", type=Path, nargs="+", metavar="DIR", help="finished run folders")
    compare.add_argument("--out", type=Path, metavar="DIR", help="also write the report: tables, figures, notebooks")
    return parser


def _compare(runs: list[Path], out: Path | None) -> str:
    from ldr_utils.compare import compare  # matplotlib: only where a figure is drawn

    return compare(runs, out)


def _doctor(params: StudyParams, out: Path | None) -> int:
    from ldr_utils.doctor import diagnose, exit_code, render  # only this command needs it

    checks = diagnose(params, out)
    print(render(checks))
    return exit_code(checks)


def main(arguments: list[str] | None = None) -> int:
    """Entry point: 0 on success, 2 on bad input or a machine that will not do, 1 on a failed stage."""
    options = build_parser().parse_args(arguments)
    try:
        if options.command == "compare":
            print(_compare(options.runs, options.out))
            return 0
        if not NOTEBOOKS.is_dir():
            raise InputError(f"{NOTEBOOKS}: no notebooks; install the package from a clone with pip install -e .")
        params = load_params(options.params, options.set)
        if options.command == "doctor":
            return _doctor(params, options.out)
        if options.cores < 1:
            raise InputError(f"--cores {options.cores}: must be at least 1")
        return run_study(params, options.out, options.cores, options.until)
    except InputError as error:
        print(f"ldr: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
