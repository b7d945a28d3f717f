"""Kill a study at random moments until it is done, and compare it with one that was left alone.

``python tests/reliability/kill_anywhere.py WORK_DIR --kills 25 --seed 1 [--set key=value]...``

Every stage has its share of the kills; the moment within a stage is drawn at random. Half of the kills hit the
process group of ``ldr run`` alone, as ``kill -9`` does: the rest must then die by itself. The other half hit every
process of the run at once, as losing the machine does. Exits with 0 when the two run folders hold the same.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
STARTED = re.compile(r"(\[.+?\]) started")
DONE = re.compile(r"(\[.+?\]) done in (\d+) s")
# Of a manifest, what may differ between two runs: a stage that finds its answers loads no model and says nothing of it.
TIMED = {"seconds", "peak_memory_mb", "models", "chat"}
PATIENCE = 60.0  # seconds for the rest of a killed run to be gone; it takes milliseconds on an idle machine


def command(out: Path, settings: list[str]) -> list[str]:
    words = [word for setting in settings for word in ("--set", setting)]
    return [sys.executable, "-m", "ldr_utils.cli", "run", "params/smoke.yaml", "--out", str(out), *words]


def parents() -> dict[int, int]:
    """Parent by process id of every process that is not a zombie."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(path.parent.name)] = int(parent)
    return found


def family(pid: int) -> set[int]:
    """A process and all its descendants."""
    everyone, found = parents(), {pid}
    while new := {child for child, parent in everyone.items() if parent in found} - found:
        found |= new
    return found


def survivors(members: set[int], patience: float = PATIENCE) -> set[int]:
    """Processes that are still there after a while."""
    deadline = time.monotonic() + patience
    while (alive := members & parents().keys()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return alive


class Attempt:
    """One start of ``ldr run``, followed line by line."""

    def __init__(self, words: list[str], log: IO[str]) -> None:
        self.process = subprocess.Popen(
            words, cwd=ROOT, stdout=log, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self.log = log
        self.running: dict[str, float] = {}  # stage -> when it started
        self.seconds: dict[str, int] = {}
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.log.write(line)
            self.log.flush()
            self._lines.put(line)
        self._lines.put(None)

    def next_start(self) -> str | None:
        """The next stage that starts; None when the run has ended."""
        while (line := self._lines.get()) is not None:
            if stage := self._note(line):
                return stage
        return None

    def wait(self, seconds: float) -> None:
        """Let the run go on for a while, or until it ends."""
        deadline = time.monotonic() + seconds
        with suppress(queue.Empty):
            while (line := self._lines.get(timeout=max(0.0, deadline - time.monotonic()))) is not None:
                self._note(line)
            self._lines.put(None)  # for ``next_start``

    def _note(self, line: str) -> str | None:
        if done := DONE.search(line):
            self.running.pop(done[1], None)
            self.seconds[done[1]] = int(done[2])
        if started := STARTED.search(line):
            self.running[started[1]] = time.monotonic()
            return started[1]
        return None

    def kill(self, everyone: bool) -> set[int]:
        """SIGKILL the process group of the run, or all its processes; returns those that would not die."""
        members = family(self.process.pid)
        os.killpg(self.process.pid, signal.SIGKILL)
        for pid in members if everyone else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        return survivors(members)


def undisturbed(out: Path, settings: list[str], log: IO[str]) -> dict[str, int]:
    """Run the study and return the seconds of every stage."""
    attempt = Attempt(command(out, settings), log)
    while attempt.next_start():
        pass
    if attempt.process.wait() != 0:
        raise SystemExit(f"the undisturbed run failed; see {log.name}")
    return attempt.seconds


def shares(stages: list[str], kills: int, rng: random.Random) -> Counter[str]:
    """How often each stage is to be killed: evenly, what is left over at random."""
    each, left = divmod(kills, len(stages))
    return Counter(dict.fromkeys(stages, each)) + Counter(rng.sample(stages, left))


def unfinished(run: Path) -> dict[Path, bytes]:
    """The whole lines of every file that was growing."""
    texts = {path: path.read_bytes() for path in run.rglob("*.jsonl.partial")}
    return {path: text[: text.rfind(b"\n") + 1] for path, text in texts.items()}


def thrown_away(before: dict[Path, bytes], run: Path) -> list[str]:
    """Files whose finished batches, as they lay there at the kill before, are neither kept nor complete by now."""
    now = unfinished(run)
    again = [path for path, lines in before.items() if not now.get(path, b"").startswith(lines)]
    return [str(path.relative_to(run)) for path in again if not path.with_suffix("").exists()]


def disturbed(
    out: Path, settings: list[str], log: IO[str], seconds: dict[str, int], due: Counter[str], seed: int
) -> Counter[str]:
    """Run the study, killing and starting it again until no kill is due and it is done; returns the kills by stage.

    A kill counts once for each stage that ran at that moment.
    """
    rng = random.Random(seed)
    hits: Counter[str] = Counter()
    before: dict[Path, bytes] = {}
    while True:
        attempt = Attempt(command(out, settings), log)
        while stage := attempt.next_start():
            if due[stage] == 0:
                continue
            delay, everyone = rng.uniform(0, seconds[stage] + 1), rng.random() < 0.5
            attempt.wait(delay)
            if attempt.process.poll() is not None:
                continue
            hit = sorted(attempt.running) or ["between stages"]
            left = attempt.kill(everyone)
            due[stage] -= 1
            hits.update(hit)
            note = {"aimed": stage, "hit": hit, "after": round(delay, 2), "everyone": everyone, "orphans": len(left)}
            print(json.dumps(note), flush=True)
            if left:
                raise SystemExit(f"processes that outlived the run: {sorted(left)}")
            if lost := thrown_away(before, out):
                raise SystemExit(f"finished batches were made again: {lost}")
            before = unfinished(out)
            break
        else:
            if attempt.process.wait() != 0:
                raise SystemExit(f"a continued run failed; see {log.name}")
            return hits


def artifacts(run: Path) -> dict[str, Any]:
    """What a run folder holds, by name; manifests without what may differ."""
    found: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.is_dir() or name.startswith((".snakemake/", "notebooks/", "report/notebooks/")):
            continue
        if path.name == "manifest.json":
            manifest = json.loads(path.read_text(encoding="utf-8"))
            found[name] = {key: value for key, value in manifest.items() if key not in TIMED}
        elif path.name not in (".lock", "snakemake.json"):  # which holds the folder's own name
            found[name] = path.read_bytes()
    return found


def differences(one: Path, other: Path) -> list[str]:
    """Files that two run folders do not have in common or hold differently, and files that a crash left."""
    a, b = artifacts(one), artifacts(other)
    differing = [name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name)]
    return differing + [name for name in b if name.endswith((".tmp", ".partial"))]


def repeated_rows(run: Path) -> list[str]:
    """Files of responses in which an id does not stand exactly once, or which lack one of the prompts."""
    wrong = []
    for path in run.glob("M*/responses/*.jsonl"):
        prompts = run / "data" / f"iteration{path.parts[-3][1:]}" / path.name
        ids, wanted = ([json.loads(line)["id"] for line in file.read_text().splitlines()] for file in (path, prompts))
        if ids != wanted:
            wrong.append(str(path.relative_to(run)))
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path, help="an empty folder for the two runs and their logs")
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for ldr run")
    options = parser.parse_args()
    work = options.work.resolve()
    clean, killed = work / "clean" / "smoke", work / "killed" / "smoke"  # pages carry the folder's name
    work.mkdir(parents=True, exist_ok=True)
    settings = ["batch_size=3", "threads=1", *options.set]  # several batches a file
    with (work / "clean.log").open("w") as log:
        seconds = undisturbed(clean, settings, log)
    print(json.dumps({"seed": options.seed, "seconds": seconds}), flush=True)
    due = shares(sorted(seconds), options.kills, random.Random(options.seed))
    with (work / "killed.log").open("w") as log:
        hits = disturbed(killed, settings, log, seconds, due, options.seed)
    wrong = differences(clean, killed) + repeated_rows(killed)
    missed = sum(due.values())  # the stage was over before its time to be killed
    print(json.dumps({"kills": options.kills - missed, "by_stage": hits, "differences": wrong}), flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
