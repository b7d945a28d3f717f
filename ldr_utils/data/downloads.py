"""Where the real data sets are published: every file pinned to a commit, downloaded once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

GITHUB = "https://raw.githubusercontent.com"
SECONDS = 3.0
_HUB = "huggingface.co/datasets/"

# Files as they are named in the folder.
ALPAGASUS = "alpagasus/iter{t}/{{lang}}.jsonl"
TRANSLATION_TASKS = "alpagasus/translation_task_ids.json"
GSM8K = "gsm8k/{lang}.jsonl"
ULTRAFEEDBACK = "ultrafeedback/{lang}.jsonl"
MGSM = "mgsm/mgsm_{lang}.jsonl"
MGSM_REV2 = "mgsm-rev2/mgsm_{lang}.tsv"
ALPACA_PROMPTS = "x-alpacaeval/prompts/{lang}.json"
ALPACA_REFERENCES = "x-alpacaeval/reference/{lang}.json"
LICENCES = {
    "alpagasus": ("CC BY-NC 4.0", "AlpaGasus (Chen et al. 2023), selected from Alpaca; translated by the LIDR authors"),
    "gsm8k": ("MIT", "GSM8K (Cobbe et al. 2021); translated by the LIDR authors"),
    "ultrafeedback": ("MIT", "UltraFeedback (Cui et al. 2023); selected and translated by the ICR authors"),
    "mgsm": ("CC BY-SA 4.0", "MGSM (Shi et al. 2022)"),
    "mgsm-rev2": ("CC BY-SA 4.0", "MGSM-Rev2 (Peter et al. 2025), MGSM corrected"),
    "x-alpacaeval": ("CC BY-NC 4.0", "X-AlpacaEval (Zhang et al. 2023, PLUG), extended by the LIDR and ICR authors"),
}


@dataclass(frozen=True)
class Published:
    """A file of the layout, in some languages, at a commit of a public repository."""

    layout: str
    languages: str
    pin: str
    path: str

    @property
    def server(self) -> str:
        """Address of the server that the file is downloaded from."""
        from huggingface_hub import constants

        return constants.ENDPOINT if self._on_hub() else GITHUB

    def cached(self, lang: str) -> Path | None:
        """The file of one language, where an earlier download left it."""
        from huggingface_hub import try_to_load_from_cache

        if self._on_hub():
            repo, revision, path = self._parts(lang)
            found = try_to_load_from_cache(repo, path, repo_type="dataset", revision=revision)
            return Path(found) if isinstance(found, str) else None
        kept = self._kept(lang)
        return kept if kept.exists() else None

    def fetch(self, lang: str) -> Path:
        """Download the file of one language, once: a commit never changes."""
        from huggingface_hub import constants, hf_hub_download

        repo, revision, path = self._parts(lang)
        if self._on_hub():
            return Path(hf_hub_download(repo, path, repo_type="dataset", revision=revision))
        kept = self._kept(lang)
        if not kept.exists():
            if constants.HF_HUB_OFFLINE:
                raise ConnectionError("HF_HUB_OFFLINE is set")
            with urlopen(f"{GITHUB}/{repo}/{revision}/{path}", timeout=60) as reply:
                content = reply.read()
            kept.parent.mkdir(parents=True, exist_ok=True)
            partial = kept.with_name(kept.name + ".tmp")
            partial.write_bytes(content)
            partial.replace(kept)
        return kept

    def _on_hub(self) -> bool:
        return self.pin.startswith(_HUB)

    def _parts(self, lang: str) -> tuple[str, str, str]:
        """Repository, revision, and path in it."""
        origin, _, revision = self.pin.partition("@")
        repo = origin.removeprefix(_HUB) if self._on_hub() else origin.partition("/")[2]
        return repo, revision, self.path.format(lang=lang)

    def _kept(self, lang: str) -> Path:
        """Where a file from outside of the hub is kept."""
        from huggingface_hub import constants

        return Path(constants.HF_HOME).joinpath("ldr-utils", *self._parts(lang))


def find(layout: str, lang: str = "") -> Published:
    """The published file of the layout that has the language."""
    return next(file for file in PUBLISHED if file.layout == layout and lang in file.languages)


def unreachable(servers: Iterable[str]) -> list[str]:
    """Servers that do not answer within ``SECONDS``; asked side by side, in threads because DNS knows no timeout."""
    answered: set[str] = set()
    waiting = {server: Thread(target=_ask, args=(server, answered), daemon=True) for server in servers}
    for thread in waiting.values():
        thread.start()
    for thread in waiting.values():
        thread.join(SECONDS)
    return [server for server in waiting if server not in answered]


def _ask(server: str, answered: set[str]) -> None:
    try:
        urlopen(Request(server, method="HEAD"), timeout=SECONDS).close()
    except HTTPError:
        pass  # an answer all the same
    except (OSError, HTTPException):
        return
    answered.add(server)


_LIDR = "github.com/ZNLP/Language-Imbalance-Driven-Rewarding"
_LIDR_DATA = f"{_LIDR}@7ac3aa2c105d793ff0dd2bd52460fe309744ab94"
_LIDR_RESULTS = f"{_LIDR}@bd9764e7fc6c99e6ba618199e0038df83c022162"
_LIDR_TASKS = f"{_LIDR}@d97b7cdc978b0b132d80963087cd0353d9aea937"
_ICR = "github.com/ZNLP/Implicit-Cross-Lingual-Rewarding@168a4207912c562de2f72c7c08ff12156beb2815"  # no licence file
_OPENAI = "github.com/openai/grade-school-math@3101c7d5072418e28b9008a6636bde82a006892c"
_MGSM = "huggingface.co/datasets/juletxara/mgsm@f52417ca77bd71e9888ddc29f92587660725d2b4"  # later commits: parquet
_REV2 = "github.com/google-research-datasets/MGSM-Rev2@5f091edeae66ebc605ac4f98dca07a6c345f0060"
_PLUG = "huggingface.co/datasets/zhihz0535/X-AlpacaEval@03d79e702ac75fc1c7a1fe773b1c168653193c69"
_ALPACA_EVAL = "github.com/tatsu-lab/alpaca_eval@4db46e714c95fe4a7328f1b6d9a927dd144ca746"
_OUTPUTS = "gpt-4-turbo-2024-04-09/model_outputs.json"
_TASKS = "process_data/alpagasus/translate/instruction_about_translate.jsonl"
_TRANSLATED = "es ru de fr it ja ko th zh ar"
_MGSM_LANGUAGES = "en es fr de ru zh ja th sw bn te"
_SUBSETS = "data/alpagasus/subset"
_RANDOM_1000 = "data/ultrafeedback_binarized/subset/random_1000"
_FORMATTED = "results/base_model/x-alpacaeval_format/{lang}"
PUBLISHED = [
    Published(ALPAGASUS.format(t=0), f"en {_TRANSLATED}", _LIDR_DATA, f"{_SUBSETS}/id_0_1000/{{lang}}.jsonl"),
    Published(ALPAGASUS.format(t=1), f"en {_TRANSLATED}", _LIDR_DATA, f"{_SUBSETS}/id_1000_2000/{{lang}}.jsonl"),
    Published(TRANSLATION_TASKS, "", _LIDR_TASKS, _TASKS),
    Published(GSM8K, "en", _OPENAI, "grade_school_math/data/train.jsonl"),
    Published(GSM8K, "es ru de fr", _LIDR_DATA, "data/gsm8k/train/{lang}.jsonl"),
    Published(ULTRAFEEDBACK, "en es ru de fr th zh bn sw", _ICR, f"{_RANDOM_1000}/{{lang}}.jsonl"),
    Published(MGSM, _MGSM_LANGUAGES, _MGSM, "mgsm_{lang}.tsv"),
    Published(MGSM_REV2, _MGSM_LANGUAGES, _REV2, "MGSM-Rev2/mgsm_{lang}.tsv"),
    Published(ALPACA_PROMPTS, "en", _PLUG, "english.json"),
    Published(ALPACA_PROMPTS, _TRANSLATED, _LIDR_DATA, "data/x-alpacaeval/data/{lang}.json"),
    Published(ALPACA_PROMPTS, "bn sw", _ICR, "data/x-alpacaeval/data/{lang}.json"),
    Published(ALPACA_REFERENCES, "en", _ALPACA_EVAL, f"results/{_OUTPUTS}"),
    Published(ALPACA_REFERENCES, "es ru de fr th zh bn sw", _LIDR_RESULTS, f"{_FORMATTED}/{_OUTPUTS}"),
]
