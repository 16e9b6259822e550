"""Rows of a model's inputs: read from a user's file, or made up."""
