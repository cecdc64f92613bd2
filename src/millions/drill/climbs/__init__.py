"""A climb under load: clients beside it, what it used, and the report with its picture."""
