"""Preference pairs from language imbalance (paper, Section 3): both directions, every dropped row with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from ldr_utils.method.translation import Parsed, directions, parse_translation
from ldr_utils.study.jsonl import read_jsonl
from ldr_utils.study.params import PairsParams
from ldr_utils.study.paths import Run
from ldr_utils.study.records import ByDirection, ByLanguage, Dropped, Pair, Response, Translation

STAGES = {  # of a reason to drop a row; all other reasons come from the translation
    "no_prompt": "prompts",
    "truncated_response": "generation",
    "empty_response": "generation",
    "pair_language": "selection",
    "not_the_last_language": "selection",
    "equal_sides": "selection",
}


@dataclass(frozen=True)
class PairSet:
    """The pairs that training sees, and the rows it does not."""

    kept: list[Pair]
    dropped: list[Dropped]


def build_pairs(
    responses: ByLanguage[Response], translations: ByDirection[Translation], params: PairsParams
) -> PairSet:
    """Build the preference pairs of one iteration.

    For each non-dominant language l: prompt x^l, chosen y^{en->l}, rejected y^l. For the dominant language, once per l:
    prompt x^en, chosen y^en, rejected y^{l->en}. A prompt that is itself a translation task keeps the untranslated
    dominant answer as the chosen side of its non-dominant pair (its ``translation_task`` field says so). Pairs whose
    two sides are equal are kept unless ``equal_pairs`` drops them: their preference gradient is zero and their NLL term
    anchors what already works.

    Parameters
    ----------
    responses : mapping of language to records
        Records with ``id``, ``prompt``, ``response``, ``finished``; optional ``translation_task``. A language may lack
        some of the dominant one's.
    translations : mapping of (source, target) to records
        Records with ``id`` and ``response``, the raw reply to the translation prompt.
    params : PairsParams
        The languages (their order decides what ``dominant_pairs: last`` keeps: the dominant pairs of the last language
        only, which is what the authors' released script does by overwriting its file), and which pairs to select.

    Returns
    -------
    PairSet
        Kept records have ``id``, ``lang`` (of the prompt), ``via`` (the other language of the pair), ``prompt``,
        ``chosen``, ``rejected``; dropped ones ``id``, ``lang``, ``via``, ``stage`` and ``reason``.
    """
    pairs = PairSet([], [])
    own = {lang: {record["id"]: record for record in records} for lang, records in responses.items()}
    replies = {
        direction: {record["id"]: parse_translation(record["response"]) for record in records}
        for direction, records in translations.items()
    }
    dominant = params.dominant
    for lang in params.non_dominant:
        for example, best in own[dominant].items():
            direct = own[lang].get(example)
            if direct is None:  # its prompt was lost in translation (01b)
                for languages in ((lang, dominant), (dominant, lang)):
                    _settle(pairs, params, "no_prompt", example, languages, "", (None, None))
                continue
            unusable = _unusable(best, direct)
            forward, backward = replies[dominant, lang][example], replies[lang, dominant][example]
            if direct.get("translation_task"):
                forward = Parsed(best["response"], None)
            sides: tuple[str | None, str | None] = (forward.text, direct["response"])
            _settle(pairs, params, unusable or forward.error, example, (lang, dominant), direct["prompt"], sides)
            sides = (best["response"], backward.text)
            _settle(pairs, params, unusable or backward.error, example, (dominant, lang), best["prompt"], sides)
    return pairs


def _unusable(best: Response, direct: Response) -> str | None:
    """Why an answer cannot be a side of any pair."""
    for record in (best, direct):
        if not record["finished"]:
            return "truncated_response"
        if not record["response"]:
            return "empty_response"
    return None


def _left_out(params: PairsParams, lang: str, via: str) -> str | None:
    """Why the pairs of ``lang`` and ``via`` are not asked for."""
    kind = "dominant" if lang == params.dominant else "non_dominant"
    if params.pair_languages not in ("all", kind):
        return "pair_language"
    if kind == "dominant" and params.dominant_pairs == "last" and via != params.non_dominant[-1]:
        return "not_the_last_language"
    return None


def _settle(
    pairs: PairSet,
    params: PairsParams,
    fault: str | None,
    example: str,
    languages: tuple[str, str],
    prompt: str,
    sides: tuple[str | None, str | None],
) -> None:
    """Keep a pair, or drop it: because it is not asked for, for its fault, or for its equal sides."""
    lang, via = languages
    chosen, rejected = sides
    equal = "equal_sides" if params.equal_pairs == "drop" and chosen == rejected else None
    reason = _left_out(params, lang, via) or fault or equal
    if reason is not None:
        stage = STAGES.get(reason, "translation")
        pairs.dropped.append({"id": example, "lang": lang, "via": via, "stage": stage, "reason": reason})
        return
    assert chosen is not None  # a side without a text has a fault
    assert rejected is not None
    pairs.kept.append(
        {"id": example, "lang": lang, "via": via, "prompt": prompt, "chosen": chosen, "rejected": rejected}
    )


def read_answers(run: Run, params: PairsParams) -> tuple[ByLanguage[Response], ByDirection[Translation]]:
    """Responses by language and raw translations by direction of M_t."""
    own, translated = (run.stage(params.t, name, params.arm) for name in ("responses", "translations"))
    responses = {lang: read_jsonl(own / f"{lang}.jsonl", Response) for lang in params.languages}
    found = {
        pair: read_jsonl(translated / f"{pair[0]}-{pair[1]}.jsonl", Translation)
        for pair in directions(params.dominant, params.non_dominant)
    }
    return responses, found
