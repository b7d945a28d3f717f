"""Stand-ins for hub models where no hub can be reached: a real tokenizer with a family's own tokens and chat template.

The words of such a tokenizer are ours (byte-level BPE, so that any text comes back as it was); what a study can trip
over is the family's: the control tokens, the beginning and the end of a text, the template, the tokens that stop an
answer, and the architecture. Templates of the families are read from TRL's package, which ships them as files.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache as remembered
from importlib.resources import files
from pathlib import Path
from typing import Any

from ldr_utils.commands.shapes import KNOWN
from ldr_utils.languages.table import LANGUAGES
from ldr_utils.micro.pretrain import document, render
from ldr_utils.policy.prompts import CLOSE_TAG, OPEN_TAG
from ldr_utils.study.errors import InputError
from ldr_utils.study.paths import ROOT

VOCABULARY = 2048
# Control tokens as templates spell them.
MARK = re.compile(
    r"<\|[^|<>{}\s]+\|>|<｜[^｜]+｜>|<\|[a-z_]+>|<[a-z_]+\|>|<(?:start|end)_of_\w+>|<image>|\[gMASK\]|<sop>|</?SYS>"
)
THOUGHT = re.compile(r"</?think>")  # a token of its own, but none that decoding leaves out

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}"
    "{% set head = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}{% set turns = messages[1:] %}"
    "{% else %}{% set head = '' %}{% set turns = messages %}{% endif %}"
    "{% for message in turns %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + (head if loop.first else '') + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)


def default_system(text: str) -> str:
    """ChatML that opens with a system turn of its own where it is given none."""
    own = f"<|im_start|>system\n{text}<|im_end|>\n"
    return f"{{% if messages[0]['role'] != 'system' %}}{{{{ {own!r} }}}}{{% endif %}}{CHATML}"


@dataclass(frozen=True)
class Family:
    """What is a family's own.

    Attributes
    ----------
    architecture : str
        ``model_type`` of transformers.
    eos : str
        What its tokenizer calls the end (not always the end of a turn).
    bos, pad, unk : str
        Empty where the tokenizer has none.
    stops : tuple of str
        ``eos_token_id`` of its generation config; ``eos`` alone where empty.
    template : str
        A file of TRL's package, without its suffix, or the text of a template.
    adds_bos : bool
        Whether tokenising writes ``bos`` by itself.
    names : tuple of str
        Parts of hub names, in lower case: the longest that fits decides.
    sizes : tuple of (str, value)
        What its config says otherwise than its class does.
    """

    architecture: str
    eos: str
    bos: str = ""
    pad: str = ""
    unk: str = ""
    stops: tuple[str, ...] = ()
    template: str = ""
    adds_bos: bool = False
    names: tuple[str, ...] = ()
    sizes: tuple[tuple[str, Any], ...] = ()

    def template_text(self, name: str) -> str:
        """The chat template; a family without an entry of its own has the file of its name."""
        if "{" in self.template:
            return self.template
        return (files("trl") / "chat_templates" / f"{self.template or name}.jinja").read_text(encoding="utf-8")


def _qwen(architecture: str, *names: str, template: str = "") -> Family:
    stops = ("<|im_end|>", "<|endoftext|>")
    return Family(architecture, "<|im_end|>", pad="<|endoftext|>", stops=stops, template=template, names=names)


def _llama3(*names: str, stops: tuple[str, ...] = ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>")) -> Family:
    return Family("llama", "<|eot_id|>", bos="<|begin_of_text|>", stops=stops, adds_bos=True, names=names)


def _gemma(architecture: str, *names: str, turn: str = "<end_of_turn>", template: str = "") -> Family:
    return Family(
        architecture, "<eos>", "<bos>", "<pad>", "<unk>", ("<eos>", turn), template, adds_bos=True, names=names
    )


def _phi(*names: str) -> Family:
    ends = ("<|endoftext|>", "<|end|>", "<|assistant|>")
    return Family("phi3", ends[0], "<s>", ends[0], "<unk>", ends, names=names)


def _cohere(architecture: str, *names: str) -> Family:
    return Family(architecture, "<|END_OF_TURN_TOKEN|>", "<BOS_TOKEN>", "<PAD>", adds_bos=True, names=names)


def _deepseek(architecture: str, *names: str) -> Family:
    end = "<｜end▁of▁sentence｜>"
    return Family(architecture, end, "<｜begin▁of▁sentence｜>", end, adds_bos=True, names=names)


def _lfm2(*names: str) -> Family:
    return Family("lfm2", "<|im_end|>", "<|startoftext|>", "<|pad|>", adds_bos=True, names=names)


def _nemotron(*names: str) -> Family:
    return Family("nemotron_h", "<|im_end|>", "<s>", "<|im_end|>", "<unk>", ("</s>", "<|im_end|>"), names=names)


def _parts(architecture: str, eos: str, bos: str, pad: str) -> Family:
    """Families of models that see: their templates ask for messages in parts."""
    return Family(architecture, eos, bos, pad)


FAMILIES = {
    "llama2": Family("llama", "</s>", "<s>", "", "<unk>", template=LLAMA2, adds_bos=True, names=("llama-2",)),
    "llama3": _llama3("llama-3", stops=("<|end_of_text|>", "<|eot_id|>")),
    "llama3_1": _llama3("llama-3.1", "llama-3.3"),
    "llama3_2": _llama3("llama-3.2"),
    "qwen2": _qwen("qwen2", "qwen2", template=default_system("You are a helpful assistant.")),
    "qwen2_5": _qwen("qwen2", "qwen2.5"),
    "qwen3": _qwen("qwen3", "qwen3"),
    "qwen3_instruct_2507": _qwen("qwen3", "qwen3-4b-instruct-2507", "qwen3-30b-a3b-instruct-2507"),
    "qwen3_5_think": _qwen("qwen3_5_text", "qwen3.5"),
    "qwen3_5_nothink": _qwen("qwen3_5_text", "qwen3.5-nothink"),
    "qwen3_6": _qwen("qwen3_5_text", "qwen3.6"),
    "qwen3_8": _qwen("qwen3_5_text", "qwen3.8"),
    "gemma": _gemma("gemma", "gemma-"),
    "gemma2": _gemma("gemma2", "gemma-2", "tower-plus", template="gemma"),
    "gemma3": _gemma("gemma3_text", "gemma-3", "translategemma"),
    "gemma4": _gemma("gemma4_text", "gemma-4", turn="<turn|>"),
    "phi3": _phi("phi-3"),
    "phi3_5": _phi("phi-3.5"),
    "cohere": _cohere("cohere", "aya-expanse", "aya-23", "c4ai-command-r"),
    "cohere2": _cohere("cohere2", "tiny-aya", "command-a", "command-r7b"),
    "deepseek_r1_distill": _deepseek("qwen2", "deepseek-r1-distill"),
    "deepseekv3": _deepseek("deepseek_v3", "deepseek-v3"),
    "glm4moe": Family(
        "glm4_moe",
        "<|endoftext|>",
        pad="<|endoftext|>",
        stops=("<|endoftext|>", "<|user|>", "<|observation|>"),
        names=("glm-4.",),
    ),
    "gptoss": Family(
        "gpt_oss",
        "<|return|>",
        "<|startoftext|>",
        "<|endoftext|>",
        stops=("<|return|>", "<|endoftext|>", "<|call|>"),
        names=("gpt-oss",),
    ),
    "lfm2": _lfm2("lfm2-"),
    "lfm2_2_5": _lfm2("lfm2.5"),
    "nemotron_3_nano": _nemotron("nemotron-3-nano"),
    "nemotron_3_super": _nemotron("nemotron-3-super"),
    "nemotron_3_ultra": _nemotron("nemotron-3-ultra"),
    "nemotron_3_5_lightning": _nemotron("nemotron-3.5"),
    "muse_glimmer": Family("muse_glimmer_text", "<|eot|>", "<|begin_of_text|>", "<|pad|>", names=("muse-glimmer",)),
    "diffusion_gemma": _gemma("gemma4_text", "diffusiongemma", turn="<turn|>"),
    "qwen2_5_vl": _qwen("qwen2", "qwen2.5-vl"),
    "qwen3_vl": _qwen("qwen3", "qwen3-vl"),
    "llava_next": _parts("mistral", "</s>", "<s>", "<pad>"),
    "smolvlm": _parts("llama", "<end_of_utterance>", "<|im_start|>", "<|im_end|>"),
    "idefics3": _parts("llama", "<end_of_utterance>", "<|begin_of_text|>", "<|end_of_text|>"),
    "smollm2": Family(
        "llama",
        "<|im_end|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
        template=default_system("You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
        names=("smollm2",),
    ),
    "chatml": Family(  # EuroLLM, Salamandra
        "llama", "<|im_end|>", "<s>", "</s>", "<unk>", template=CHATML, names=("eurollm", "salamandra"), adds_bos=True
    ),
}


def family_of(model: str, default: str = "") -> str:
    """The family of a hub name, or ``default`` where no record fits it.

    Raises
    ------
    InputError
        When no record fits the name and there is no default.
    """
    bare = model.rpartition("/")[2].lower()
    fitting = [(len(part), name) for name, family in FAMILIES.items() for part in family.names if part in bare]
    if not fitting and default:
        return default
    if not fitting:
        raise InputError(f"base_model: no stand-in is known for {model}; rehearse where its files can be reached")
    return max(fitting)[1]


def _texts() -> Iterator[str]:
    """What the tokenizers' words are learned from: the micro world in its languages, and what this repository says."""
    rng = random.Random(0)
    yield from (render(*document(rng, 0.3, 0.2)) for _ in range(1500))
    for path in sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "params").glob("*.yaml")]):
        yield path.read_text(encoding="utf-8")
    yield from (f"{OPEN_TAG}\n{k}\n{CLOSE_TAG}" for k in range(300))


@remembered
def _words() -> str:
    """A byte-level BPE tokenizer of ours, as JSON; every family starts from it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(_texts(), trainer)
    return str(tokenizer.to_str())


def make_tokenizer(folder: Path, name: str) -> Any:
    """Write a family's tokenizer with its chat template to ``folder``, and return it as transformers loads it.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    name : str
        A key of ``FAMILIES``.
    """
    from tokenizers import AddedToken, Tokenizer, processors
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    family = FAMILIES[name]
    template = family.template_text(name)
    tokenizer = Tokenizer.from_str(_words())
    named = {"bos_token": family.bos, "eos_token": family.eos, "pad_token": family.pad, "unk_token": family.unk}
    control = dict.fromkeys(filter(None, (*named.values(), *family.stops, *MARK.findall(template))))
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in control])
    thoughts = dict.fromkeys(THOUGHT.findall(template))
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in thoughts])
    if family.adds_bos:
        opening = f"{family.bos} $A"
        tokenizer.post_processor = processors.TemplateProcessing(
            single=opening, pair=f"{opening} $B", special_tokens=[(family.bos, tokenizer.token_to_id(family.bos))]
        )
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        chat_template=template,
        clean_up_tokenization_spaces=False,
        **{key: text for key, text in named.items() if text},
    )
    made.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def make_stand_in(folder: Path, name: str, hub_name: str = "") -> None:
    """Write all of a model but its weights: config of the family's architecture, tokenizer, generation config.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    name : str
        A key of ``FAMILIES``.
    hub_name : str
        The model it stands for; its number of positions is taken over where it is known (``shapes.KNOWN``).
    """
    from transformers import AutoConfig, GenerationConfig

    family = FAMILIES[name]
    tokenizer = make_tokenizer(folder, name)
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    known = KNOWN.get(hub_name.rpartition("/")[2].lower())
    positions = {"max_position_embeddings": known.positions} if known and known.positions else {}
    config = AutoConfig.for_model(family.architecture, **ids, **positions, **dict(family.sizes))
    config.vocab_size = len(tokenizer)
    config.save_pretrained(folder)
    stops = [tokenizer.convert_tokens_to_ids(stop) for stop in family.stops or (family.eos,)]
    GenerationConfig(**{**ids, "eos_token_id": stops}).save_pretrained(folder)


def make_translator(folder: Path, languages: list[str]) -> None:
    """Write all of a translation model of NLLB's classes but its weights; it knows ``languages``."""
    from transformers import M2M100Config, NllbTokenizer

    letters = "▁0123456789+-=.:,<>/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    vocabulary = {token: k for k, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *letters])}
    codes = [LANGUAGES[lang].flores for lang in languages]
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=[], extra_special_tokens=codes, src_lang=codes[0])
    M2M100Config(vocab_size=len(tokenizer), decoder_start_token_id=tokenizer.eos_token_id).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
