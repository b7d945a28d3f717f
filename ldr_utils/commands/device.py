"""What torch finds on this machine: device, memory and precision, asked in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ldr_utils.commands import shapes
from ldr_utils.policy.backends import choose_backend, vllm_is_installed
from ldr_utils.policy.gpu import (
    CPU_PARAMETERS,
    ON_PURPOSE,
    cpu_is_meant,
    driver_is_there,
    driver_version,
    why_unreached,
)
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import StudyParams
from ldr_utils.study.paths import ROOT

Verdict = Literal["ok", "warn", "fail"]
GIB = 2**30
PROBE_SECONDS = 60.0  # importing torch takes long from a cold or busy disk; CUDA can hang on a sick driver


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True)
class Device:
    """Where the study would run, as torch sees it (sizes in bytes)."""

    gpu: str | None
    capability: tuple[int, int]  # (0, 0) without a GPU
    archs: list[str]  # what torch has kernels for
    cuda: str | None  # CUDA version torch was built with
    dtype: str  # what ``models.choose_dtype`` makes of the params
    free: int
    total: int


def probe(dtype: str) -> Device:
    """The device, waited for.

    Raises
    ------
    InputError
        When torch does not work.
    """
    found = finish_probe(start_probe(dtype), time.monotonic() + PROBE_SECONDS)
    if isinstance(found, str):
        raise InputError(f"torch: {found}; ldr doctor says more")
    return found


def start_probe(dtype: str) -> subprocess.Popen[str] | str:
    """Ask torch in another process: an import that crashes or hangs must not take the doctor along."""
    code = f"from ldr_utils.commands.device import report_device; report_device({dtype!r})"
    command = [sys.executable, "-c", code]
    try:
        return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        return f"python cannot be started: {error}"


def report_device(dtype: str) -> None:
    """Print, as JSON, the fields of `Device`: the other end of the probe."""
    import torch

    from ldr_utils.policy.load import choose_dtype

    gpu = torch.cuda.is_available()
    free, total = torch.cuda.mem_get_info() if gpu else _ram()
    found = {
        "gpu": torch.cuda.get_device_name() if gpu else None,
        "capability": torch.cuda.get_device_capability() if gpu else (0, 0),
        "archs": torch.cuda.get_arch_list() if gpu else [],
        "cuda": torch.version.cuda,
        "dtype": str(choose_dtype(dtype)).removeprefix("torch."),
        "free": free,
        "total": total,
    }
    print(json.dumps(found))


def finish_probe(probe: subprocess.Popen[str] | str, deadline: float) -> Device | str:
    """The device, or why it is not known."""
    if isinstance(probe, str):
        return probe
    try:
        output, errors = probe.communicate(timeout=max(0.1, deadline - time.monotonic()))
        found = json.loads(output.splitlines()[-1])
    except subprocess.TimeoutExpired:
        probe.kill()
        with suppress(subprocess.TimeoutExpired):  # a process that hangs in a driver cannot even be killed
            probe.wait(0.5)
        return f"torch did not answer within {PROBE_SECONDS:.0f} s; see whether python -c 'import torch' does"
    except (IndexError, ValueError):
        last = (errors.strip().splitlines() or [f"exit status {probe.returncode}"])[-1]
        return f"torch does not work: {last}"
    return Device(**{**found, "capability": tuple(found["capability"])})


def disk_of(folder: Path) -> tuple[Path, int]:
    """The part of a path that is there already, and the free bytes of its disk."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return there, shutil.disk_usage(there).free


def _ram() -> tuple[int, int]:
    """Free and total bytes of memory, within the limit of a container."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = total
    meminfo, limit = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        free, total = min(free, int(text)), min(total, int(text))
    return free, total


def check_device(device: Device, shape: shapes.Shape | None) -> Check:
    """GPU, its compute capability, and whether torch has kernels for it."""
    room = f"{device.free / GIB:.1f} of {device.total / GIB:.1f} GiB free"
    if device.gpu:
        major, minor = device.capability
        found = f"{device.gpu}, compute capability {major}.{minor}, {room}, CUDA {device.cuda}"
        if not _has_kernels(device):
            return Check("device", "fail", f"{found}; torch has kernels for {', '.join(device.archs)} only")
        return Check("device", "ok", found)
    found = f"CPU, {os.cpu_count()} cores, {room}"
    if trouble := cpu_trouble(device, shape):
        return Check("device", "warn" if cpu_is_meant() else "fail", f"{found}; {trouble}")
    if driver_is_there():  # a small model runs here all the same
        return Check("device", "warn", f"{found}; {why_unreached(driver_version(), device.cuda)}")
    return Check("device", "ok", found)


def cpu_trouble(device: Device, shape: shapes.Shape | None) -> str | None:
    """What to say of a large model on a device that is a CPU, with the remedy; None where nothing is wrong.

    A model whose size is not known is taken for a large one where there is a GPU that torch does not reach.
    """
    size = shapes.parameter_count(shape) if shape else 0
    if device.gpu or (shape and size <= CPU_PARAMETERS) or not (shape or driver_is_there()):
        return None
    days = f"{size / 1e9:.1f} billion parameters" if shape else "a model of unknown size"
    why = why_unreached(driver_version(), device.cuda) if driver_is_there() else "use a GPU"
    return f"{days} on a CPU may take days; {why}, or {ON_PURPOSE}"


def check_compiler() -> Check:
    """What Triton needs to build its kernels, of which training on a GPU uses some (TRL's fused lm head)."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    if not compiler or not shutil.which(compiler.split()[0]):
        missing = f"CC={compiler} is not there" if compiler else "neither CC nor gcc nor clang is there"
        how = "conda install c-compiler, or apt install gcc"
        return Check("compiler", "fail", f"{missing}, but Triton builds its kernels with a C compiler; {how}")
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.exists():
        return Check("compiler", "fail", f"no {header}, which Triton's kernels need; apt install python3-dev")
    return Check("compiler", "ok", f"{compiler}, for Triton's kernels")


def _has_kernels(device: Device) -> bool:
    """Binaries (sm) run within their major version from their minor upwards, PTX (compute) on anything newer."""
    for arch in device.archs:
        kind, _, number = arch.rstrip("af").partition("_")
        built = (int(number[:-1]), int(number[-1]))
        if built <= device.capability and (kind == "compute" or built[0] == device.capability[0]):
            return True
    return False


def check_precision(params: StudyParams, device: Device) -> Check:
    """Which dtype and generation backend would be used, and why."""
    bf16_gpu = device.capability >= (8, 0)
    why = {
        "bfloat16": "the GPU computes in it",
        "float16": "the GPU has no bfloat16; adapters train in float32",
        "float32": "fastest on a CPU",
    }[device.dtype]
    try:
        choice = choose_backend(params, vllm_is_installed(), device.capability)
    except InputError as error:
        return Check("precision", "fail", str(error))
    backend = f"weights {'in NF4' if params.quantization == 'nf4' else 'not quantised'}; {choice}"
    if params.dtype == "auto":
        return Check("precision", "ok", f"{device.dtype}, chosen because {why}; {backend}")
    detail = f"{device.dtype}, set by dtype; {backend}"
    if device.gpu is None and device.dtype != "float32":
        return Check("precision", "warn", f"{detail}; a CPU is many times slower in it: set dtype to auto")
    if device.dtype == "bfloat16" and not bf16_gpu:
        return Check("precision", "warn", f"{detail}; this GPU only emulates it: set dtype to auto")
    return Check("precision", "ok", detail)
