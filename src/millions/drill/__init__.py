"""Breaking something on purpose while every answer is recorded."""
