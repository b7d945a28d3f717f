"""The shipped micro base model is small, whole, and imbalanced in the way the study needs."""

from __future__ import annotations

import pandas as pd
import pytest
from transformers import AutoConfig

from ldr_utils.micro.card import measure
from ldr_utils.policy.load import load_policy
from ldr_utils.study.params import DecodingParams, PretrainingParams
from ldr_utils.study.paths import ROOT
from ldr_utils.study.provenance import sha256

FOLDER = ROOT / "models" / "micro"


def test_is_at_most_ten_megabytes() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 10e6


def test_files_match_their_checksums() -> None:
    lines = [line.split("  ") for line in (FOLDER / "SHA256SUMS").read_text().splitlines()]
    listed = {name: checksum for checksum, name in lines}
    assert set(listed) == {path.name for path in FOLDER.iterdir()} - {"SHA256SUMS"}
    assert all(sha256(FOLDER / name) == checksum for name, checksum in listed.items())


def test_has_the_shape_that_the_notebook_gives_it() -> None:
    config, params = AutoConfig.from_pretrained(FOLDER), PretrainingParams()
    assert config.hidden_size == params.hidden_size
    assert config.num_hidden_layers == params.layers
    assert config.vocab_size == params.vocab_size
    assert config.hidden_size // config.num_attention_heads in (32, 64)  # what vLLM can serve


@pytest.fixture(scope="module")
def measured() -> pd.DataFrame:
    params = DecodingParams(seed=101, batch_size=60)
    return measure(load_policy(params, 0), params, 30)


def test_is_better_in_english_than_anywhere_else(measured: pd.DataFrame) -> None:
    direct = measured[measured["answer"] == "direct"].groupby("lang")["right"].mean()
    assert direct.idxmax() == "en"
    assert direct["en"] > direct.drop("en").mean() + 0.15


def test_translates_better_than_it_answers(measured: pd.DataFrame) -> None:
    others = measured[measured["lang"] != "en"]
    right = others.groupby(["lang", "answer"])["right"].mean().unstack()
    assert (right["self-translated"] > right["direct"]).all()
