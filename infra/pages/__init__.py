"""HTML pages for people: what they share, and the dashboard."""
