"""What happens in numbers: counted where it happens, told to Prometheus."""
