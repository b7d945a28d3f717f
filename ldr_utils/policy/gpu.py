"""A GPU that torch does not reach: why, and what would help. A large model never moves to the CPU in silence."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Any

from ldr_utils.study.errors import InputError

CPU_PARAMETERS = 500_000_000  # beyond this a study on a CPU takes days
# The least driver for all releases of a major version of CUDA (Linux), by NVIDIA's page on their compatibility:
# https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
LEAST_DRIVER = {"11": 450, "12": 525, "13": 580}
ON_PURPOSE = "set CUDA_VISIBLE_DEVICES to nothing (CUDA_VISIBLE_DEVICES= ldr ...) to use the CPU all the same"


def cpu_is_meant() -> bool:
    """Whether every GPU is hidden on purpose."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "unset").strip() in ("", "-1")


def driver_is_there() -> bool:
    """Whether NVIDIA's tools are installed, as they are with a driver, and no GPU is hidden on purpose."""
    return shutil.which("nvidia-smi") is not None and not cpu_is_meant()


def driver_version() -> str:
    """Version of NVIDIA's driver; empty where its tool does not say."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    found = re.match(r"\s*(\d+(?:\.\d+)*)", done.stdout)
    return found[1] if found and done.returncode == 0 else ""


def why_unreached(driver: str, cuda: str | None) -> str:
    """Why torch does not reach a GPU that is there, and the remedy.

    Parameters
    ----------
    driver : str
        Version of the driver; empty where it is not known.
    cuda : str or None
        Version of CUDA that torch was built with; None for a build without.
    """
    found = f"driver {driver}" if driver else "a driver that nvidia-smi cannot ask"
    if cuda is None:
        needs = " or ".join(f"CUDA {major} (driver {least} or newer)" for major, least in LEAST_DRIVER.items())
        return f"a GPU is there ({found}), but torch is a build without CUDA; install one for {needs}"
    least = LEAST_DRIVER.get(cuda.partition(".")[0])
    if driver and least and int(driver.partition(".")[0]) < least:
        needs = f"torch's CUDA {cuda} needs {least} or newer"
        return f"a GPU is there, but its driver is {driver}, and {needs}; update the driver"
    needs = f", which needs driver {least} or newer" if least else ""
    return f"a GPU is there ({found}), but torch (CUDA {cuda}{needs}) does not reach it; see nvidia-smi, then restart"


def check_reach(name: str, kind: Any, source: str, revision: str = "main") -> None:
    """Refuse to load a large model on the CPU of a machine whose GPU torch does not reach.

    Parameters
    ----------
    name : str
        The model, for the message.
    kind : type
        The class of transformers that would load it.
    source, revision : str
        Its folder or hub name, and which commit of it.

    Raises
    ------
    InputError
        When the model is beyond `CPU_PARAMETERS`.
    """
    import torch
    from transformers import AutoConfig

    if torch.cuda.is_available() or not driver_is_there():
        return
    with torch.device("meta"):  # counted without memory for the weights
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)
        size = kind.from_config(config).num_parameters()
    if size > CPU_PARAMETERS:
        why = why_unreached(driver_version(), torch.version.cuda)
        raise InputError(f"{name}: {size / 1e9:.1f} billion parameters on a CPU take days; {why}, or {ON_PURPOSE}")
