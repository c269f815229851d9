"""Tables of the Monte Carlo engine: cross sections of media on one grid of energies, as its kernels read them."""
