"""The command line: ``rtsim run | info | phantom | view | bench``."""
