"""Distilled sets and what is measured on sets of images and masks."""
