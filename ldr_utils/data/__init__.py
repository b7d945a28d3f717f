"""Prompt sets and test sets: drawn, downloaded, checked, written and read."""
