"""The arms of a study: the method, its baseline and its ablations, each as what it changes in the study's parameters.

Every arm trains M_1 from M_0's responses and translations; those that are iterated go on from their own answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAIN = "lidr"  # the method: its models have the top level of a run folder to themselves


@dataclass(frozen=True)
class Arm:
    """One arm.

    Attributes
    ----------
    label : str
        Its name in tables and figures.
    description : str
        What it is, in a line.
    pairs, training : mapping of str to value
        The parameters of 04_pairs and of 05_qlora_dpo in which it differs from the study.
    iterated : bool
        Whether its M_1 answers, translates and is trained again, as often as the study's ``iterations`` say.
    """

    label: str
    description: str
    pairs: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    iterated: bool = False

    @property
    def overrides(self) -> dict[str, Any]:
        """All parameters in which the arm differs from the study."""
        return {**self.pairs, **self.training}

    def model(self, t: int) -> str:
        """The name of its M_t in tables; an arm's M_1, most often its only model, goes by the arm's."""
        return self.label if t == 1 else f"{self.label} M{t}"


ARMS: dict[str, Arm] = {
    MAIN: Arm("LIDR", "the method: DPO and NLL on every pair", iterated=True),
    "sft": Arm(
        "SFT",
        "the paper's baseline Multilingual Alignment: NLL of the chosen sides alone",
        training={"objective": "nll"},
    ),
    "no_nll": Arm("no NLL", "DPO without the NLL term (alpha = 0)", training={"alpha": 0.0}),
    "non_dominant_pairs": Arm(
        "non-dominant pairs",
        "pairs of the non-dominant languages alone",
        pairs={"pair_languages": "non_dominant"},
    ),
    "dominant_pairs": Arm(
        "dominant pairs", "pairs of the dominant language alone", pairs={"pair_languages": "dominant"}
    ),
    "no_equal_pairs": Arm("no equal pairs", "pairs whose two sides are equal dropped", pairs={"equal_pairs": "drop"}),
    "last_dominant_pairs": Arm(
        "last dominant pairs",
        "dominant pairs of the last language alone, as the authors' released script leaves them",
        pairs={"dominant_pairs": "last"},
    ),
}
