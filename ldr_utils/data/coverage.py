"""Which languages a study's data cover: known before anything is read, downloaded or drawn."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ldr_utils.data import own_prompts
from ldr_utils.data.alignment import too_few
from ldr_utils.data.downloads import ALPACA_REFERENCES, TRANSLATION_TASKS
from ldr_utils.data.files import languages_published
from ldr_utils.data.test_sets import TEST_SETS
from ldr_utils.data.train_sets import TRAIN_SETS
from ldr_utils.micro.lexicon import LANGUAGES
from ldr_utils.study.errors import InputError
from ldr_utils.study.params import DataParams
from ldr_utils.study.paths import from_root

File = tuple[str, str]  # (layout, language)


def check_languages(params: DataParams) -> dict[str, list[str]]:
    """Refuse languages, or iterations, that the data of a study lack.

    Returns
    -------
    dict of str to list of str
        As ``check_test_languages``.

    Raises
    ------
    InputError
        As ``check_test_languages``, or when a training set lacks the dominant language, or, without
        ``translate_prompts``, another one trained on; when it is missing, or too small where that is known.
    """
    if params.source == "published":
        _check_training(params)
    return check_test_languages(params)


def check_test_languages(params: DataParams) -> dict[str, list[str]]:
    """Refuse a study that a test set lacks altogether; nothing is asked of the training sets.

    Returns
    -------
    dict of str to list of str
        For each of ``TEST_SETS`` the languages of the study that it has: real test sets differ, and a language may be
        in none of them (``unevaluated``).

    Raises
    ------
    InputError
        When a test set, or the reference answers, are there in no language of the study.
    """
    if params.source == "micro":
        if missing := [lang for lang in params.all_languages if lang not in LANGUAGES]:
            raise InputError(f"languages: {', '.join(missing)} not in the micro world's data; remove them")
        return dict.fromkeys(TEST_SETS, params.all_languages)
    found: dict[str, list[str]] = {}
    for name, test in TEST_SETS.items():
        known = languages_published(test.layout_in(params), folder(params))
        found[name] = [lang for lang in params.all_languages if lang in known]
    layouts = [(test.layout_in(params), found[name]) for name, test in TEST_SETS.items()]
    for layout, languages in [*layouts, (ALPACA_REFERENCES, _referenced(params, found["x_alpacaeval"]))]:
        if not languages:
            needed = f"{layout.format(lang='<lang>')}, of which one is needed"
            raise InputError(f"languages: none has {needed}; {_remedy(params, 'languages')}")
    return found


def unevaluated(params: DataParams) -> list[str]:
    """Languages of the study that none of its test sets has."""
    tested = check_test_languages(params)
    return [lang for lang in params.all_languages if not any(lang in languages for languages in tested.values())]


def files_needed(params: DataParams) -> list[File]:
    """Files of the published data that a study reads, as (layout, language); its own prompts are none of them."""
    tests = check_languages(params)
    return [
        *((layout, lang) for layout in _training_layouts(params) for lang in languages_with_prompts(params)),
        *([(TRANSLATION_TASKS, "")] if params.train_set == "alpagasus" else []),
        *((TEST_SETS[name].layout_in(params), lang) for name, languages in tests.items() for lang in languages),
        *((ALPACA_REFERENCES, lang) for lang in languages_with_references(params)),
    ]


def languages_with_references(params: DataParams) -> list[str]:
    """Languages of the study in which X-AlpacaEval has reference answers, which a judge can compare with."""
    prompts = check_languages(params)["x_alpacaeval"]
    return prompts if params.source == "micro" else _referenced(params, prompts)


def _referenced(params: DataParams, languages: list[str]) -> list[str]:
    known = languages_published(ALPACA_REFERENCES, folder(params))
    return [lang for lang in languages if lang in known]


def folder(params: DataParams) -> Path | None:
    """Where the files lie; None where they are to be downloaded."""
    return from_root(params.data_dir) if params.data_dir else None


def languages_with_prompts(params: DataParams) -> list[str]:
    """Languages trained on for which the study's ``train_set`` has prompts: see `languages_lacking_prompts`."""
    lacking = languages_lacking_prompts(params)
    return [lang for lang in params.languages if lang not in lacking]


def languages_lacking_prompts(params: DataParams) -> list[str]:
    """Languages trained on for which the study's ``train_set`` has no prompts; nothing is downloaded.

    Raises
    ------
    InputError
        When the folder of one's own prompts is missing or not in order (see `own_prompts.languages_in`).
    """
    if params.source == "micro":
        return []
    if own := prompts_folder(params):
        having = own_prompts.languages_in(own, params.languages)
    else:
        every = [languages_published(layout, folder(params)) for layout in _training_layouts(params)]
        having = [lang for lang in params.languages if all(lang in known for known in every)]
    return [lang for lang in params.languages if lang not in having]


def prompts_folder(params: DataParams) -> Path | None:
    """Where prompts of one's own lie; None where the study trains on a published set.

    Raises
    ------
    InputError
        When there is no such folder.
    """
    if params.train_set in TRAIN_SETS:
        return None
    where = from_root(params.train_set)
    if not where.is_dir():
        raise InputError(f"train_set: {params.train_set} is no folder, nor {', '.join(TRAIN_SETS)}; correct it")
    return where


def _training_layouts(params: DataParams) -> list[str]:
    return TRAIN_SETS[params.train_set].layouts(params.iterations) if params.train_set in TRAIN_SETS else []


def _check_training(params: DataParams) -> None:
    where = folder(params)
    if own := prompts_folder(params):
        if missing := _without(params, own_prompts.languages_in(own, params.languages)):
            remedy = "add them" + ("" if params.dominant in missing else ", change languages, or set translate_prompts")
            raise InputError(f"languages: {own} has no prompts in {', '.join(missing)}; {remedy}")
        return
    for t, layout in enumerate(_training_layouts(params)):
        known = languages_published(layout, where)
        if not known and t:
            raise InputError(f"iterations: there are training prompts for {t} only ({layout} is missing); lower it")
        if missing := _without(params, known):
            files = ", ".join(layout.format(lang=lang) for lang in missing)
            source = "the published data" if where is None else str(where)
            translate = "" if params.dominant in missing else ", or set translate_prompts"
            raise InputError(f"languages: {source} lacks {files}; {_remedy(params, 'languages')}{translate}")
    if params.train_set == "alpagasus" and where and not (where / TRANSLATION_TASKS).is_file():
        raise InputError(f"data_dir: {where} lacks {TRANSLATION_TASKS}; add it")
    held = 0 if where else TRAIN_SETS[params.train_set].rows
    if held and params.iterations * params.prompts_per_iteration > held:
        raise InputError(too_few(params.train_set, held, params.iterations, params.prompts_per_iteration))


def _without(params: DataParams, having: Collection[str]) -> list[str]:
    """Languages trained on that have no prompts, and of which no translation is asked."""
    lacking = [lang for lang in params.languages if lang not in having]
    return [lang for lang in lacking if lang == params.dominant or not params.translate_prompts]


def _remedy(params: DataParams, key: str) -> str:
    add = "add the files" if params.data_dir else "set data_dir to a folder that has the files"
    return f"change {key}, or {add}"
