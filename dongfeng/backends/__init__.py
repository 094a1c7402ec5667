"""The libraries that run networks: one file or folder for each, imported on first use; the table is `registry`."""
