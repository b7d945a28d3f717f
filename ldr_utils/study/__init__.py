"""The plumbing: what a study is, where its files are, when a stage is complete. It computes no number."""
