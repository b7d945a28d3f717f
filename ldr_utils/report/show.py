"""Tables and examples for notebooks. Model output is untrusted: it is escaped wherever it is shown."""

from __future__ import annotations

import html
import platform
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from IPython.display import HTML, Image, Markdown, display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ldr_utils.method.translation import parse_translation
from ldr_utils.report import figures
from ldr_utils.study.provenance import package_versions
from ldr_utils.study.records import ByDirection, ByLanguage, Pair, Response, T, Translation
from ldr_utils.study.text import markdown, visible

# A cell and each line in it begin on the side where their own language begins.
CELL = "text-align:start; unicode-bidi:plaintext; white-space:pre-wrap; vertical-align:top; max-width:32em"
PROSE = f"{CELL}; min-width:9em"  # what is written without spaces could be broken into a column one letter wide
LONGEST = 600  # characters of an example: three of them must fit a page


def versions() -> None:
    """Print what this notebook runs on."""
    found = {"python": platform.python_version(), **package_versions()}
    print(", ".join(f"{name} {value}" for name, value in found.items()))


def opening() -> None:
    """How every notebook opens: the style of its figures, and what it runs on."""
    figures.use_style()
    versions()


def text_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Show rows of text as an HTML table; every cell is escaped, its control characters made visible.

    A cell may be a pair of a text and the code of its language, by which a browser chooses the form of its letters.
    """
    if not rows:
        print("nothing to show")
        return
    head = "".join(f"<th style='text-align:left'>{html.escape(str(name))}</th>" for name in rows[0])
    body = "".join(f"<tr>{''.join(map(_cell, row.values()))}</tr>" for row in rows)
    display(HTML(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"))


def _cell(value: object) -> str:
    text, lang = value if isinstance(value, tuple) else (value, "")
    written = f"lang='{lang.replace('_', '-')}' style='{PROSE}'" if lang else f"style='{CELL}'"
    return f"<td dir='auto' {written}>{html.escape(visible(str(text)))}</td>"


def counts(sets: Mapping[str, ByLanguage[object]]) -> pd.DataFrame:
    """Rows by set and language."""
    table = {name: {lang: len(rows) for lang, rows in by_language.items()} for name, by_language in sets.items()}
    return pd.DataFrame(table).T.astype("Int64")


def examples(by_language: ByLanguage[Mapping[str, object]], languages: Sequence[str], by: str) -> None:
    """The first prompt of each value of field ``by``, side by side in ``languages``."""
    first: dict[object, int] = {}
    for position, record in enumerate(by_language[languages[0]]):
        first.setdefault(record[by], position)
    text_table(
        [
            {by: value, **{lang: (by_language[lang][position]["prompt"], lang) for lang in languages}}
            for value, position in first.items()
        ]
    )


def sample(records: Sequence[T], seed: int, n: int) -> list[T]:
    """``n`` random records, the same for the same seed."""
    return random.Random(seed).sample(list(records), min(n, len(records)))


def answers(responses: ByLanguage[Response], seed: int, n: int) -> None:
    """Random answers of every language."""
    text_table(
        [
            {"lang": lang, "prompt": (record["prompt"], lang), "response": (record["response"], lang)}
            for lang, records in responses.items()
            for record in sample(records, seed, n)
        ]
    )


def translations(replies: ByDirection[Translation], seed: int, n: int) -> None:
    """Random translations of every direction; a failed one shows its reason."""
    rows = []
    for (source, target), records in replies.items():
        for record in sample(records, seed, n):
            parsed = parse_translation(record["response"])
            shown = parsed.text or f"[{parsed.error}]"
            direction = f"{source} to {target}"
            rows.append({"direction": direction, "source": (record["source"], source), "translation": (shown, target)})
    text_table(rows)


def pairs(kept: Sequence[Pair], seed: int, n: int) -> None:
    """Random pairs of every language, those with equal sides left out where others exist; long texts are cut."""
    rows: list[Pair] = []
    for lang in dict.fromkeys(pair["lang"] for pair in kept):
        own = [pair for pair in kept if pair["lang"] == lang]
        different = [pair for pair in own if pair["chosen"] != pair["rejected"]]
        rows += sample(different or own, seed, n)
    text_table(
        [
            {
                "lang": pair["lang"],
                "prompt": (cut(pair["prompt"]), pair["lang"]),
                "chosen": (cut(pair["chosen"]), pair["lang"]),
                "rejected": (cut(pair["rejected"]), pair["lang"]),
            }
            for pair in rows
        ]
    )


def cut(text: str) -> str:
    """The first ``LONGEST`` characters; what is left out is counted."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} [and {len(text) - LONGEST:,} more characters]"


def table(frame: pd.DataFrame, digits: int = 1, empty: str = "*No such rows.*") -> None:
    """Show a table as GitHub markdown, which a page keeps as it is; an index entry that repeats is left blank.

    Parameters
    ----------
    frame : DataFrame
        Its index is shown where it has a name.
    digits : int
        Of its numbers.
    empty : str
        What is shown where there are no rows.
    """
    names = [name for name in frame.index.names if name is not None]
    plain = frame.reset_index() if names else frame
    shown = plain.copy()
    for column, name in enumerate(names[:-1]):
        keys = plain.iloc[:, : column + 1]
        shown[name] = plain[name].where((keys != keys.shift()).any(axis=1), "")
    display(Markdown(markdown(shown, digits) if len(frame) else empty))


def metric_table(results: pd.DataFrame) -> pd.DataFrame:
    """Rows of results.csv as metrics by language, averages by split last."""
    languages = results[results["lang"] != "avg"]
    averages = results[results["lang"] == "avg"].assign(lang=lambda rows: "avg " + rows["split"])
    both = pd.concat([languages, averages])
    wide = both.pivot_table(index="metric", columns="lang", values="value", sort=False)
    return wide.round(3)


def figure(path: Path, caption: str) -> None:
    """Show a PNG over its caption, at half its pixels so that figures of all widths have letters of one size.

    Its name goes with it: a page made of the notebook calls the picture so.
    """
    display(Image(filename=str(path), retina=True, alt=caption, metadata={"name": path.name}))
    display(Markdown(f"*{caption}.*"))


def drawn(figure_drawn: Figure, path: Path, caption: str) -> None:
    """Save a figure, and show what was saved."""
    figures.save_figure(figure_drawn, path)
    plt.close(figure_drawn)  # a notebook shows those that are open below the cell
    figure(path, caption)


def saved(folder: Path, pattern: str, caption: str) -> None:
    """Show figures that earlier notebooks saved; ``{}`` in the caption is the model in the name of each."""
    for path in sorted(folder.glob(pattern)):
        figure(path, caption.format("M" + path.stem.rpartition("_M")[2].replace("_", " ")))
