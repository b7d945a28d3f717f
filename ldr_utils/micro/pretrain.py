"""The micro base model M0: its tokenizer, its deliberately imbalanced mixture, and its training loop.

The imbalance is the one the paper starts from: question answering is plentiful in English and scarce elsewhere (and
there only of the easiest level), while translation between English and every other language is practised a lot.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ldr_utils.languages.table import BUILT_IN
from ldr_utils.micro.lexicon import DOMINANT, LANGUAGES
from ldr_utils.micro.tasks import Task
from ldr_utils.micro.world import draw_task, use_of
from ldr_utils.policy.prompts import CLOSE_TAG, OPEN_TAG, translation_prompt
from ldr_utils.study.params import PretrainingParams
from ldr_utils.study.progress import track

PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OTHERS = tuple(lang for lang in LANGUAGES if lang != DOMINANT)


def document(rng: random.Random, share_dominant: float, share_others: float, slip: float = 0.2) -> tuple[str, str]:
    """Draw one (user, assistant) exchange of the mixture.

    Parameters
    ----------
    rng : random.Random
        Source of the draw.
    share_dominant, share_others : float
        Shares of question answering in the dominant language (all levels) and in all others together (level 1 only);
        the rest is translation to and from the dominant language.
    slip : float
        Probability of a wrong step in arithmetic that serves as translation material.
    """
    use = rng.random()
    family = "arithmetic" if rng.random() < 0.5 else "instruction"
    if use < share_dominant + share_others:
        dominant = use < share_dominant
        task = _reserved(rng, family, None if dominant else 1, 0.0)
        lang = DOMINANT if dominant else rng.choice(OTHERS)
        return task.prompt[lang], task.answer[lang]
    task = _reserved(rng, family, None, slip)
    source, target = rng.sample((DOMINANT, rng.choice(OTHERS)), 2)
    text = task.answer if rng.random() < 0.8 else task.prompt
    return translation_exchange(text, source, target)


def translation_exchange(text: Mapping[str, str], source: str, target: str) -> tuple[str, str]:
    """The (user, assistant) exchange that translates ``text`` (by language), in the study's own prompt."""
    return translation_prompt(text[source], BUILT_IN[target].name), f"{OPEN_TAG}\n{text[target]}\n{CLOSE_TAG}"


def _reserved(rng: random.Random, family: str, level: int | None, slip: float) -> Task:
    while True:
        task = draw_task(rng, family, level, slip)
        if use_of(task.key) == "pretrain":
            return task


def render(user: str, assistant: str) -> str:
    """The exchange as the chat template writes it."""
    return f"{START}user\n{user}{END}\n{START}assistant\n{assistant}{END}\n"


def train_tokenizer(texts: Iterator[str], vocab_size: int) -> Any:
    """Byte-level BPE over words, punctuation and single digits, with the chat template attached.

    Punctuation stands apart: a model this small does not find out by itself that "cups?" and "cups:" are one word.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d| ?\p{L}+| ?[^\s\p{L}\d]+|\s"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


class Packer:
    """Cut an endless stream of exchanges into rows of equal length, with no padding.

    Seeded: batch k is the same whenever it is drawn, so that a resumed training run sees what it would have seen.
    """

    def __init__(self, tokenizer: Any, params: PretrainingParams) -> None:
        self.tokenizer, self.params = tokenizer, params
        self.rng = random.Random(params.seed)
        self.pending: list[int] = []

    def next_batch(self) -> list[int]:
        """``rows * row_tokens`` token ids."""
        size = self.params.rows * self.params.row_tokens
        while len(self.pending) < size:
            drawn = [document(self.rng, self.params.share_dominant, self.params.share_others) for _ in range(64)]
            for ids in self.tokenizer([render(*exchange) for exchange in drawn], add_special_tokens=False).input_ids:
                self.pending += ids
        batch, self.pending = self.pending[:size], self.pending[size:]
        return batch


def build_tokenizer(params: PretrainingParams) -> Any:
    """Train the tokenizer on a sample of the mixture."""
    rng = random.Random(params.seed)
    sample = (render(*document(rng, params.share_dominant, params.share_others)) for _ in range(20_000))
    return train_tokenizer(sample, params.vocab_size)


def build_model(params: PretrainingParams, tokenizer: Any) -> Any:
    """A randomly initialised Llama with tied embeddings."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(params.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=params.hidden_size,
        num_hidden_layers=params.layers,
        num_attention_heads=params.heads,
        num_key_value_heads=params.heads,
        intermediate_size=params.intermediate_size,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.04,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


def learning_rate_at(step: int, params: PretrainingParams) -> float:
    """Linear warm-up over 100 steps, then linear decay to 2 % of the peak."""
    return params.learning_rate * min(1.0, (step + 1) / 100) * max(0.02, 1 - step / params.steps)


def pretrain(params: PretrainingParams, tokenizer: Any, checkpoint: Path) -> tuple[Any, list[dict[str, float]]]:
    """Train M0 from scratch; an interrupted run continues from ``checkpoint``.

    Returns
    -------
    model : LlamaForCausalLM
        In evaluation mode, float32.
    history : list of dict
        ``step``, ``tokens``, ``loss`` (nats a token) and ``seconds``, every 50 steps.
    """
    import torch

    torch.set_num_threads(params.threads)
    model, packer = build_model(params, tokenizer), Packer(tokenizer, params)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.95), weight_decay=0.05, fused=True)
    first, history = _resume(checkpoint, model, optimizer, packer)
    compiled: Any = torch.compile(model)
    started = time.monotonic() - (history[-1]["seconds"] if history else 0.0)
    model.train()
    for step in track(range(first, params.steps), "pretraining", total=params.steps, initial=first):
        ids = torch.tensor(packer.next_batch()).view(params.rows, params.row_tokens)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, params)
        loss = compiled(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 50 == 0:
            tokens = (step + 1) * ids.numel()
            seconds = time.monotonic() - started
            history.append({"step": step + 1, "tokens": tokens, "loss": loss.item(), "seconds": seconds})
        if (step + 1) % 500 == 0:
            _save(checkpoint, step + 1, history, model, optimizer, packer)
    return model.eval(), history


def _save(path: Path, step: int, history: list[dict[str, float]], model: Any, optimizer: Any, packer: Packer) -> None:
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    state = {
        "step": step,
        "history": history,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": packer.rng.getstate(),
        "pending": packer.pending,
    }
    torch.save(state, partial)
    partial.replace(path)


def _resume(path: Path, model: Any, optimizer: Any, packer: Packer) -> tuple[int, list[dict[str, float]]]:
    import torch

    if not path.exists():
        return 0, []
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    version, internal, gauss = state["rng"]
    packer.rng.setstate((version, tuple(internal), gauss))
    packer.pending = state["pending"]
    return state["step"], state["history"]
