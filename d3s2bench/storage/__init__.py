"""The store: finished stages, named by the hash of all that made them."""
