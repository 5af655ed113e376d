"""Each module runs one process of ours with one safeguard missing, for the negative controls."""
