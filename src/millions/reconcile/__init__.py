"""What decides. Pure: desired and observed in, actions with causes out."""
