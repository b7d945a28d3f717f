"""The judge that a study names."""

from __future__ import annotations

from ldr_utils.judges.verdicts import Judge
from ldr_utils.study.params import JudgeParams
from ldr_utils.study.paths import Run


def make_judge(params: JudgeParams, languages: list[str]) -> Judge:
    """The judge that the params name: ``rubric`` for the micro world, a language model for everything else.

    Verdicts of a language model are kept in the run folder's ``judge_cache.jsonl``, shared by all stages.
    """
    if params.judge == "rubric":
        from ldr_utils.judges.rubric import RubricJudge

        return RubricJudge(languages)
    from ldr_utils.judges.cache import VerdictCache
    from ldr_utils.judges.endpoint import EndpointModel
    from ldr_utils.judges.local import LocalModel
    from ldr_utils.judges.prompted import JudgeModel, PromptedJudge
    from ldr_utils.judges.published import AlpacaEvalJudge

    model: JudgeModel = EndpointModel(params) if params.judge == "openai" else LocalModel(params)
    cache = VerdictCache(Run.at(params.run_dir).judge_cache)
    return AlpacaEvalJudge(model, cache) if params.judge_protocol == "alpaca_eval" else PromptedJudge(model, cache)
