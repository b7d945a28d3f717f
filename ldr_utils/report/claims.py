"""The abstract's two claims, and which differences are significant; for one run, or for several seeds together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ldr_utils.data.test_sets import TEST_SETS
from ldr_utils.report.gains import Model, corrected, group_gain, models, p_text, paper_gain, problem_scores, steps
from ldr_utils.scores.stats import paired_difference, seed_spread
from ldr_utils.study.arms import MAIN
from ldr_utils.study.params import ReportParams, StudyParams
from ldr_utils.study.paths import Run
from ldr_utils.study.text import markdown

CLAIM_LANGUAGES = {"trained": "the languages trained on", "all": "the languages trained on and the unseen ones"}
CAUTION = {  # by the source of the data
    "micro": "The micro world is a set of templates and a model of two million parameters. Its figures show that the"
    " mechanism and the software work; they are **not** comparable in size with those of large models, and no claim"
    " about large models follows from them.",
    "published": "Sizes, settings and judge differ from the paper's where the params file says so.",
}
SEEDS = {
    "micro": "each draws its own prompts and its own test problems; none was used while settings were chosen"
    " (`reports/LOG.md`)",
    "published": "all read the same prompts and the same test problems",
}
JOINT = "lc_accuracy"  # of mgsm: right and not off target
CLAIMS = (("x_alpacaeval", "win_rate"), ("mgsm", "accuracy"), ("mgsm", JOINT))  # in the order of the abstract
MEASURED = (  # by language
    ("mgsm", "accuracy"),
    ("mgsm", JOINT),
    ("mgsm", "off_target"),
    ("x_alpacaeval", "win_rate"),
    ("x_alpacaeval", "off_target"),
)
METRIC_NAMES = {JOINT: "accuracy in the language asked for (lc accuracy)"}
CLAIM_NAMES = {
    metric: f"{TEST_SETS[task].title} {METRIC_NAMES.get(metric, metric.replace('_', ' '))}, average over"
    f" {CLAIM_LANGUAGES[TEST_SETS[task].claim_over]}"
    for task, metric in CLAIMS
}


def title_markdown(study: StudyParams, seeds: Sequence[int]) -> str:
    """How the report of a study opens: its name, what it may be read for, and whose figures these are."""
    which = f"Seed {seeds[0]}." if len(seeds) == 1 else f"Seeds {', '.join(map(str, seeds))}: {SEEDS[study.source]}."
    return f"# Study `{study.study}`: what came out\n\n{CAUTION[study.source]}\n\n{which}"


def claims(runs: Sequence[Run], params: ReportParams) -> pd.DataFrame:
    """The two figures of the paper's abstract: what M_T has over M_0 on average, ours and the paper's; and the joint
    measure, which the paper does not have.

    Returns
    -------
    DataFrame
        As ``gains``, a row for each of ``CLAIMS``; p is Holm-corrected over them. The paper's last model is M_2.
    """
    rows: list[dict[str, Any]] = []
    last = params.iterations
    for task, metric in CLAIMS:
        group = TEST_SETS[task].claim_over
        after, before = (measured(runs, task, metric, (MAIN, t)) for t in (last, 0))
        wanted = params.all_languages if group == "all" else params.languages
        if found := group_gain(after, before, wanted, params.seed):
            own = {"task": task, "metric": metric, "step": f"M{last} - M0", "languages": group + found.pop("only")}
            paper = float("nan") if metric == JOINT else paper_gain(task, group, "M2", "M0")
            rows.append(own | found | {"paper": paper})
    return corrected(pd.DataFrame(rows))


def measured(runs: Sequence[Run], task: str, metric: str, model: Model) -> pd.DataFrame:
    """Scores of a model by problem and language, of a metric by the name that it has in results.csv."""
    return problem_scores(runs, task, *model, "" if metric == TEST_SETS[task].paper_metric else metric)


def claims_markdown(table: pd.DataFrame, study: str, seeds: int = 1) -> str:
    """The claims in two blocks that cannot be mistaken for one another."""
    names = table["metric"].map(CLAIM_NAMES)
    said = [
        name + (" (the paper has no such figure)" if m == JOINT else "")
        for name, m in zip(names, table["metric"], strict=True)
    ]
    points = table["paper"].map("{:+.2f}".format).where(table["paper"].notna(), "")
    paper = pd.DataFrame({"the paper's claim (M2 - M0)": said, "points": points})
    only = [f" [{own.partition(' (')[2].rstrip(')')}]" if " (" in own else "" for own in table["languages"]]
    ours = pd.DataFrame(
        {
            f"this study ({', '.join(dict.fromkeys(table['step']))})": [
                n + o for n, o in zip(names, only, strict=True)
            ],
            "points": table["ours"].map("{:+.2f}".format),
            "95 % interval": [f"{r.low:+.2f} to {r.high:+.2f}" for r in table.itertuples()],
            "p (Holm)": table["p"].map(p_text),
            "significant": table["shown"],
            "problems": table["n"],
        }
    )
    count = "one seed" if seeds == 1 else f"{seeds} seeds"
    return (
        f"**PAPER**: Llama-3-8B-Instruct, as its authors report it, without intervals\n\n{markdown(paper)}\n\n"
        f"**OURS**: study `{study}`, {count}\n\n{markdown(ours)}"
    )


def premise_markdown(results: pd.DataFrame, params: ReportParams) -> str:
    """Whether M_0 offers the reward that the method lives on: translations that are better than direct answers.

    Parameters
    ----------
    results : DataFrame
        Rows of results.csv of one run. Better is what the judge scores higher, the two 95 % intervals apart.
    """
    first = results[(results["model"] == "M0") & (results["arm"] == MAIN)]
    reward = first[first["task"] == "reward"]
    keys = list(zip(reward["lang"], reward["metric"], strict=True))
    low, high = (dict(zip(keys, reward[bound].tolist(), strict=True)) for bound in ("low", "high"))
    others = params.non_dominant
    better = [
        lang
        for lang in others
        if low.get((lang, "self_translation"), 0.0) > high.get((lang, "self_generation"), float("inf"))
    ]
    kept = first[(first["task"] == "attrition") & (first["metric"] == "kept")]
    said = "what M0 translates scores clearly above what it writes directly (intervals apart) in"
    left = f"{kept['value'].sum():.0f} of {kept['n'].sum():.0f} possible pairs were left to train on"
    if not better:
        return (
            f"**The premise is not shown here**: {said} no non-dominant language, and {left}. What the later models"
            " gain or lose says nothing about the method."
        )
    rest = [lang for lang in others if lang not in better]
    if rest:
        return f"**The premise holds in part**: {said} {', '.join(better)}, not in {', '.join(rest)}; {left}."
    return f"**The premise holds here**: {said} {', '.join(better)}; {left}."


def significance(runs: Sequence[Run], params: ReportParams) -> pd.DataFrame:
    """Every comparison by language, off-target rates among them; p-values Holm-corrected across the languages of one.

    Returns
    -------
    DataFrame
        ``task``, ``metric``, ``step``, ``lang``, ``ours``, ``low``, ``high`` (points), ``p_single``, ``p`` (Holm),
        ``shown`` (see ``shown``), ``n`` (problems).
    """
    tables = []
    for task, metric in MEASURED:
        scores = {model: measured(runs, task, metric, model) for model in models(params)}
        for step, after, before in steps(params):
            languages = [lang for lang in params.all_languages if lang in scores[after] and lang in scores[before]]
            if not languages:
                continue
            found = paired_difference(scores[after][languages], scores[before][languages], seed=params.seed)
            rows = [
                (task, metric, step, lang, *(100 * x for x in (d.value, d.low, d.high)), d.p, d.p, d.n)
                for lang, d in found.items()
            ]
            columns = ["task", "metric", "step", "lang", "ours", "low", "high", "p_single", "p", "n"]
            table = pd.DataFrame(rows, columns=columns)
            tables.append(corrected(table[table["lang"] != "avg"].reset_index(drop=True)))
    return pd.concat(tables, ignore_index=True)


def significance_markdown(table: pd.DataFrame) -> str:
    """One row a comparison, one column a language; words tell what is significant."""
    said = table["shown"].replace("no", "n.s.").tolist()
    text = [f"{ours:+.1f} {word}" for ours, word in zip(table["ours"].tolist(), said, strict=True)]
    keys = ["task", "metric", "step"]
    shown = table.assign(text=text).pivot_table(index=keys, columns="lang", values="text", aggfunc="first", sort=False)
    in_order = list(dict.fromkeys(zip(*(table[key] for key in keys), strict=True)))
    return markdown(shown.fillna("").loc[in_order].reset_index())


def risen(table: pd.DataFrame) -> str:
    """Off-target rates that rose, in words: those of ``significance`` whose 95 % interval lies above zero."""
    worse = table[(table["metric"] == "off_target") & (table["low"] > 0)].astype({"p": float})
    p = worse["p"].map(p_text)
    found = [
        f"{r.task} {r.step}, {r.lang}: {r.ours:+.1f} ({r.low:+.1f} to {r.high:+.1f}; p {own})"
        for r, own in zip(worse.itertuples(), p, strict=True)
    ]
    return "; ".join(found) if found else "none"


def seed_table(runs: Sequence[Run], params: Sequence[ReportParams]) -> pd.DataFrame:
    """The claims seed by seed in points, and their mean and standard deviation over the seeds."""
    found = {
        f"seed {own.seed}": claims([run], own).set_index("metric")["ours"]
        for run, own in zip(runs, params, strict=True)
    }
    table = pd.DataFrame(found).T.rename(columns=CLAIM_NAMES)
    spread = {name: seed_spread(values.tolist()) for name, values in table.items()}
    summary = pd.DataFrame(spread, index=["mean", "standard deviation over seeds"])
    return pd.concat([table, summary]).rename_axis(index="run", columns=None).reset_index()
