"""Beamlets: the dose-influence matrix, each beamlet in a box about its own ray."""
