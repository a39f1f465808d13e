"""What happens, for machines: in numbers, counted where it happens and told to Prometheus, and in
lines of JSON."""
