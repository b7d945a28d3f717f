"""A model M_t in one piece: its adapter added to the weights of the base model."""

from __future__ import annotations

from ldr_utils.policy.load import Policy, load_config, load_policy
from ldr_utils.study.params import ModelParams


def merge(params: ModelParams, t: int) -> Policy:
    """M_t without an adapter, in the precision in which the base model is stored.

    The sum is taken in float32 and rounded once. A study in NF4 trained its adapter on quantised weights; it is added
    to the unquantised ones.

    Parameters
    ----------
    params : ModelParams
        The base model, and where its adapters are.
    t : int
        Index of the model, above 0.
    """
    import torch
    from peft.tuners.lora import LoraLayer

    own = params.model_copy(update={"quantization": "none", "dtype": stored_dtype(params.base_model)})
    policy = load_policy(own, t)
    with torch.no_grad():
        for layer in policy.model.modules():
            if isinstance(layer, LoraLayer):
                weight = layer.get_base_layer().weight
                for name in layer.active_adapters:
                    weight.copy_(weight.float() + layer.get_delta_weight(name).float())
    return Policy(policy.model.unload(), policy.chat)


def stored_dtype(base_model: str) -> str:
    """In which precision the weights of a model are published, by its config; float32 where that says nothing."""
    config = load_config(base_model)
    dtype = getattr(config, "dtype", None) or getattr(config.get_text_config(), "dtype", None)
    name = str(dtype).removeprefix("torch.")
    return name if name in ("bfloat16", "float16") else "float32"
