"""The figures in the table of studies (docs/real-models.md): ``python -m ldr_utils.commands.estimates`` writes them.

Name, description and hardware of a row are the page's own; what follows is computed from the params file.
"""

from __future__ import annotations

import re
from pathlib import Path

from ldr_utils.commands import hours, memory
from ldr_utils.commands.device import GIB, Device
from ldr_utils.commands.shapes import KNOWN
from ldr_utils.study.jsonl import write_text
from ldr_utils.study.params import load_params
from ldr_utils.study.paths import ROOT

PAGE = ROOT / "docs" / "real-models.md"
HOSTED = 10.0, 30.0  # USD per million tokens read and written: what the model that wrote the references cost
CARDS = {  # by the page's words for them
    "GPU, 80 GB": Device("a GPU of 80 GB", (9, 0), [], "13.0", "bfloat16", 78 * GIB, 80 * GIB),
    "GPU, 24 GB": Device("a GPU of 24 GB", (8, 9), [], "13.0", "bfloat16", 23 * GIB, 24 * GIB),
    "T4, 16 GB": Device("a T4", (7, 5), [], "13.0", "float16", 14 * GIB, 15 * GIB),
    "2 cores, 4 GB": Device(None, (0, 0), [], None, "float32", 3 * GIB, 4 * GIB),
}


def figures(name: str, hardware: str) -> list[str]:
    """The computed cells of a row: memory to train and to generate, hours, those of the judge, its questions, USD.

    Parameters
    ----------
    name : str
        Of the params file.
    hardware : str
        A key of `CARDS`.
    """
    params, device = load_params(ROOT / "params" / f"{name}.yaml"), CARDS[hardware]
    shape = KNOWN[params.base_model.rpartition("/")[2].lower()]
    train = memory.training_plan(shape, params, device.dtype, device.gpu is not None).total
    generate = memory.generation_plan(shape, params, device.dtype, params.lora_r).total
    if params.backend == "vllm":
        step = memory.vllm_step(device.total, device.gpu)
        generate = memory.vllm_plan(shape, params, device.dtype, params.lora_r, step).total
    took = hours.hours_by_stage(params, device, shape, has_vllm=True)
    judging = sum(value for stage, value in took.items() if stage in hours.judge_calls(params))
    hosted = params.model_copy(update=dict(zip(("judge_price_in", "judge_price_out"), HOSTED, strict=True)))
    usd = hours.judge_usd(hosted) if params.judge == "openai" else 0.0
    plan = ", ".join(f"{size / GIB:.{0 if size > 10 * GIB else 1}f}" for size in (train, generate))
    asked, price = f"{hours.total_calls(params):,}", f"{round(usd, -1):,.0f}" if usd else "none"
    return [plan, f"{sum(took.values()) - judging:.1f}", f"{judging:.1f}", asked, price]


def filled(text: str) -> str:
    """A page with the figures of today in every row of the table that names a params file."""

    def row(found: re.Match[str]) -> str:
        cells = [cell.strip() for cell in found[0].strip("|").split("|")]
        return f"| {' | '.join([*cells[:3], *figures(found[1], cells[2])])} |"

    return re.sub(rf"(?m)^\| `([\w-]+)` \|.*\| (?:{'|'.join(CARDS)}) \|.*\|$", row, text)


def main(page: Path = PAGE) -> None:
    """Write the figures into the page."""
    write_text(page, filled(page.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
