"""Mutated files and manifests: what random damage does to the readers and to the whole gate."""
