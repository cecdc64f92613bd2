"""What application code imports: one module a noun. It never imports the control path."""
