"""Which backend generates, transformers or vLLM, and why; opening it for M_t."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Literal, TypeVar

from ldr_utils.policy.generate import Completion, Generator
from ldr_utils.policy.load import ModelKey
from ldr_utils.policy.transformers import TransformersGenerator
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import BackendParams

Capability = tuple[int, int]  # of a CUDA GPU; (0, 0) without one
NO_GPU: Capability = (0, 0)
VLLM_CAPABILITY: Capability = (8, 0)  # below: no bfloat16, and few of vLLM's attention kernels
P = TypeVar("P", bound=BackendParams)


@dataclass(frozen=True)
class Choice:
    """The backend that will generate, and why."""

    name: Literal["transformers", "vllm"]
    reason: str

    def __str__(self) -> str:
        return f"backend {self.name}: {self.reason}"


def choose_backend(params: BackendParams, has_vllm: bool, capability: Capability) -> Choice:
    """The backend for ``params`` on a machine.

    ``auto`` is vLLM where it is installed and the GPU is new enough for it, but never where that would change the
    weights that answer: vLLM does not load NF4. Set explicitly, vLLM generates from the unquantised base model in
    ``dtype``, with the adapter that was trained on the NF4 one.

    Parameters
    ----------
    params : BackendParams
        What is asked for.
    has_vllm : bool
        Whether vLLM can be imported.
    capability : tuple of int
        Compute capability of the GPU; (0, 0) without one.

    Raises
    ------
    InputError
        When vLLM is asked for and not installed.
    """
    if params.backend == "transformers":
        return Choice("transformers", "set by backend")
    if params.backend == "vllm":
        if not has_vllm:
            raise InputError(
                "backend: vllm is not installed; install it (docs/real-models.md, Backends) or set backend to auto"
            )
        return Choice("vllm", "set by backend" + ("; nf4 is for training only" if params.quantization == "nf4" else ""))
    if not has_vllm:
        return Choice("transformers", "vllm is not installed")
    if capability == NO_GPU:
        return Choice("transformers", "there is no GPU")
    if capability < VLLM_CAPABILITY:
        return Choice("transformers", f"compute capability {capability[0]}.{capability[1]} is below 8.0")
    if params.quantization == "nf4":
        return Choice("transformers", "vllm has no nf4; set backend to vllm to generate from unquantised weights")
    return Choice("vllm", "it is installed, and the GPU has compute capability 8.0 or above")


def vllm_is_installed() -> bool:
    """Whether vLLM can be imported (without importing it)."""
    return find_spec("vllm") is not None


def settle_backend(params: P) -> P:
    """``params`` with ``backend: auto`` replaced by what it means on this machine; says which it is and why.

    The stage is identified by what comes back, so that no file holds answers of two backends.
    """
    import torch

    capability = torch.cuda.get_device_capability() if torch.cuda.is_available() else NO_GPU
    choice = choose_backend(params, vllm_is_installed(), capability)
    print(choice)
    return params.model_copy(update={"backend": choice.name})


@contextmanager
def open_generator(params: BackendParams, t: int, key: ModelKey = "base_model") -> Iterator[Generator]:
    """M_t, ready to complete prompts, or another chat model that the study names.

    Its memory is free again at the end of the ``with`` block.
    The model is loaded when the first prompt comes: a stage that finds all of its answers does not pay for it.

    Parameters
    ----------
    params : BackendParams
        ``backend: auto`` is settled here where it was not before.
    t : int
        0 for the base model; above, with the adapter of the run folder.
    key : str
        The parameter that names the model.
    """
    generator = _OnDemand(params, t, key)
    try:
        yield generator
    finally:
        generator.close()


class _OnDemand:
    """A generator that is loaded when it is first asked for something."""

    def __init__(self, params: BackendParams, t: int, key: ModelKey) -> None:
        self.params, self.t, self.key = params, t, key

    @cached_property
    def loaded(self) -> Generator:
        from ldr_utils.policy.vllm import VllmGenerator

        params = settle_backend(self.params) if self.params.backend == "auto" else self.params
        kind = VllmGenerator if params.backend == "vllm" else TransformersGenerator
        return kind.load(params, self.t, self.key)

    @property
    def batch_size(self) -> int:
        return self.loaded.batch_size

    def prompt_ids(self, messages: list[dict[str, str]], prefill: str = "") -> list[int]:
        return self.loaded.prompt_ids(messages, prefill)

    def complete(self, prompts: list[list[int]]) -> list[Completion]:
        return self.loaded.complete(prompts)

    def close(self) -> None:
        if "loaded" in vars(self):
            self.loaded.close()
