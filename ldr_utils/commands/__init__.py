"""The commands behind ``ldr``, one module each, and what only they need."""
