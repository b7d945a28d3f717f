"""The paper: translation, preference pairs, loss, training."""
