"""What a study found, beside what the paper reported."""
