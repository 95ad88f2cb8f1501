"""What happens to a message between the SMTP dialog and the store or the queue."""
