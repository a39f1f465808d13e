"""What is to be rendered: sources to requests, and the state of every brief."""
