"""Language Imbalance Driven Rewarding, reproduced: the shared functions behind the notebooks."""

__version__ = "0.1.0"
