"""Scripts that run a peer, or rtsim on what a peer exported, each in a process of its own."""
