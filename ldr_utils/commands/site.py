"""Executed notebooks as pages: a run's in HTML (``python -m ldr_utils.commands.site RUN_DIR``), one in markdown."""

from __future__ import annotations

import html
import re
import sys
from base64 import b64decode
from collections.abc import Iterable
from pathlib import Path

from ldr_utils.report.fonts import STACK
from ldr_utils.study.jsonl import write_text

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 {fonts}; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
h2 {{ margin-top: 2rem; border-bottom: 1px solid #ddd }} li {{ margin: .2rem 0 }}
.figures {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: 1.5rem }}
figure:has([src$="gains.png"]) {{ grid-column: 1 / -1 }}
ul {{ columns: 3 14rem }} figure {{ align-self: center }}
figure {{ margin: 0 }} img {{ max-width: 100% }} a {{ color: #0057a8 }}
</style></head><body>
<h1>{title}</h1>
<p>Start with <a href="{report}">the report</a>. Every number stands in <a href="../results.csv">results.csv</a>.</p>
<div class="figures">{results}</div>
{notebooks}
<h2>All other figures</h2>
<div class="figures">{others}</div>
</body></html>
"""
ASIDE = "notebook-only"  # tag of cells that a page does without
RESULTS = ("gains.png", "mgsm_accuracy.png", "x_alpacaeval_win_rate.png")


LAYOUT = {"text-align", "unicode-bidi", "vertical-align", "white-space", "max-width", "min-width"}
POLICY = """<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">"""
# Fonts for every script; each line of text from right to left or from left to right, as its own words ask.
SCRIPTS = f"""<style>
:root {{ --jp-content-font-family: {STACK} }}
pre, p, li, td, th {{ unicode-bidi: plaintext }}
</style>"""


def render(notebook: Path, target: Path) -> None:
    """Convert an executed notebook to a page of its own.

    Model output is untrusted: whatever HTML reaches the page is reduced to text, tables and layout, and the browser is
    told to run no script and to load nothing from elsewhere (formulas stay in TeX).
    """
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="lab", sanitize_html=True, embed_images=True)
    exporter.register_filter("clean_html", clean_html)
    body, _ = exporter.from_filename(str(notebook))
    write_text(target, body.replace("<head>", f"<head>{POLICY}", 1).replace("</head>", f"{SCRIPTS}</head>", 1))


def page(notebook: Path) -> tuple[str, dict[str, bytes]]:
    """Convert an executed notebook to GitHub markdown without its code and the cells tagged ``notebook-only``.

    Of the outputs only markdown and pictures that have a name (see ``report.show``) are taken, and text of a model is
    shown as neither: nothing of it reaches the page.

    Returns
    -------
    str, dict of str to bytes
        The text, and the pictures that it shows as ``figures/NAME``.
    """
    import nbformat
    from nbconvert import MarkdownExporter

    pictures: dict[str, bytes] = {}
    executed = nbformat.read(notebook, as_version=4)
    executed.cells = [cell for cell in executed.cells if ASIDE not in cell.metadata.get("tags", [])]
    for cell in executed.cells:
        shown = []
        for output in cell.get("outputs", []):
            picture = output.get("metadata", {}).get("image/png", {})
            if "name" in picture:
                pictures[picture["name"]] = b64decode(output.data["image/png"])
                output.data = {"text/markdown": f"![{picture['alt']}](figures/{picture['name']})"}
            if "text/markdown" in output.get("data", {}):
                shown.append(nbformat.v4.new_output("display_data", {"text/markdown": output.data["text/markdown"]}))
        if "outputs" in cell:
            cell.outputs = shown
    text, _ = MarkdownExporter(exclude_input=True).from_notebook_node(executed)
    return re.sub(r"\n{3,}", "\n\n", text).strip(), pictures


def clean_html(markup: str) -> str:
    """``markup`` without scripts, styles, images, forms, event handlers and links that are not plain web links."""
    import nh3

    layout = {"class", "id", "style", "colspan", "rowspan", "dir"}
    return nh3.clean(
        markup,
        tags=nh3.ALLOWED_TAGS - {"img", "map", "area"},
        attributes={**nh3.ALLOWED_ATTRIBUTES, **dict.fromkeys(("div", "pre", "span", "table", "td", "th"), layout)},
        filter_style_properties=LAYOUT,
        url_schemes={"https", "mailto"},
    )


def build_site(run_dir: Path) -> Path:
    """Render every executed notebook of a run and write ``report/index.html``.

    Returns
    -------
    Path
        The index.
    """
    notebooks = sorted((run_dir / "notebooks").rglob("*.ipynb"))
    report = run_dir / "report"
    sections: dict[str, list[str]] = {}
    last = ""
    for notebook in notebooks:
        place = notebook.relative_to(run_dir / "notebooks")
        page = Path("notebooks") / place.with_suffix(".html")
        render(notebook, report / page)
        link = f'<li><a href="{html.escape(page.as_posix())}">{html.escape(notebook.stem)}</a></li>'
        sections.setdefault(place.parent.as_posix(), []).append(link)
        if notebook.stem == "08_report":
            last = page.as_posix()
    others = sorted(path.name for path in (report / "figures").glob("*.png") if path.name not in RESULTS)
    index = PAGE.format(
        fonts=STACK,
        title=f"Study {html.escape(run_dir.resolve().name)}",
        report=html.escape(last),
        results=_figures(RESULTS),
        notebooks="".join(f"<h2>{html.escape(name)}</h2><ul>{''.join(links)}</ul>" for name, links in sections.items()),
        others=_figures(others),
    )
    write_text(report / "index.html", index)
    return report / "index.html"


def _figures(names: Iterable[str]) -> str:
    safe = [html.escape(name) for name in names]
    return "".join(f'<figure><img src="figures/{name}" alt="{name}"></figure>' for name in safe)


if __name__ == "__main__":
    build_site(Path(sys.argv[1]))
    print("[site] done: every executed notebook as a page", file=sys.stderr)
