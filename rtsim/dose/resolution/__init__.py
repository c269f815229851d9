"""Two grids for one dose: fine near the beam, coarse for what varies slowly."""
