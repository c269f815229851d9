"""The command line: ``rtsim run | info | phantom | view | commission | bench``."""
