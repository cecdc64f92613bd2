"""Climbing: from the stack that runs to another one, in steps. Pure; `cli/climbing` acts."""
