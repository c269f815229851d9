"""Where things are: grids, resampling, IEC 61217 angles, shapes, contours. No physics, no patients."""
