"""The keeper of one server of the store: runs it, and agrees with the others on who leads."""
