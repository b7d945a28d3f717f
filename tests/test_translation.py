"""The tag parser, and the prompt it belongs to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldr_utils.method.translation import Parsed, parse_translation
from ldr_utils.policy.prompts import translation_prompt


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ("Hola.</translated>", "Hola."),
        ("\nHola.\nAdiós.\n</translated>", "Hola.\nAdiós."),
        ("<translated>\nHola.\n</translated>", "Hola."),
        ("Hola.</translated> I hope this helps!", "Hola."),
        ("Hola.</translated> or <translated>Buenas.</translated>", "Hola."),
        ("a < b > c & <b>d</b></translated>", "a < b > c & <b>d</b>"),
    ],
)
def test_text_before_the_first_closing_tag(reply: str, text: str) -> None:
    assert parse_translation(reply) == Parsed(text, None)


@pytest.mark.parametrize("reply", ["", "Hola.", "<translated>Hola.", "Hola.</translated", "Hola.</ translated>"])
def test_no_closing_tag(reply: str) -> None:
    assert parse_translation(reply) == Parsed(None, "no_closing_tag")


@pytest.mark.parametrize("reply", ["</translated>", " \n\u00a0</translated>", "<translated>\n</translated>Hola."])
def test_empty(reply: str) -> None:
    assert parse_translation(reply) == Parsed(None, "empty")


@given(st.text(), st.text(), st.sampled_from(["", "<translated>", "\n<translated>\n"]))
def test_any_text_between_the_tags_comes_back(text: str, after: str, opening: str) -> None:
    if "translated>" in text:
        return
    expected = Parsed(text.strip(), None) if text.strip() else Parsed(None, "empty")
    assert parse_translation(f"{opening}{text}</translated>{after}") == expected


@given(st.lists(st.sampled_from([*"ab<>/\n ", "<translated>", "</translated>"])).map("".join))
def test_a_reply_has_a_text_or_a_reason_never_both(reply: str) -> None:
    found = parse_translation(reply)
    assert (found.text is None) == (found.error in ("no_closing_tag", "empty"))
    assert found.text is None or (found.error is None and found.text == found.text.strip() != "")
    assert (found.error == "no_closing_tag") == ("</translated>" not in reply)


def test_prompt_wraps_the_text_verbatim() -> None:
    text = "Use {braces} and {0} as they are.\nSecond line."
    prompt = translation_prompt(text, "German")
    assert f"<sentence>\n{text}\n</sentence>" in prompt
    assert "into German" in prompt
