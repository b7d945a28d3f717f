"""The micro world: its templates, its base model M0, its sets, its own alignment tax."""
