"""Weights from elsewhere: readers of files, tables of names, and ``pretrained()``."""
