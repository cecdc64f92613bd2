"""What can be done to servers, and how each is undone."""
