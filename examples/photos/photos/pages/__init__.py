"""The pages: HTML, made on the server, that work without scripting."""
