"""A model under test: run as Lambda would run it, and measured."""
