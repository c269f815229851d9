"""Collapsed cone convolution: kernel, transport, and the engine in model.py."""
