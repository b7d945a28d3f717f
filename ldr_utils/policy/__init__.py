"""A model M_t that answers: loading, chat prompts, generation."""
