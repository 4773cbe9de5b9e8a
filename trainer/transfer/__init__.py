"""Transfer from pretrained weights: adapters, frozen features, linear probes, merging."""
