"""Speed and accuracy in one table: ``python -m benchmarks --suite accuracy|speed|plans|scaling --json FILE``."""
