"""The model: one class, its parts, and what builds it."""
