"""One file a tier. Pure: settings in, units and directory entries out."""
