"""Moving the database to another server, live: one file a part of it."""
