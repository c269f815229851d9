"""Monte Carlo: photons and electrons through voxels, history by history; the independent check of every other dose."""
