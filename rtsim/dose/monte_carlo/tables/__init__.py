"""Tables of the Monte Carlo engine, made from rtsim.materials: what the kernels read."""
