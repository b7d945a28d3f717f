"""The stages of a study, once: Snakefile, notebooks, status, command line and report read this table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

from ldr_utils.study.arms import ARMS, MAIN
from ldr_utils.study.params import NOTEBOOKS, Common, ReportParams, StudyParams
from ldr_utils.study.paths import label, model_name, pairs_name

Of = Literal["study", "improved models", "sets of pairs", "trained models", "every model"]
MADE = ("policy", "method")  # the rooms whose code makes what a model wrote or learned
COMPUTED = ("data", "languages", "policy", "method", "scores", "micro")  # those that compute any number


def always(study: StudyParams) -> bool:
    """Whatever the study."""
    return True


def never(study: StudyParams) -> bool:
    """In no study."""
    return False


def judges_locally(study: StudyParams) -> bool:
    """Whether a judge is loaded in the stage's own process."""
    return "local" in (study.judge, study.second_judge)


@dataclass(frozen=True)
class Stage:
    """A notebook as a step of the study.

    Attributes
    ----------
    name : str
        What ``ldr run --until`` calls it.
    notebook : str
        The notebook that does it.
    folder : str
        Where it writes, in the folder of its model.
    of : str
        What it is done for, once each.
    reads : tuple of str
        The stages that it starts from: of its own model (``training`` is M_t's adapter; M_0 has none), of M_{t-1}
        (``before:``), or of every model up to its own (``until:``).
    costly : bool
        Whether it keeps what a model made: such files are used again for as long as the work is the same, and set aside
        before they are made anew. All other files of a stage are written anew whenever it runs.
    products : tuple of str
        The files that decide what later stages make; all of them where none is named.
    beside : str
        An output that the layout of a run puts outside of the folder, relative to it.
    threads : {"one", "half", "all"}
        Of the study's threads.
    gpu, asked : function of StudyParams
        Whether it holds a model, and whether the study has it at all.
    version : int
        Raise it when a change outside of the rooms that count as its code changes what it keeps.
    """

    name: str
    notebook: str
    folder: str
    of: Of
    reads: tuple[str, ...] = ()
    costly: bool = False
    products: tuple[str, ...] = ()
    beside: str = ""
    threads: Literal["one", "half", "all"] = "one"
    gpu: Callable[[StudyParams], bool] = never
    asked: Callable[[StudyParams], bool] = always
    version: int = 1

    @property
    def schema(self) -> type[Common]:
        """The parameters that it is given."""
        return cast(type[Common], NOTEBOOKS[self.notebook])

    @property
    def rooms(self) -> tuple[str, ...]:
        """The sub-packages whose code is the stage's own."""
        return MADE if self.costly else COMPUTED


STAGES = (
    Stage("data", "01_data", "data", "study"),
    Stage(
        "prompts",
        "01b_prompts",
        "prompts",
        "study",
        reads=("data",),
        costly=True,
        threads="all",
        gpu=always,
        asked=lambda study: bool(study.translate_prompts),
    ),
    Stage(
        "generation",
        "02_generation",
        "responses",
        "improved models",
        reads=("data", "prompts", "training"),
        costly=True,
        threads="all",
        gpu=always,
    ),
    Stage(
        "translation",
        "03_translation",
        "translations",
        "improved models",
        reads=("generation", "training"),
        costly=True,
        threads="all",
        gpu=always,
    ),
    Stage(
        "pairs",
        "04_pairs",
        "pairs",
        "sets of pairs",
        reads=("generation", "translation"),
        products=("train.jsonl",),
    ),
    Stage(
        "premise",
        "04b_premise",
        "premise",
        "sets of pairs",
        reads=("data", "prompts", "generation", "translation", "pairs"),
        gpu=judges_locally,
    ),
    Stage(
        "training",
        "05_qlora_dpo",
        "adapter",
        "trained models",
        reads=("before:pairs", "before:training"),
        costly=True,
        products=("adapter_config.json", "adapter_model.safetensors"),
        beside="../training.jsonl",
        threads="all",
        gpu=always,
    ),
    Stage(
        "answers",
        "05b_answers",
        "answers",
        "every model",
        reads=("data", "training"),
        costly=True,
        threads="half",
        gpu=always,
    ),
    Stage(
        "x_alpacaeval",
        "06_x_alpacaeval",
        "x_alpacaeval",
        "every model",
        reads=("until:answers",),
        gpu=judges_locally,
    ),
    Stage("mgsm", "07_mgsm", "mgsm", "every model", reads=("answers",)),
    Stage(
        "tax",
        "07b_alignment_tax",
        "tax",
        "every model",
        reads=("training",),
        costly=True,
        threads="half",
        gpu=always,
        asked=lambda study: study.source == "micro",
    ),
    Stage(
        "benchmarks",
        "07c_benchmarks",
        "benchmarks",
        "every model",
        reads=("training",),
        costly=True,
        threads="half",
        gpu=always,
        asked=lambda study: bool(study.benchmarks),
    ),
    Stage(
        "mt_bench",
        "07d_mt_bench",
        "mt_bench",
        "every model",
        reads=("answers",),
        gpu=judges_locally,
        asked=lambda study: bool(study.mt_bench_dir),
    ),
    Stage("report", "08_report", "report/summary", "study", beside="../../results.csv"),
)
BY_NAME = {stage.name: stage for stage in STAGES}
BY_NOTEBOOK = {stage.notebook: stage for stage in STAGES}
BY_FOLDER = {stage.folder.rpartition("/")[2]: stage for stage in STAGES}


def ancestors(name: str) -> set[str]:
    """A stage and all that it starts from, directly or not."""
    reads = {read.rpartition(":")[2] for read in BY_NAME[name].reads} - {name}
    return {name}.union(*(ancestors(read) for read in reads if read != "training"))


@dataclass(frozen=True)
class Place:
    """A stage of one model M_t of one arm."""

    stage: Stage
    t: int = 0
    arm: str = MAIN

    @property
    def folder(self) -> str:
        """Where it writes, in the run folder; arms that share their work share the folder."""
        if self.stage.of == "study":
            return self.stage.folder
        if self.stage.of == "sets of pairs":
            return pairs_name(self.t, self.arm).removesuffix("pairs") + self.stage.folder
        return f"{model_name(self.t, self.arm)}/{self.stage.folder}"

    @property
    def manifest(self) -> str:
        return f"{self.folder}/manifest.json"

    @property
    def rule(self) -> str:
        """Its name in Snakemake."""
        return self.folder.replace("/", "_")

    @property
    def label(self) -> str:
        """The model, in names of figures."""
        return label(self.t, self.arm)

    def reads(self, params: Any) -> list[Place]:
        """The places that it starts from; the report starts from all that the study has (see `inputs`).

        Parameters
        ----------
        params : StudyParams
            The study; or its own parameters, in which is what decides whether the study has those places.
        """
        found = []
        for text in self.stage.reads:
            which, _, name = text.rpartition(":")
            times = {"": [self.t], "before": [self.t - 1], "until": range(self.t + 1)}[which]
            found += [place(name, t, self.arm) for t in times if t > 0 or name != "training"]
        return [one for one in found if one.stage.asked(params)]


def place(name: str, t: int = 0, arm: str = MAIN) -> Place:
    """The place at which a stage of M_t is done for an arm: that of the main arm where the arm has none of its own."""
    stage = BY_NAME[name]
    if stage.of == "study":
        return Place(stage)
    own = t > 0 or (stage.of == "sets of pairs" and ARMS[arm].pairs)
    return Place(stage, t, arm if own else MAIN)


def models(study: ReportParams, of: Of) -> list[tuple[int, str]]:
    """(t, arm) of everything that a stage is done for, in the order of the work."""
    last = study.iterations
    trained = [(t, arm) for t in range(1, last + 1) for arm in study.arms if t == 1 or ARMS[arm].iterated]
    improved = [(0, MAIN), *((t, arm) for t, arm in trained if t < last and ARMS[arm].iterated)]
    selected = [(0, arm) for arm in study.arms if ARMS[arm].pairs]
    return {
        "study": [(0, MAIN)],
        "improved models": improved,
        "sets of pairs": [*improved[:1], *selected, *improved[1:]],
        "trained models": trained,
        "every model": [(0, MAIN), *trained],
    }[of]


def places(study: StudyParams) -> Iterator[Place]:
    """Every stage of every model of a study: by model, then in the order of the table."""
    every = [Place(stage, t, arm) for stage in STAGES if stage.asked(study) for t, arm in models(study, stage.of)]

    def of_the_work(one: Place) -> tuple[int, int, bool]:
        when = study.iterations + 1 if one.stage.name == "report" else one.t
        return when, study.arms.index(one.arm), one.stage.name not in ("data", "training")

    yield from sorted(every, key=of_the_work)


def inputs(study: StudyParams, of: Place) -> list[Place]:
    """What a place starts from; the report from everything that has a table of results, or pairs to show."""
    if of.stage.name != "report":
        return of.reads(study)
    return [one for one in places(study) if one.stage.name != "report"]


def executed(study: StudyParams, of: Place) -> str:
    """Where a place's executed notebook lies, in the run folder: with its model, the report with the last one."""
    if of.stage.of == "study":
        model = model_name(study.iterations if of.stage.name == "report" else 0, MAIN)
    else:
        model = of.folder.removesuffix(f"/{of.stage.folder}")
    return f"notebooks/{model}/{of.stage.notebook}.ipynb"


def values(study: StudyParams, of: Place) -> dict[str, Any]:
    """What a notebook is run with: its slice of the study, and what only the driver knows (but for the run folder)."""
    own = study.for_notebook(of.stage.notebook, of.arm)
    if "t" in of.stage.schema.model_fields:
        own |= {"t": of.t, "arm": of.arm}
    if "threads" in own:
        own["threads"] = threads(study, of.stage)
    return own


def threads(study: StudyParams, stage: Stage) -> int:
    """Processor threads of a stage: two evaluations run side by side where there is no GPU."""
    return {"one": 1, "half": max(1, study.threads // 2), "all": study.threads}[stage.threads]
