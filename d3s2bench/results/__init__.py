"""Records: what a run is for."""
