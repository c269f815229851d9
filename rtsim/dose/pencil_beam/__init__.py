"""Pencil beam: a fast, approximate dose-influence matrix; the delivered dose is the collapsed cone's."""
