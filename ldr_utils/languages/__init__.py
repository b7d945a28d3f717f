"""Facts by language: names, answer phrases, units of text, identification, numbers."""
