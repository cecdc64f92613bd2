"""A climb at work: what `climb/` has planned is done, written down and proven, step after step."""
