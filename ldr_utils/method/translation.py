"""Self-translation: what is asked, and what is read from the reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ldr_utils.languages.table import LANGUAGES
from ldr_utils.policy.generate import Request
from ldr_utils.policy.prompts import CLOSE_TAG, OPEN_TAG, translation_prompt
from ldr_utils.study.records import ByLanguage, Response, Text


@dataclass(frozen=True)
class Parsed:
    """A parsed reply: the text, or the reason why there is none."""

    text: str | None
    error: str | None


def parse_translation(reply: str) -> Parsed:
    """Read the text between the translated tags.

    The assistant's turn is primed with the opening tag (paper, Section 3), so a reply normally starts inside it; a
    model that repeats the tag is understood as well. Without a closing tag the reply is a translation error.

    Parameters
    ----------
    reply : str
        What the model wrote after the primed opening tag.

    Returns
    -------
    Parsed
        ``error`` is ``no_closing_tag`` or ``empty`` when ``text`` is None.
    """
    body, tag, _ = reply.partition(CLOSE_TAG)
    if not tag:
        return Parsed(None, "no_closing_tag")
    text = body.rpartition(OPEN_TAG)[2].strip()
    return Parsed(text, None) if text else Parsed(None, "empty")


def directions(dominant: str, non_dominant: Sequence[str]) -> list[tuple[str, str]]:
    """(source, target) of every translation of an iteration: out of the dominant language, and back into it."""
    return [*((dominant, lang) for lang in non_dominant), *((lang, dominant) for lang in non_dominant)]


def to_translate(responses: ByLanguage[Response], source: str, target: str) -> list[Response]:
    """The answers to prompts that the target language has too: where they are made (01b), one may be lost."""
    ids = {record["id"] for record in responses[target]}
    return [record for record in responses[source] if record["id"] in ids]


def translation_requests(responses: Sequence[Text], source: str, target: str) -> list[Request]:
    """Ask for the translation of every response; the assistant's turn is primed with the opening tag."""
    return [
        Request(
            {"id": record["id"], "source_lang": source, "target_lang": target, "source": record["response"]},
            translation_prompt(record["response"], LANGUAGES[target].name),
            prefill=f"{OPEN_TAG}\n",
        )
        for record in responses
    ]
