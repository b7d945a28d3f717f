"""Every instruction the study sends to a model."""

from __future__ import annotations

OPEN_TAG = "<translated>"
CLOSE_TAG = "</translated>"

TRANSLATION = (
    "Translate the text inside the sentence tags into {language}. Write the translation inside translated tags.\n"
    "<sentence>\n{text}\n</sentence>"
)


def translation_prompt(text: str, language: str) -> str:
    """User turn that asks for a translation of ``text`` into ``language`` (an English language name).

    The tag protocol is the paper's (Section 3): the source in ``<sentence>``, the answer expected in ``<translated>``,
    with the assistant turn primed by ``OPEN_TAG``. The wording is our own.
    """
    return TRANSLATION.format(language=language, text=text)
