"""Pairs by hand: both directions, two non-dominant languages, every reason to drop a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldr_utils.method.pairs import PairSet, build_pairs
from ldr_utils.scores import premise
from ldr_utils.study.params import PairsParams
from ldr_utils.study.records import Dropped, Pair

LANGUAGES = ("en", "es", "de")


def response(example: str, lang: str, text: str | None = None, **extra: Any) -> Any:
    answer = f"{lang} answer {example}" if text is None else text
    return {"id": example, "prompt": f"{lang} prompt {example}", "response": answer, "finished": True} | extra


def reply(example: str, source: str, target: str, text: str | None = None) -> Any:
    return {"id": example, "response": f"\n{source}>{target} {example}\n</translated>" if text is None else text}


def world(*examples: str) -> tuple[dict[str, list[Any]], dict[tuple[str, str], list[Any]]]:
    """Responses and translations in which nothing goes wrong."""
    responses = {lang: [response(example, lang) for example in examples] for lang in LANGUAGES}
    directions = [("en", "es"), ("en", "de"), ("es", "en"), ("de", "en")]
    return responses, {(s, t): [reply(example, s, t) for example in examples] for s, t in directions}


def build(
    responses: dict[str, list[Any]],
    translations: dict[tuple[str, str], list[Any]],
    **selection: str,
) -> PairSet:
    return build_pairs(responses, translations, PairsParams(languages=list(LANGUAGES), unseen=[], **selection))  # type: ignore[arg-type]


def pair(lang: str, via: str, chosen: str, rejected: str) -> Pair:
    prompt = f"{lang} prompt 1"
    return {"id": "1", "lang": lang, "via": via, "prompt": prompt, "chosen": chosen, "rejected": rejected}


def by_key(records: Sequence[Pair | Dropped]) -> dict[tuple[str, str, str], Any]:
    keyed = {(r["id"], r["lang"], r["via"]): r for r in records}
    assert len(keyed) == len(records), "a pair was built twice"
    return keyed


def test_both_directions_by_hand() -> None:
    found = build(*world("1"))
    assert found.dropped == []
    assert by_key(found.kept) == {
        ("1", "es", "en"): pair("es", "en", "en>es 1", "es answer 1"),
        ("1", "de", "en"): pair("de", "en", "en>de 1", "de answer 1"),
        ("1", "en", "es"): pair("en", "es", "en answer 1", "es>en 1"),
        ("1", "en", "de"): pair("en", "de", "en answer 1", "de>en 1"),
    }


def test_dominant_pairs_last_keeps_those_of_the_last_language_only() -> None:
    found = build(*world("1", "2"), dominant_pairs="last")
    assert Counter((r["lang"], r["via"]) for r in found.kept) == {("es", "en"): 2, ("de", "en"): 2, ("en", "de"): 2}
    lost = {"lang": "en", "via": "es", "stage": "selection", "reason": "not_the_last_language"}
    assert found.dropped == [{"id": example} | lost for example in ("1", "2")]


@pytest.mark.parametrize(
    ("kind", "kept"),
    [("dominant", {("en", "es"), ("en", "de")}), ("non_dominant", {("es", "en"), ("de", "en")})],
)
def test_pairs_of_one_side_only(kind: str, kept: set[tuple[str, str]]) -> None:
    found = build(*world("1"), pair_languages=kind)
    assert {(r["lang"], r["via"]) for r in found.kept} == kept
    assert {(r["lang"], r["via"]) for r in found.dropped} == {(v, lang) for lang, v in kept}
    assert {(r["stage"], r["reason"]) for r in found.dropped} == {("selection", "pair_language")}


def test_a_pair_that_is_not_asked_for_is_dropped_for_that_and_not_for_its_fault() -> None:
    responses, translations = world("1")
    translations["es", "en"] = [reply("1", "es", "en", "never closed")]
    reasons = Counter(r["reason"] for r in build(responses, translations, pair_languages="non_dominant").dropped)
    assert reasons == {"pair_language": 2}


def test_rows_are_matched_by_id_not_by_position() -> None:
    responses, translations = world("1", "2", "3")
    translations["en", "es"].reverse()
    responses["de"].reverse()
    assert by_key(build(responses, translations).kept) == by_key(build(*world("1", "2", "3")).kept)


def test_translation_task_takes_the_untranslated_dominant_answer() -> None:
    responses, translations = world("1")
    for lang in LANGUAGES:
        responses[lang][0]["translation_task"] = True
    found = by_key(build(responses, translations).kept)
    assert found["1", "es", "en"] == pair("es", "en", "en answer 1", "es answer 1")
    assert found["1", "en", "es"] == pair("en", "es", "en answer 1", "es>en 1")


def test_translation_task_does_not_need_the_forward_translation() -> None:
    responses, translations = world("1")
    responses["es"][0]["translation_task"] = True
    translations["en", "es"] = [reply("1", "en", "es", "never closed")]
    found = build(responses, translations)
    assert found.dropped == []
    assert by_key(found.kept)["1", "es", "en"]["chosen"] == "en answer 1"


@pytest.mark.parametrize(
    ("text", "reason"), [("never closed", "no_closing_tag"), (" \n</translated>", "empty"), ("", "no_closing_tag")]
)
@pytest.mark.parametrize("direction", [("en", "es"), ("es", "en")])
def test_translation_error_drops_its_own_pair_only(text: str, reason: str, direction: tuple[str, str]) -> None:
    responses, translations = world("1")
    source, target = direction
    translations[direction] = [reply("1", source, target, text)]
    found = build(responses, translations)
    assert found.dropped == [{"id": "1", "lang": target, "via": source, "stage": "translation", "reason": reason}]
    assert by_key(found.kept).keys() == by_key(build(*world("1")).kept).keys() - {("1", target, source)}


@pytest.mark.parametrize(
    ("change", "reason"), [({"finished": False}, "truncated_response"), ({"response": ""}, "empty_response")]
)
@pytest.mark.parametrize(
    ("lang", "lost"),
    [("es", {("es", "en"), ("en", "es")}), ("en", {("es", "en"), ("en", "es"), ("de", "en"), ("en", "de")})],
)
def test_unusable_answer_drops_every_pair_it_is_a_side_of(
    change: dict[str, Any], reason: str, lang: str, lost: set[tuple[str, str]]
) -> None:
    responses, translations = world("1")
    responses[lang][0].update(change)
    found = build(responses, translations)
    assert {(r["lang"], r["via"]) for r in found.dropped} == lost
    assert {(r["stage"], r["reason"]) for r in found.dropped} == {("generation", reason)}
    assert len(found.kept) == 4 - len(lost)


def test_equal_sides_are_kept_unless_the_study_drops_them() -> None:
    responses, translations = world("1")
    responses["es"] = [response("1", "es", "42")]
    translations["en", "es"] = [reply("1", "en", "es", "42</translated>")]
    kept = by_key(build(responses, translations).kept)["1", "es", "en"]
    assert kept["chosen"] == kept["rejected"] == "42"
    found = build(responses, translations, equal_pairs="drop")
    assert found.dropped == [{"id": "1", "lang": "es", "via": "en", "stage": "selection", "reason": "equal_sides"}]
    assert by_key(found.kept).keys() == {("1", "de", "en"), ("1", "en", "es"), ("1", "en", "de")}


@given(
    st.data(),
    st.sampled_from(["all", "last"]),
    st.sampled_from(["all", "dominant", "non_dominant"]),
    st.sampled_from(["keep", "drop"]),
)
def test_kept_and_dropped_account_for_every_possible_pair(
    data: st.DataObject, dominant_pairs: str, pair_languages: str, equal_pairs: str
) -> None:
    examples = ("1", "2", "3")
    responses, translations = world(*examples)
    for records in responses.values():
        for record in records:
            record["finished"] = data.draw(st.booleans())
            record["response"] = data.draw(st.sampled_from(["", "text"]))
            record["translation_task"] = data.draw(st.booleans())
    for records in translations.values():
        for record in records:
            record["response"] = data.draw(st.sampled_from(["", "open", "</translated>", "text</translated>"]))
    selection = {"dominant_pairs": dominant_pairs, "pair_languages": pair_languages, "equal_pairs": equal_pairs}
    found = build(responses, translations, **selection)
    possible = {key for e in examples for lang in ("es", "de") for key in ((e, lang, "en"), (e, "en", lang))}
    assert by_key([*found.kept, *found.dropped]).keys() == possible
    assert all(r["chosen"] and r["rejected"] for r in found.kept)


def test_a_language_that_lost_every_pair_is_in_the_table() -> None:
    """Nothing kept at all, too: the table and the figure's lengths are there, and empty."""
    lost: Dropped = {"id": "a", "lang": "es", "via": "es", "stage": "translation", "reason": "no_closing_tag"}
    table = premise.pair_table(PairSet([], [lost]))
    assert table.to_dict("index") == {"es": {"kept": 0, "of which equal sides": 0, "dropped": 1}}
    assert premise.side_lengths([], ["en", "es"]).columns.tolist() == ["lang", "side", "units"]
