"""The look at translation quality: round trips, language hits and length ratios."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ldr_utils.method.translators import open_translator
from ldr_utils.scores import answers, round_trip
from ldr_utils.study.jsonl import read_jsonl
from ldr_utils.study.params import TranslationParams

SOURCES = ["Ann has 3 cups.", "Tom buys 4 books.", "The answer is 12."]
PARAMS = TranslationParams(languages=["en", "es"], unseen=[], threads=1, round_trip_sample=2)


def reply(k: int, text: str | None) -> Any:
    response = "no tag" if text is None else f"{text}</translated>"
    return {"id": f"p-{k}", "source": SOURCES[k % 3], "response": response}


def test_the_sample_leaves_failures_out_and_is_the_same_every_time() -> None:
    replies = [reply(k, None if k % 2 else f"Text {k}.") for k in range(20)]
    drawn = round_trip.drawn(replies, seed=3, size=6)
    assert len({record["id"] for record in drawn}) == 6
    assert all(not int(record["id"][2:]) % 2 for record in drawn)
    assert drawn == round_trip.drawn(replies, seed=3, size=6)
    assert drawn != round_trip.drawn(replies, seed=4, size=6)
    assert len(round_trip.drawn(replies, seed=3, size=99)) == 10


def test_chrf_is_one_for_what_came_back_and_zero_for_what_did_not() -> None:
    out = [reply(0, "Ana tiene 3 tazas."), reply(1, "Tom compra 4 libros."), reply(2, "La respuesta es 12.")]
    back = [reply(0, SOURCES[0]), reply(1, None), reply(2, "The answer is 15.")]
    scores = round_trip.score({"es": list(zip(out, back, strict=True))})
    exact, lost, near = scores["chrf_round_trip"]
    assert exact == pytest.approx(1)
    assert lost == 0
    assert 0.5 < near < 1


def test_the_model_translates_back_and_a_rerun_repeats_nothing(tmp_path: Path) -> None:
    replies = {("en", "es"): [reply(0, "Ana tiene 3 tazas."), reply(1, None), reply(2, "La respuesta es 12.")]}
    with open_translator(PARAMS) as translator:
        trips = round_trip.translate_back(translator, replies, PARAMS, tmp_path)
        file = tmp_path / "es-en.jsonl"
        written = file.stat().st_mtime_ns
        again = round_trip.translate_back(translator, replies, PARAMS, tmp_path)
        off = PARAMS.model_copy(update={"round_trip_sample": 0})
        assert round_trip.translate_back(translator, replies, off, tmp_path / "off") == {}
    assert trips == again
    assert file.stat().st_mtime_ns == written
    assert not (tmp_path / "off").exists()
    assert {record["source"] for record in read_jsonl(file)} == {"Ana tiene 3 tazas.", "La respuesta es 12."}
    assert [out["id"] for out, _ in trips["es"]] == [back["id"] for _, back in trips["es"]]
    assert round_trip.score({}).empty


def test_quality_rows_are_of_the_way_out(tmp_path: Path) -> None:
    replies = {
        ("en", "es"): [reply(0, "Ana tiene tres tazas en la mesa."), reply(1, None), reply(2, "The answer is twelve.")],
        ("es", "en"): [reply(0, "Ann has 3 cups."), reply(1, "Tom."), reply(2, "Twelve.")],
    }
    checks = answers.check_translations(replies)
    scores = pd.DataFrame({"id": ["p-0", "p-2"], "lang": "es", "chrf_round_trip": [0.5, 1.0]})
    written = answers.write_quality(tmp_path / "results.csv", checks, scores, PARAMS)
    spanish = written[written["lang"] == "es"].set_index("metric")
    assert spanish["value"].to_dict() == pytest.approx(
        {"hit_rate": 0.5, "chrf_round_trip": 0.75, "length_ratio": (32 / 15 + 21 / 17) / 2}
    )
    assert spanish["n"].to_dict() == {"hit_rate": 2, "chrf_round_trip": 2, "length_ratio": 2}
    assert spanish["low"].isna().to_dict() == {"hit_rate": False, "chrf_round_trip": False, "length_ratio": True}
    assert set(written["task"]) == {"translation"}
    assert not set(written["lang"]) & {"en"}
    without = answers.write_quality(tmp_path / "results.csv", checks, round_trip.score({}), PARAMS)
    assert set(without["metric"]) == {"hit_rate", "length_ratio"}
