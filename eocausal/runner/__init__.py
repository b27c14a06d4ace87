"""Encode many chips: batches, shards on disk, and runs that continue after a crash."""
