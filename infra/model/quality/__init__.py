"""How good a model's answers are on rows whose outcome is known."""
