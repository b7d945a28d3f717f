"""Where the real data sets are published: every file pinned to a commit, downloaded once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

# Files as they are named in the folder.
ALPAGASUS = "alpagasus/iter{t}/{{lang}}.jsonl"
TRANSLATION_TASKS = "alpagasus/translation_task_ids.json"
GSM8K = "gsm8k/{lang}.jsonl"
MGSM = "mgsm/mgsm_{lang}.jsonl"
ALPACA_PROMPTS = "x-alpacaeval/prompts/{lang}.json"
ALPACA_REFERENCES = "x-alpacaeval/reference/{lang}.json"


@dataclass(frozen=True)
class Published:
    """A file of the layout, in some languages, at a commit of a public repository."""

    layout: str
    languages: str
    pin: str
    path: str

    def fetch(self, lang: str) -> Path:
        """Download the file of one language, once: a commit never changes."""
        from huggingface_hub import constants, hf_hub_download

        origin, _, revision = self.pin.partition("@")
        host, _, repo = origin.partition("/")
        path = self.path.format(lang=lang)
        if host == "huggingface.co":
            name = repo.removeprefix("datasets/")
            return Path(hf_hub_download(name, path, repo_type="dataset", revision=revision))
        cached = Path(constants.HF_HOME) / "ldr-utils" / repo / revision / path
        if not cached.exists():
            if constants.HF_HUB_OFFLINE:
                raise ConnectionError("HF_HUB_OFFLINE is set")
            with urlopen(f"https://raw.githubusercontent.com/{repo}/{revision}/{path}", timeout=60) as reply:
                content = reply.read()
            cached.parent.mkdir(parents=True, exist_ok=True)
            partial = cached.with_name(cached.name + ".tmp")
            partial.write_bytes(content)
            partial.replace(cached)
        return cached


_LIDR = "github.com/ZNLP/Language-Imbalance-Driven-Rewarding"
_LIDR_DATA = f"{_LIDR}@7ac3aa2c105d793ff0dd2bd52460fe309744ab94"
_LIDR_RESULTS = f"{_LIDR}@bd9764e7fc6c99e6ba618199e0038df83c022162"
_LIDR_TASKS = f"{_LIDR}@d97b7cdc978b0b132d80963087cd0353d9aea937"
_OPENAI = "github.com/openai/grade-school-math@3101c7d5072418e28b9008a6636bde82a006892c"
_MGSM = "huggingface.co/datasets/juletxara/mgsm@f52417ca77bd71e9888ddc29f92587660725d2b4"  # later commits: parquet
_PLUG = "huggingface.co/datasets/zhihz0535/X-AlpacaEval@03d79e702ac75fc1c7a1fe773b1c168653193c69"
_ALPACA_EVAL = "github.com/tatsu-lab/alpaca_eval@4db46e714c95fe4a7328f1b6d9a927dd144ca746"
_OUTPUTS = "gpt-4-turbo-2024-04-09/model_outputs.json"
_TASKS = "process_data/alpagasus/translate/instruction_about_translate.jsonl"
_TRANSLATED = "es ru de fr it ja ko th zh ar"
_SUBSETS = "data/alpagasus/subset"
_FORMATTED = "results/base_model/x-alpacaeval_format/{lang}"
PUBLISHED = [
    Published(ALPAGASUS.format(t=0), f"en {_TRANSLATED}", _LIDR_DATA, f"{_SUBSETS}/id_0_1000/{{lang}}.jsonl"),
    Published(ALPAGASUS.format(t=1), f"en {_TRANSLATED}", _LIDR_DATA, f"{_SUBSETS}/id_1000_2000/{{lang}}.jsonl"),
    Published(TRANSLATION_TASKS, "", _LIDR_TASKS, _TASKS),
    Published(GSM8K, "en", _OPENAI, "grade_school_math/data/train.jsonl"),
    Published(GSM8K, "es ru de fr", _LIDR_DATA, "data/gsm8k/train/{lang}.jsonl"),
    Published(MGSM, "en es fr de ru zh ja th sw bn te", _MGSM, "mgsm_{lang}.tsv"),
    Published(ALPACA_PROMPTS, "en", _PLUG, "english.json"),
    Published(ALPACA_PROMPTS, _TRANSLATED, _LIDR_DATA, "data/x-alpacaeval/data/{lang}.json"),
    Published(ALPACA_REFERENCES, "en", _ALPACA_EVAL, f"results/{_OUTPUTS}"),
    Published(ALPACA_REFERENCES, "es ru de fr", _LIDR_RESULTS, f"{_FORMATTED}/{_OUTPUTS}"),
]
