"""How models mark what they think before they answer; all that reads a model's text knows it from here."""

from __future__ import annotations

import re

# Qwen and DeepSeek, Mistral, Cohere, Apertus, Gemma 4; others by other names; Kimi, gpt-oss.
THOUGHTS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>", "<channel|>"),
    *((f"<{name}>", f"</{name}>") for name in ("thinking", "thought", "reasoning", "seed:think")),
    ("◁think▷", "◁/think▷"),
    ("<|channel|>analysis", "<|channel|>final<|message|>"),
)


def _any(marks: list[str]) -> str:
    return "|".join(map(re.escape, marks))


OPENS = re.compile(_any([opens for opens, _ in THOUGHTS]))
CLOSES = re.compile(_any([closes for _, closes in THOUGHTS]))
_MARK = re.compile(f"({CLOSES.pattern})|{OPENS.pattern}")


def said(text: str) -> tuple[str, bool]:
    """What a text says outside of its thoughts, and whether one is left open: the answer after it is missing.

    A closing mark alone ends a thought that the prompt opened: all before it was thought.
    """
    kept, start, inside = "", 0, False
    for mark in _MARK.finditer(text):
        if not inside:
            kept = "" if mark[1] else kept + text[start : mark.start()]
        inside, start = mark[1] is None, mark.end()
    return (kept, True) if inside else (kept + text[start:], False)
