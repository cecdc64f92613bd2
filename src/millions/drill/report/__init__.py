"""What came of a history: in words, as JSON, and as a page with a picture."""
