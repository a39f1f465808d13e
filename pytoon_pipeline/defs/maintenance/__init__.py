"""The scheduled maintenance of the store, the machines and the records of runs."""
