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

    model: JudgeModel
    if params.judge == "openai":
        model = EndpointModel(params)
    else:
        model = LocalModel(params.judge_model, params.judge_batch_size)
    return PromptedJudge(model, VerdictCache(Run.at(params.run_dir).root / "judge_cache.jsonl"))
