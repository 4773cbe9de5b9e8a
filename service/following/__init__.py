"""Following: a service serves what the records of its fleet in a registry say, and nothing else."""
