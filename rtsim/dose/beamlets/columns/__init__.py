"""Columns of the influence matrix: from doses in boxes to entries on the dose grid, and to rows."""
