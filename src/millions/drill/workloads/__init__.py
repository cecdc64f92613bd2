"""What clients do while something is broken: each answer is recorded."""
