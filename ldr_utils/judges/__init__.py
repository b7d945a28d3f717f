"""Language models as judges: their questions, their replies, and what is kept of them."""
