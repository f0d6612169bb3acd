"""Looks after a folder of results: what it holds, whether it is whole, where a number comes from."""
