"""Preference pairs from language imbalance (paper, Section 3): both directions, every dropped row with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ldr_utils.records import Record
from ldr_utils.translation import parse_translation

ByLanguage = Mapping[str, Sequence[Record]]
ByDirection = Mapping[tuple[str, str], Sequence[Record]]


@dataclass(frozen=True)
class PairSet:
    """The pairs that training sees, and the rows it does not."""

    kept: list[Record]
    dropped: list[Record]


def build_pairs(
    responses: ByLanguage,
    translations: ByDirection,
    dominant: str,
    non_dominant: Sequence[str],
    english_pairs: Literal["all", "last"] = "all",
) -> PairSet:
    """Build the preference pairs of one iteration.

    For each non-dominant language l: prompt x^l, chosen y^{en->l}, rejected y^l. For the dominant language, once per l:
    prompt x^en, chosen y^en, rejected y^{l->en}. A prompt that is itself a translation task keeps the untranslated
    dominant answer as the chosen side of its non-dominant pair (its ``translation_task`` field says so). Pairs whose
    two sides are equal are kept: their preference gradient is zero and their NLL term anchors what already works.

    Parameters
    ----------
    responses : mapping of language to records
        Records with ``id``, ``prompt``, ``response``, ``finished``; optional ``translation_task``.
    translations : mapping of (source, target) to records
        Records with ``id`` and ``response``, the raw reply to the translation prompt.
    dominant : str
        Code of the dominant language.
    non_dominant : sequence of str
        The others; their order decides what ``english_pairs="last"`` keeps.
    english_pairs : {"all", "last"}
        ``all`` keeps the dominant pairs of every language; ``last`` those of the last language only, which is what the
        authors' released script does by overwriting its file.

    Returns
    -------
    PairSet
        Kept records have ``id``, ``lang`` (of the prompt), ``via`` (the other language of the pair), ``prompt``,
        ``chosen``, ``rejected``; dropped ones ``id``, ``lang``, ``via``, ``stage`` and ``reason``.
    """
    kept: list[Record] = []
    dropped: list[Record] = []
    own = {lang: {record["id"]: record for record in records} for lang, records in responses.items()}
    replies = {
        direction: {record["id"]: parse_translation(record["response"]) for record in records}
        for direction, records in translations.items()
    }
    english_via = non_dominant if english_pairs == "all" else non_dominant[-1:]
    for lang in non_dominant:
        for example, direct in own[lang].items():
            best = own[dominant][example]
            forward = replies[dominant, lang][example]
            chosen = best["response"] if direct.get("translation_task") else forward.text
            reason = _unusable(best, direct) or (None if chosen else forward.error)
            _settle(kept, dropped, reason, example, (lang, dominant), direct["prompt"], chosen, direct["response"])
            if lang in english_via:
                backward = replies[lang, dominant][example]
                reason = _unusable(best, direct) or backward.error
                sides = (best["response"], backward.text)
                _settle(kept, dropped, reason, example, (dominant, lang), best["prompt"], *sides)
    return PairSet(kept, dropped)


def _unusable(best: Record, direct: Record) -> str | None:
    """Why an answer cannot be a side of any pair."""
    for record in (best, direct):
        if not record["finished"]:
            return "truncated_response"
        if not record["response"]:
            return "empty_response"
    return None


def _settle(
    kept: list[Record],
    dropped: list[Record],
    reason: str | None,
    example: str,
    languages: tuple[str, str],
    prompt: str,
    chosen: str | None,
    rejected: str | None,
) -> None:
    lang, via = languages
    if reason is None:
        kept.append({"id": example, "lang": lang, "via": via, "prompt": prompt, "chosen": chosen, "rejected": rejected})
        return
    stage = "generation" if reason.endswith("_response") else "translation"
    dropped.append({"id": example, "lang": lang, "via": via, "stage": stage, "reason": reason})
