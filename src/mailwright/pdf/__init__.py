"""The text of attached PDF files, read by a process of its own."""
