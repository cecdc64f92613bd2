"""Programs that units run, one file each (`python -m millions.programs.NAME`)."""
