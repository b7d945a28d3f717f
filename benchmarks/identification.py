"""Which languages texts are told to be in, by their length, against the languages they are in.

Texts: the prompts of X-AlpacaEval in 13 languages and MGSM's questions in Bengali, Swahili and Telugu, from a folder of
data; and open_set.tsv beside this file, in twelve languages more. Each is cut at a word near 10, 20, 50 and 100
characters. The margin is chosen on every other text, the tables are about the rest.

    python benchmarks/identification.py DATA            the tables of docs/languages.md
    python benchmarks/identification.py DATA --choose   the margin, by its rule
    python benchmarks/identification.py DATA --rivals   the likeliest language of each identifier that is installed
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ldr_utils.languages import identify
from ldr_utils.languages.table import LANGUAGES

LENGTHS = (10, 20, 50, 100)
MGSM = ("bn", "sw", "te")
OPEN = Path(__file__).with_name("open_set.tsv")
EVERY = 3  # words between two beginnings in a text of the open set, which has few
MARGINS = range(0, 17)
AT_MOST = {"of all texts": 0.01, "of a language": 0.02}  # wrong at any length, for a margin to be chosen

Cut = dict[str, list[str]]  # texts by language


def read(data: Path) -> Cut:
    """Texts by language, whole."""
    texts = {
        path.stem: [row["instruction"] for row in json.loads(path.read_text(encoding="utf-8"))]
        for path in sorted((data / "x-alpacaeval" / "prompts").glob("*.json"))
    }
    for lang in MGSM:
        lines = (data / "mgsm" / f"mgsm_{lang}.jsonl").read_text(encoding="utf-8").splitlines()
        texts.setdefault(lang, []).extend(json.loads(line)["query"] for line in lines)
    for line in OPEN.read_text(encoding="utf-8").splitlines():
        lang, text = line.split("\t")
        words = text.split()
        texts.setdefault(lang, []).extend(" ".join(words[k:]) for k in range(0, len(words), EVERY))
    return texts


def cut(text: str, length: int) -> str | None:
    """The beginning of a text, at most ``length`` characters and whole words; None of a text that is shorter."""
    text = " ".join(text.split())
    if len(text) < length:
        return None
    whole = text[: length + 1].rsplit(" ", 1)[0]
    return whole if 0.6 * length <= len(whole) <= length else text[:length]


def halves(texts: Cut, length: int, half: int) -> Cut:
    """Every other text by language, cut."""
    return {lang: [part for text in own[half::2] if (part := cut(text, length))] for lang, own in texts.items()}


def name(text: str, lang: str) -> str | None:
    """What a text in ``lang`` is told to be, asked for ``lang`` where the table has it."""
    return identify.identify(text, lang if lang in LANGUAGES else None)


def choose(texts: Cut) -> str:
    """Wrong and undecided texts of the first half by margin; the least margin that keeps to ``AT_MOST``."""
    lines = ["| margin | wrong, all | wrong, worst language | undecided at 50 |", "|---|---|---|---|"]
    chosen = None
    for margin in MARGINS:
        identify.MARGIN = float(margin)
        wrong, worst, left = 0.0, (0.0, ""), 0.0
        for length in LENGTHS:
            named = {lang: [name(text, lang) for text in own] for lang, own in halves(texts, length, 0).items() if own}
            shares = {lang: sum(x not in (lang, None) for x in own) / len(own) for lang, own in named.items()}
            everything = [(lang, x) for lang, own in named.items() for x in own]
            wrong = max(wrong, sum(x not in (lang, None) for lang, x in everything) / len(everything))
            worst = max(worst, *((share, f"{lang}, {length}") for lang, share in shares.items()))
            if length == 50:
                left = sum(x is None for _, x in everything) / len(everything)
        if chosen is None and wrong <= AT_MOST["of all texts"] and worst[0] <= AT_MOST["of a language"]:
            chosen = margin
        lines.append(f"| {margin} | {wrong:.2%} | {worst[0]:.1%} ({worst[1]}) | {left:.1%} |")
        print(lines[-1], flush=True)
    return "\n".join([*lines, f"chosen: {chosen}"])
