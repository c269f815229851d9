"""A volume in the three orders in which a plane sweep reads it: dominant axis x, y or z first."""
