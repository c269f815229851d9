"""Which treatment, from what is seen (NOMS, SINS, ESCC). Empty so far."""
