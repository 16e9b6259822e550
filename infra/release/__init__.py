"""Releases: what serves, how it got there, and the way back."""
