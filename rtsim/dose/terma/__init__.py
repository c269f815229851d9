"""TERMA: what the beam releases, from radiological paths along its divergent rays."""
