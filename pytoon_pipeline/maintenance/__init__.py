"""What is no longer needed, found and taken away."""
